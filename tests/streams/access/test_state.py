"""What the topic comes to, whatever the order of lookups, repeats and compaction."""

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.catalog import ACCESS, current
from schemas.codec import Codec
from streams.access.records import CLASSES, AccessRecord, KeyUse
from streams.access.state import AccessState
from streams.log.access_writer import KeyedRecord
from streams.log.memory import MemoryBroker
from streams.log.memory_access_writer import MemoryAccessWriter
from streams.log.seals import Sealer
from tests.schemas.records import EXAMPLES
from tests.streams.access.records import NOW, a_change, a_key, a_link, a_member, a_webhook

pytestmark = pytest.mark.slow


def seen(state: AccessState) -> dict[str, Any]:
    """Everything that can be looked up."""
    return {
        "keys": sorted(state.all_keys(), key=lambda key: key.key_id),
        "found": {key.key_id: state.find(key.digest) for key in state.all_keys()},
        "used": {key.key_id: state.key_used_at(key.key_id) for key in state.all_keys()},
        "members": sorted(state.members("acme"), key=lambda member: member.actor),
        "webhooks": sorted(state.all_webhooks(), key=lambda webhook: webhook.webhook_id),
        "links": sorted(state.links("acme"), key=lambda link: link.link_id),
    }


def state_of(records: list[AccessRecord]) -> AccessState:
    state = AccessState()
    for record in records:
        state.apply(record)
    return state


def test_the_classes_are_the_schemas() -> None:
    assert tuple(CLASSES) == ACCESS
    for name, kind in CLASSES.items():
        assert [field.name for field in dataclasses.fields(kind)] == [
            field["name"] for field in current(name)["fields"]
        ]
        assert kind.of(EXAMPLES[name]).fields() == EXAMPLES[name]


def histories() -> st.SearchStrategy[list[AccessRecord]]:
    """Rising revisions of a few things, as writers make them, in any mixture."""

    @st.composite
    def build(draw: st.DrawFn) -> list[AccessRecord]:
        revisions: dict[str, int] = {}
        ended: set[str] = set()
        records: list[AccessRecord] = []
        for number in range(draw(st.integers(0, 25))):
            kind, which = draw(st.sampled_from("kmwluc")), draw(st.sampled_from("ab"))
            revision = revisions.get(kind + which, 0) + 1
            ends = draw(st.booleans()) or (kind != "m" and kind + which in ended)
            match kind:
                case "k":
                    records.append(a_key(which, revision=revision, name=str(number), revoked_at=NOW if ends else None))
                case "m":
                    records.append(
                        a_member(which, revision=revision, name=str(number), removed_at=NOW if ends else None)
                    )
                case "w":
                    records.append(
                        a_webhook(which, revision=revision, description=str(number), removed_at=NOW if ends else None)
                    )
                case "l":
                    records.append(a_link(which, revision=revision, name=str(number), revoked_at=NOW if ends else None))
                case "u":
                    records.append(KeyUse(key_id=which, used_at=number))
                case _:
                    records.append(a_change(f"chg_{number}"))
            if kind in "kmwl":
                revisions[kind + which] = revision
                if ends:
                    ended.add(kind + which)
        return records

    return build()


@given(histories())
def test_the_newest_revision_of_each_thing_is_kept(records: list[AccessRecord]) -> None:
    newest: dict[str, AccessRecord] = {record.record_key: record for record in records}
    state = state_of(records)
    things = [*state.all_keys(), *state.members("acme"), *state.all_webhooks(), *state.links("acme")]
    assert {thing.record_key: thing for thing in things} == {
        key: record for key, record in newest.items() if not key.startswith(("use:", "change:"))
    }


@given(histories())
def test_what_compaction_leaves_says_the_same(records: list[AccessRecord]) -> None:
    broker, codec = MemoryBroker(), Codec()
    writer = MemoryAccessWriter(broker, "t", Sealer(b"k"))
    writer.append(
        [KeyedRecord(record.record_key.encode(), codec.encode(record.schema, record.fields())) for record in records]
    )
    broker.compact("t", 0)
    left = [CLASSES[name].of(fields) for name, fields in (codec.decode(m.value) for m in broker.records("t", 0))]
    assert len(left) == len({record.record_key for record in records})
    assert seen(state_of(left)) == seen(state_of(records))


@given(histories(), st.data())
def test_records_that_come_again_change_nothing(records: list[AccessRecord], data: st.DataObject) -> None:
    again = data.draw(st.lists(st.sampled_from(records), max_size=10)) if records else []
    assert seen(state_of([*records, *again])) == seen(state_of(records))


def test_a_revocation_stays_whatever_is_written_later() -> None:
    revoked = a_key(revision=2, revoked_at=NOW, revoked_by="owner")
    state = state_of([a_key(), revoked, a_key(revision=3), a_key(revision=1)])
    assert state.key("key_1") == state.find(a_key().digest) == revoked


def test_a_member_who_was_removed_can_come_back() -> None:
    back = a_member(revision=3)
    assert state_of([a_member(), a_member(revision=2, removed_at=NOW), back]).member("acme", "anna") == back


def test_a_use_of_a_key_is_no_change_of_it() -> None:
    state = state_of([a_key(), a_key(revision=2, revoked_at=NOW), KeyUse(key_id="key_1", used_at=NOW)])
    key = state.key("key_1")
    assert key is not None
    assert (key.revoked_at, state.key_used_at("key_1")) == (NOW, NOW)


@given(st.text(max_size=8), st.text(max_size=8), st.text(max_size=8), st.text(max_size=8))
def test_members_of_odd_names_never_meet(account: str, actor: str, other_account: str, other_actor: str) -> None:
    one, other = a_member(actor, account_id=account), a_member(other_actor, account_id=other_account)
    assert (one.record_key == other.record_key) == ((account, actor) == (other_account, other_actor))


def test_links_are_forgotten_when_neither_they_nor_their_sessions_open_anything() -> None:
    long_session = a_link("link_2", session_ends_at=NOW + 50_000)
    state = state_of([a_link(), long_session])
    expired = state.expired_links(NOW + 2_000)
    assert [link.link_id for link in expired] == ["link_1"]
    state.forget(expired)
    assert state.links("acme") == [long_session]
    assert state.link("link_1") is None

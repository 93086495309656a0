"""A large message decided in slices: the same bytes as whole, others in between, nothing of it before its end."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from schemas.codec import Codec
from streams.log.partitioner import partition_of
from streams.rating.slices import Slicing
from tests.streams.rating.rated import CODEC, NAMES, Rated, assert_same
from tests.streams.traffic import START, Traffic, event

pytestmark = pytest.mark.slow

ACCOUNTS = [next(f"a-{n}" for n in range(99) if partition_of(f"a-{n}", 2) == partition) for partition in (0, 1)]
"""One account of each partition."""


def batch(partition: int, count: int, prefix: str = "e", **fields: Any) -> bytes:
    events = [event(f"{prefix}-{number}", ACCOUNTS[partition], **fields) for number in range(count)]
    return CODEC.encode("RequestBatch", {"events": events})


def gathered(seed: int, count: int) -> list[tuple[int, int, bytes]]:
    """The seed's traffic, with the events of neighbouring batches of a partition in one, as a bulk sender has them."""
    made: list[tuple[int, int, bytes]] = []
    for partition, at, value in Traffic(seed, 2, CODEC).messages(count):
        last = next((n for n in range(len(made) - 1, -1, -1) if made[n][0] == partition), None)
        both = [] if last is None else [each for each in map(events_of, (made[last][2], value)) if each]
        if last is not None and len(both) == 2:
            made[last] = (partition, at, CODEC.encode("RequestBatch", {"events": both[0] + both[1]}))
        else:
            made.append((partition, at, value))
    return made


def events_of(value: bytes) -> list[dict[str, Any]]:
    name, record = CODEC.decode(value) if value.startswith(b"\xc3\x01") and len(value) > 11 else ("", {})
    events: list[dict[str, Any]] = record["events"] if name == "RequestBatch" else []
    return events


@settings(max_examples=25, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(seed=st.integers(0, 10_000), size=st.integers(1, 5), whole=st.integers(0, 6), whole_bytes=st.integers(0, 900))
def test_slices_give_the_same_bytes(seed: int, size: int, whole: int, whole_bytes: int) -> None:
    one, other = Rated(), Rated(slicing=Slicing(size, whole, whole_bytes))
    for rated in (one, other):
        rated.loop.process([rated.append(*message_of) for message_of in reordered(gathered(seed, 40))])
    assert_same(one, other)


def reordered(messages: list[tuple[int, int, bytes]]) -> list[tuple[int, bytes, int]]:
    return [(partition, value, at) for partition, at, value in messages]


def test_parts_of_a_large_answer_are_the_same() -> None:
    """Lines, repeats, dead letters of events whose other fields had been brought to their plain form: several parts."""
    some = [
        event(
            f"e-{n % 4_500}",
            ACCOUNTS[0],
            attributes={"a": "x" * 300},
            user_id="",
            ip="no address" if n % 3 == 2 else None,
        )
        for n in range(6_000)
    ]
    value = CODEC.encode("RequestBatch", {"events": some})
    one, other = Rated(slicing=Slicing(10**6, 10**6, 10**9)), Rated()
    for rated in (one, other):
        rated.publish()
        rated.loop.process([rated.append(0, value)])
    assert len(other.values(NAMES.billed, 0)) > 2
    assert len(other.values(NAMES.dead_letters, 0)) > 1
    assert_same(one, other)


def test_another_partition_is_decided_between_slices() -> None:
    rated = Rated(slicing=Slicing(events=10, whole_events=10, whole_bytes=0))
    rated.publish()
    rated.loop.take([rated.append(0, batch(0, 1_000))])
    rated.loop.advance()
    rated.loop.take([rated.append(1, batch(1, 1, "waiting"))])
    began = rated.steps
    while not rated.values(NAMES.billed, 1):
        rated.loop.advance()
        assert rated.steps - began < 12, "it waits for a turn of the other partition, and has its own then"
    assert rated.loop.written()[1] == 2
    assert not rated.values(NAMES.billed, 0)
    assert rated.loop.written()[0] == 1, "nothing of the large message is written before its end"
    rated.loop.process([])
    assert rated.loop.written()[0] == 2
    (answer,) = rated.values(NAMES.billed, 0)
    assert len(CODEC.decode(answer)[1]["events"]) == 1_000


@pytest.mark.parametrize("damage", ["cut", "too long", "too many"])
def test_nothing_of_a_message_that_cannot_be_read_to_its_end_is_applied(damage: str) -> None:
    rated = Rated(slicing=Slicing(events=10, whole_events=10, whole_bytes=0))
    rated.publish()
    value = batch(0, 50_001 if damage == "too many" else 1_000)
    value = {"cut": value[:-3], "too long": value + b"x", "too many": value}[damage]
    before = rated.states[0].contents()
    rated.loop.process([rated.append(0, value)])
    (letter,) = rated.values(NAMES.dead_letters, 0)
    (record,) = CODEC.decode(letter)[1]["dead_letters"]
    assert record["reason"] == "undecodable"
    assert rated.loop.written()[0] == 2
    assert rated.states[0].contents() == before
    whole = Rated(slicing=Slicing(whole_bytes=10**9))
    whole.publish()
    whole.loop.process([whole.append(0, value)])
    assert_same(whole, rated)


def test_a_large_event_alone_keeps_its_own_bytes_in_a_dead_letter() -> None:
    """Its message is decoded in slices, of which there is one."""
    value = batch(0, 1, ip="no address", attributes={"a": "x" * 2_000})
    one, other = Rated(), Rated(slicing=Slicing(whole_bytes=100))
    for rated in (one, other):
        rated.publish()
        rated.loop.process([rated.append(0, value)])
    assert CODEC.decode(other.values(NAMES.dead_letters, 0)[0])[1]["dead_letters"][0]["original"] == value
    assert_same(one, other)


def test_slices_of_an_older_schema_are_read_as_the_whole() -> None:
    registered = Codec()
    assert registered.event_slices(CODEC.encode("Grant", GRANT), 10) is None, "no batch of events"
    assert registered.event_slices(b"{}", 10) is None
    value = batch(0, 25)
    slices = registered.event_slices(value, 10)
    assert slices is not None
    read = list(slices)
    assert [len(each.records) for each in read] == [10, 10, 5]
    whole = registered.decode_commands(value)
    assert [event for each in read for event in each.records] == whole.records
    assert [digest for each in read for digest in each.digests] == whole.digests


GRANT = {
    "grant_id": "g", "account_id": "a", "credit_type": "credit", "credits": 1, "granted_at": START,
    "expires_at": None, "reason": "",
}  # fmt: skip

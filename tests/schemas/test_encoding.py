"""What a record must be to be encoded, and how the codec says what is wrong with it."""

from enum import StrEnum
from types import MappingProxyType
from typing import Any

import pytest

from schemas.codec import Codec
from schemas.errors import Unencodable
from tests.schemas.records import EVENT, EXAMPLES, HEAD, LINE

SHORT = {name: EVENT[name] for name in ("event_id", "account_id", "occurred_at", "endpoint", "channel", "outcome")}


def test_absent_fields_get_their_defaults() -> None:
    codec = Codec()
    _, batch = codec.decode(codec.encode("RequestBatch", {"events": [SHORT]}))
    nulls = dict.fromkeys(("request_id", "actor", "user_id", "ip", "domain", "plan", "hold_id"))
    assert batch == {"events": [{**SHORT, **nulls, "keeps_hold": False, "quantities": {}, "attributes": {}}]}


def test_other_mappings_and_sequences_and_enumerations_are_taken() -> None:
    class Outcome(StrEnum):
        PROCESSED = "processed"

    event = MappingProxyType({**EVENT, "outcome": Outcome.PROCESSED, "quantities": MappingProxyType({"results": 100})})
    assert Codec().encode("RequestBatch", {"events": (event,)}) == Codec().encode(
        "RequestBatch", EXAMPLES["RequestBatch"]
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"event_id": 5}, "RequestBatch.events[0].event_id: must be a string, not int"),
        ({"event_id": b"five"}, "RequestBatch.events[0].event_id: must be a string, not bytes"),
        ({"event_id": "\ud800"}, "RequestBatch.events[0].event_id: character 0 is half of a surrogate pair, not text"),
        ({"endpoint": None}, "RequestBatch.events[0].endpoint: must be a string, not NoneType"),
        ({"occurred_at": 1.5}, "RequestBatch.events[0].occurred_at: must be an integer, not float"),
        ({"occurred_at": True}, "RequestBatch.events[0].occurred_at: must be an integer, not bool"),
        ({"quantities": {"a": 1, "b": True}}, "RequestBatch.events[0].quantities['b']: must be an integer, not bool"),
        ({"quantities": {"b": False}}, "RequestBatch.events[0].quantities['b']: must be an integer, not bool"),
        ({"quantities": {"b": 1.0}}, "RequestBatch.events[0].quantities['b']: must be an integer, not float"),
        ({"occurred_at": 2**63}, f"RequestBatch.events[0].occurred_at: {2**63} does not fit into the schema's long"),
        ({"outcome": "lost"}, "RequestBatch.events[0].outcome: 'lost' is none of processed, invalid, "),
        ({"ip": 5}, "RequestBatch.events[0].ip: must be a string, not int"),
        ({"quantities": []}, "RequestBatch.events[0].quantities: must be an object, not list"),
        ({"quantities": {"results": "1"}}, "RequestBatch.events[0].quantities['results']: must be an integer, not str"),
        ({"quantities": {5: 1}}, "RequestBatch.events[0].quantities, a key: must be a string, not int"),
        ({"endpiont": "/v1"}, "RequestBatch.events[0]: the schema has no field 'endpiont'; it has event_id, "),
    ],
)
def test_a_record_that_does_not_fit_is_refused_with_its_field(change: dict[str, Any], said: str) -> None:
    with pytest.raises(Unencodable) as caught:
        Codec().encode("RequestBatch", {"events": [{**EVENT, **change}]})
    assert str(caught.value).startswith(said)


@pytest.mark.parametrize(
    ("name", "change", "field"),
    [
        ("Grant", {"credits": True}, "credits"),
        ("Grant", {"granted_at": True}, "granted_at"),
        ("Grant", {"expires_at": True}, "expires_at"),
        ("RefundRequest", {"credits": False}, "credits"),
        ("RefundRequest", {"requested_at": True}, "requested_at"),
        ("AccountUpdate", {"at": True}, "at"),
        ("AccountUpdate", {"alert_below": {"credit": True}}, "alert_below['credit']"),
        ("AccountUpdate", {"plan": {"name": "pro", "started_at": True, "ends_at": None}}, "plan.started_at"),
        ("AccountUpdate", {"plan": {"name": "pro", "started_at": 1, "ends_at": True}}, "plan.ends_at"),
        ("PriceBook", {"published_at": True}, "published_at"),
    ],
)
def test_true_is_no_integer_in_any_command(name: str, change: dict[str, Any], field: str) -> None:
    with pytest.raises(Unencodable) as caught:
        Codec().encode(name, EXAMPLES[name] | change)
    assert str(caught.value) == f"{name}.{field}: must be an integer, not bool"


def test_a_missing_field_without_default_is_refused() -> None:
    with pytest.raises(Unencodable, match=r"^Grant\.grant_id: is missing$"):
        Codec().encode("Grant", {"account_id": "a"})


def test_a_number_beyond_the_schemas_int_is_refused() -> None:
    with pytest.raises(Unencodable, match=r"BilledBatch\.events\[0\]\.line: 2147483648 does not fit"):
        Codec().encode("BilledBatch", {**HEAD, "events": [{**LINE, "line": 2**31}]})


def test_a_record_is_not_changed_by_encoding_it() -> None:
    event = dict(SHORT)
    Codec().encode("RequestBatch", {"events": [event]})
    assert event == SHORT


@pytest.mark.parametrize("count", [0, 1, 2, 100])
def test_events_that_were_encoded_one_by_one_make_the_same_batch(count: int) -> None:
    codec = Codec()
    events = [{**EVENT, "event_id": f"evt-{number}"} for number in range(count)]
    joined = codec.join_events([codec.encode_event(event) for event in events])
    assert joined == codec.encode("RequestBatch", {"events": events})


@pytest.mark.parametrize("change", [{"keeps_hold": 1}, {"quantities": {"results": True}}, {"extra": 1}])
def test_an_event_by_itself_is_judged_as_in_its_batch(change: dict[str, Any]) -> None:
    with pytest.raises(Unencodable):
        Codec().encode("RequestBatch", {"events": [{**EVENT, **change}]})
    with pytest.raises(Unencodable):
        Codec().encode_event({**EVENT, **change})

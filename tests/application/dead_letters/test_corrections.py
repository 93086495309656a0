"""A dead letter that a person has edited: every mistake is named, and what is right becomes bytes to send."""

import json
from typing import Any

import pytest

from application.dead_letters.corrections import changed_fields, read_correction
from application.errors import Misconfigured
from metering.records import Command
from metering.validation import EVENT_FIELDS
from schemas.catalog import COMMANDS, current
from schemas.codec import Codec
from streams.log.partitioner import partition_of

AT = 1_770_000_000_000
PLACE = "1@7/0"
EVENT = {"event_id": "e", "account_id": "acme", "occurred_at": AT, "endpoint": "/x", "channel": "api"}
GRANT = {"grant_id": "g", "account_id": "acme", "credit_type": "c", "credits": 5, "granted_at": AT}


def letter(name: str, record: Any) -> str:
    """As `dead-letters show --json` prints it."""
    return json.dumps({"place": PLACE, "reason": "invalid_event", "decoded": {"name": name, "record": record}})


def mistakes(text: str) -> tuple[str, ...]:
    with pytest.raises(Misconfigured) as refused:
        read_correction(text, PLACE, Codec(), 4)
    return refused.value.mistakes


def test_what_is_right_can_be_sent() -> None:
    event = EVENT | {"occurred_at": "2026-02-02T02:40:00Z", "ip": "192.0.2.1", "outcome": "processed"}
    corrected = read_correction(letter("RequestBatch", {"events": [event]}), PLACE, Codec(), 4)
    assert corrected.partition == partition_of("acme", 4)
    command, record = Codec().decode_command(corrected.value)
    assert command == Command.REQUEST
    (sent,) = record["events"]
    assert (sent["occurred_at"], sent["ip"], sent["domain"], sent["quantities"]) == (AT, "192.0.2.1", None, {})


def test_the_decoded_part_alone_will_do() -> None:
    text = json.dumps({"name": "Grant", "record": GRANT | {"expires_at": AT + 1}})
    command, record = Codec().decode_command(read_correction(text, PLACE, Codec(), 4).value)
    assert (command, record["credits"], record["expires_at"], record["reason"]) == (Command.GRANT, 5, AT + 1, "")


def test_every_mistake_is_named() -> None:
    event = {"event_id": "", "occurred_at": 7, "endpoint": "/x", "ip": "nowhere", "colour": "red"}
    problems = mistakes(letter("RequestBatch", {"events": [EVENT | {"domain": "nope"}, event]}))
    fields = [mistake.partition(":")[0] for mistake in problems]
    assert fields == [
        "record.events[0].domain",
        *(f"record.events[1].{name}" for name in ("event_id", "account_id", "occurred_at", "channel", "ip", "colour")),
    ]
    assert "should be an IPv4 or IPv6 address, or null" in problems[5]


@pytest.mark.parametrize(
    ("name", "record", "field"),
    [
        ("Grant", GRANT | {"credits": 0}, "credits"),
        ("Grant", GRANT | {"expires_at": AT}, "expires_at"),
        ("Grant", GRANT | {"grant_id": "refund:x"}, "grant_id"),
        ("RefundRequest", {"refund_id": "r", "account_id": "a", "requested_at": AT}, "event_id"),
        ("AccountUpdate", {"update_id": "u", "account_id": "a", "at": AT, "on_empty": "maybe"}, "on_empty"),
        ("AccountUpdate", {"update_id": "u", "account_id": "a", "at": AT, "plan": {"name": "p"}}, "plan"),
    ],
)
def test_other_commands(name: str, record: dict[str, Any], field: str) -> None:
    (problem,) = mistakes(letter(name, record))
    assert problem.startswith(f"record.{field}: is ")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "it is not JSON"),
        ("[]", "it should be one object"),
        (json.dumps({"place": "1@8/0"}), "place: it is the letter at 1@8/0, not the one at 1@7/0"),
        (json.dumps({"place": PLACE, "decoded": None}), "decoded: should be"),
        (letter("PriceBook", {}), "prices publish"),
        (letter("Nonsense", {}), "should be one of RequestBatch"),
        (letter("RequestBatch", {"events": []}), "at least one event"),
        (letter("RequestBatch", {"events": [1]}), "at least one event"),
    ],
)
def test_what_is_no_letter(text: str, said: str) -> None:
    (problem,) = mistakes(text)
    assert said in problem


def test_events_of_several_partitions_cannot_be_one_message() -> None:
    other = next(f"a{number}" for number in range(99) if partition_of(f"a{number}", 4) != partition_of("acme", 4))
    (problem,) = mistakes(letter("RequestBatch", {"events": [EVENT, EVENT | {"account_id": other}]}))
    assert "in several partitions" in problem


def test_what_differs_is_told() -> None:
    before = ("RequestBatch", {"events": [EVENT | {"ip": "nowhere", "attributes": {"a": "x"}}]})
    event = EVENT | {"ip": None, "attributes": {"b": "x"}}
    after = read_correction(letter("RequestBatch", {"events": [event]}), PLACE, Codec(), 4)
    changes = list(changed_fields(before, after))
    assert 'events[0].ip: "nowhere" -> null' in changes
    assert 'events[0].attributes.a: "x" -> nothing' in changes
    assert 'events[0].attributes.b: nothing -> "x"' in changes
    assert next(changed_fields(None, after)).startswith("the bytes that nobody could read")


@pytest.mark.parametrize("name", [name for name, word in COMMANDS.items() if word != Command.PRICE_BOOK])
def test_every_field_of_the_schemas_is_known(name: str) -> None:
    """A field that is added to a schema must be added to the good commands, too; else it is called unknown."""
    is_batch = name == "RequestBatch"
    fields = EVENT_FIELDS if is_batch else [field["name"] for field in fields_of(name)]
    empty = dict.fromkeys(fields)
    problems = mistakes(letter(name, {"events": [empty]} if is_batch else empty))
    assert problems
    assert not [mistake for mistake in problems if "there is no such field" in mistake]


def fields_of(name: str) -> Any:
    schema: Any = current(name)
    return schema["fields"]

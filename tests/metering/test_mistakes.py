"""What a field may hold, in words: known for every field of every command, and said with the value that it had."""

from copy import deepcopy
from typing import Any

import pytest

from metering.mistakes import CHECKS, all_mistakes, allowed_values, first_mistake
from metering.records import Command
from schemas.catalog import COMMANDS, current

AT = 1_770_000_000_000
EVENT = {"event_id": "e", "account_id": "a", "occurred_at": AT, "endpoint": "/", "channel": "api", "outcome": "invalid"}
UPDATE = {"update_id": "u", "account_id": "a", "at": AT}
GRANT = {"grant_id": "g", "account_id": "a", "credit_type": "c", "credits": 1, "granted_at": AT}


def fields_of(name: str) -> list[str]:
    schema: Any = current(name)
    if name == "RequestBatch":
        schema = schema["fields"][0]["type"]["items"]
    return [field["name"] for field in schema["fields"]]


@pytest.mark.parametrize(
    ("command", "field"),
    [
        (Command(word), field)
        for name, word in COMMANDS.items()
        if word != Command.PRICE_BOOK
        for field in fields_of(name)
    ],
)
def test_every_field_of_every_command_has_its_words(command: Command, field: str) -> None:
    assert allowed_values(command, field)
    assert command in CHECKS


@pytest.mark.parametrize(
    ("command", "record", "sentence"),
    [
        (Command.REQUEST, EVENT | {"ip": "nowhere"}, 'ip: is "nowhere", should be an IPv4 or IPv6 address, or null'),
        (Command.REQUEST, EVENT | {"colour": "red"}, "colour: there is no such field"),
        (Command.REQUEST, {"event_id": "e"}, "account_id: is missing, should be 1 to 128 characters"),
        (Command.REQUEST, EVENT | {"quantities": {"a": 1, "b": True}},
         'quantities["b"]: is true, should be a whole number from 0 to 1,000,000,000'),
        (Command.REQUEST, EVENT | {"quantities": {"a": 1, "b": -1}},
         'quantities["b"]: is -1, should be a whole number from 0 to 1,000,000,000'),
        (Command.REQUEST, EVENT | {"quantities": {"a": 1.0}},
         'quantities["a"]: is 1.0, should be a whole number from 0 to 1,000,000,000'),
        (Command.REQUEST, EVENT | {"quantities": {"": 1}},
         'quantities: has the name "", should be 1 to 256 characters'),
        (Command.REQUEST, EVENT | {"quantities": {7: 1}}, "quantities: has the name 7, should be 1 to 256 characters"),
        (Command.REQUEST, EVENT | {"quantities": "many"},
         'quantities: is "many", should be at most 32 names with whole numbers from 0 to 1,000,000,000'),
        (Command.REQUEST, EVENT | {"attributes": {"a": "b", "c": None}},
         'attributes["c"]: is null, should be a text of at most 1,024 characters'),
        (Command.REQUEST, EVENT | {"attributes": {"a": "\ud800"}},
         'attributes["a"]: is "\\ud800", should be a text of at most 1,024 characters'),
        (Command.REQUEST, EVENT | {"occurred_at": 10**5000},
         ("occurred_at: is a number of very many digits, should be a time of the years 2000 to 9999, in ms or as "
         "2026-01-31T12:00:00Z")),
        (Command.REQUEST, EVENT | {"occurred_at": True},
         "occurred_at: is true, should be a time of the years 2000 to 9999, in ms or as 2026-01-31T12:00:00Z"),
        (Command.REQUEST, EVENT | {"recorded_at": 0},
         "recorded_at: is 0, should be a time of the years 2000 to 9999, in ms or as 2026-01-31T12:00:00Z"),
        (Command.GRANT, GRANT | {"expires_at": 2**63 - 1},
         (f"expires_at: is {2**63 - 1}, should be a time later than granted_at and not after the year 9999, or null "
         "for never")),
        (Command.ACCOUNT, UPDATE | {"alert_below": {"credit": False}},
         'alert_below["credit"]: is false, should be a whole number that fits 64 bits'),
        (Command.ACCOUNT, UPDATE | {"plan": {"name": "pro", "started_at": 0}},
         "plan.started_at: is 0, should be a time of the years 2000 to 9999, in ms or as 2026-01-31T12:00:00Z"),
        (Command.ACCOUNT, UPDATE | {"plan": {"name": "pro", "started_at": AT, "ends_at": AT}},
         f"plan.ends_at: is {AT}, should be a time later than started_at, or null for no end"),
        (Command.ACCOUNT, UPDATE | {"plan": {"name": "pro", "started_at": AT, "ends_at": 2**62}},
         f"plan.ends_at: is {2**62}, should be a time later than started_at, or null for no end"),
        (Command.ACCOUNT, UPDATE | {"plan": {"name": "pro"}},
         "plan.started_at: is missing, should be a time of the years 2000 to 9999, in ms or as 2026-01-31T12:00:00Z"),
        (Command.ACCOUNT, UPDATE | {"plan": {"name": "pro", "started_at": AT, "end": 1}},
         'plan: there is no such field in it: "end"'),
        (Command.REQUEST, EVENT | {"event_id": "x" * 500}, f'event_id: is "{"x" * 79}…, should be 1 to 128 characters'),
        (Command.GRANT, GRANT | {"credits": 0}, "credits: is 0, should be a whole number from 1 to 1,000,000,000,000"),
        (Command.GRANT, GRANT, None),
    ],
)  # fmt: skip
def test_the_first_mistake_names_field_value_and_what_is_allowed(
    command: Command, record: dict[str, Any], sentence: str | None
) -> None:
    assert first_mistake(command, record) == sentence


GOOD = {Command.REQUEST: EVENT, Command.ACCOUNT: UPDATE, Command.GRANT: GRANT}


@pytest.mark.parametrize(
    ("command", "change", "paths"),
    [
        (Command.REQUEST, {}, []),
        (
            Command.REQUEST,
            {"event_id": "", "ip": "nowhere", "quantities": {"a": -1, "b": 1, "c": 1.5}, "colour": 1, "size": 2},
            [("event_id",), ("ip",), ("quantities", "a"), ("quantities", "c"), ("colour",), ("size",)],
        ),
        (Command.REQUEST, {"attributes": {str(number): "" for number in range(40)}}, [("attributes",)]),
        (Command.REQUEST, {"quantities": 5, "attributes": []}, [("quantities",), ("attributes",)]),
        (Command.GRANT, {"granted_at": 5, "expires_at": AT, "credits": 0}, [("credits",), ("granted_at",)]),
        (Command.GRANT, {"granted_at": 5, "expires_at": 7}, [("granted_at",), ("expires_at",)]),
        (Command.ACCOUNT, {"plan": {"name": ""}, "alert_below": {"a": "b"}}, [("plan",), ("alert_below", "a")]),
    ],
)
def test_all_mistakes_are_found_in_the_schema_s_order(
    command: Command, change: dict[str, Any], paths: list[tuple[str, ...]]
) -> None:
    record = {**GOOD[command], **change}
    before = deepcopy(record)
    assert [mistake.path for mistake in all_mistakes(command, record)] == paths
    assert record == before


def test_a_hold_s_end_is_judged_by_itself_where_its_beginning_is_wrong() -> None:
    hold = {"hold_id": "h", "account_id": "a", "credits": {"c": 1, "d": 0}, "held_at": 5, "expires_at": AT}
    assert [mistake.path for mistake in all_mistakes(Command.HOLD, hold)] == [("credits", "d"), ("held_at",)]
    assert [mistake.path for mistake in all_mistakes(Command.HOLD, {**hold, "expires_at": 7})] == [
        ("credits", "d"), ("held_at",), ("expires_at",),
    ]  # fmt: skip
    empty = {**hold, "credits": {"d": 0}, "held_at": AT - 1}
    assert [mistake.path for mistake in all_mistakes(Command.HOLD, empty)] == [("credits", "d")]
    assert len(all_mistakes(Command.HOLD, {f"n{number}": 1 for number in range(200)}, most=10)) == 10

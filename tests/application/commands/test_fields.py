"""What a field may hold, in words: known for every field of every command, and said with the value that it had."""

from typing import Any

import pytest

from application.commands.fields import CHECKS, allowed_values, first_mistake
from metering.records import Command
from schemas.catalog import COMMANDS, current

AT = 1_770_000_000_000
EVENT = {"event_id": "e", "account_id": "a", "occurred_at": AT, "endpoint": "/", "channel": "api", "outcome": "invalid"}
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
         'quantities["b"]: is true, should be at most 32 names with whole numbers from 0 to 1,000,000,000'),
        (Command.REQUEST, EVENT | {"quantities": {"a": -1}},
         'quantities: is {"a": -1}, should be at most 32 names with whole numbers from 0 to 1,000,000,000'),
        (Command.REQUEST, EVENT | {"event_id": "x" * 500}, f'event_id: is "{"x" * 79}…, should be 1 to 128 characters'),
        (Command.GRANT, GRANT | {"credits": 0}, "credits: is 0, should be a whole number from 1 to 1,000,000,000,000"),
        (Command.GRANT, GRANT, None),
    ],
)  # fmt: skip
def test_the_first_mistake_names_field_value_and_what_is_allowed(
    command: Command, record: dict[str, Any], sentence: str | None
) -> None:
    assert first_mistake(command, record) == sentence

"""A command with a wrong field is refused before it is sent, in the words that every front shows."""

from __future__ import annotations

from typing import Any

import pytest

from application.commands.fields import BadField, raise_on_bad_field
from application.errors import ErrorCode
from metering.records import Command

GRANT: dict[str, Any] = {
    "grant_id": "g", "account_id": "acme", "credit_type": "credit", "credits": 5, "granted_at": 1_767_225_600_000,
    "expires_at": None, "reason": "",
}  # fmt: skip


def test_the_first_wrong_field_is_named_with_its_value_and_what_it_may_be() -> None:
    with pytest.raises(BadField) as raised:
        raise_on_bad_field(Command.GRANT, GRANT | {"credits": 0, "reason": None})
    error = raised.value
    assert (error.command, error.field, error.code) == (Command.GRANT, "credits", ErrorCode.INVALID)
    assert error.message == "credits: is 0, should be a whole number from 1 to 1,000,000,000,000"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"grant_id": "refund:x"}, "grant_id"),
        ({"credits": True}, "credits"),
        ({"expires_at": GRANT["granted_at"]}, "expires_at"),
        ({"extra": 1}, "extra"),
    ],
)
def test_each_wrong_field_of_a_grant_is_found(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(BadField) as raised:
        raise_on_bad_field(Command.GRANT, GRANT | fields)
    assert raised.value.field == field


def test_a_good_record_passes_and_stays_as_it_was_given() -> None:
    event = {"event_id": "e", "account_id": "a", "occurred_at": 1_767_225_600_000, "endpoint": "/x", "channel": "api"}
    event["outcome"] = "processed"
    given = dict(event)
    raise_on_bad_field(Command.REQUEST, event)
    assert event == given, "the check itself adds what is absent, to a copy"

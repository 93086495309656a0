"""What each field of a command may hold, in words, and which check of `metering` judges a command.

`metering` names the first bad field of a command; this module says what the field should have held. Every front uses
these sentences, so that a dead letter's correction, `emit`, `grant` and the others explain a mistake alike.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from application.errors import ErrorCode, UseCaseError
from metering.records import Command
from metering.validation import check_account_update, check_event, check_grant, check_refund

CHECKS: Mapping[Command, Callable[[dict[str, Any]], str | None]] = {
    Command.REQUEST: check_event,
    Command.REFUND: check_refund,
    Command.GRANT: check_grant,
    Command.ACCOUNT: check_account_update,
}
"""The check of each command: the name of the first bad field in the schema's order, or None (SPEC 3, step 1)."""

_ID, _TIME = "1 to 128 characters", "a time of the years 2000 to 9999, in ms or as 2026-01-31T12:00:00Z"
_SHORT, _OPTIONAL = "1 to 256 characters", "at most 256 characters, or null"
_ALLOWED = {
    "event_id": _ID, "account_id": _ID, "refund_id": _ID, "update_id": _ID,
    "grant_id": f"{_ID}, not beginning with refund:",
    "occurred_at": _TIME, "requested_at": _TIME, "granted_at": _TIME, "at": _TIME,
    "expires_at": "a time later than granted_at and not after the year 9999, or null for never",
    "endpoint": _SHORT, "channel": _SHORT, "credit_type": _SHORT,
    "outcome": "processed, invalid, unauthenticated, rate_limited, blocked or failed",
    "ip": "an IPv4 or IPv6 address, or null", "domain": "a domain like acme.com, or null",
    "request_id": _OPTIONAL, "actor": _OPTIONAL, "user_id": _OPTIONAL, "charge": _OPTIONAL,
    "quantities": "at most 32 names with whole numbers from 0 to 1,000,000,000",
    "attributes": "at most 32 names with texts of at most 1,024 characters",
    "credits": "a whole number from 1 to 1,000,000,000,000",
    "reason": "at most 1,024 characters", "on_empty": "allow or reject",
    "alert_below": "credit types of 1 to 256 characters with whole numbers that fit 64 bits",
    "plan": "a name of at most 256 characters, or null",
}  # fmt: skip
_ALLOWED_BY_COMMAND = {
    (Command.REFUND, "credits"): "a whole number from 1 to 9,223,372,036,854,775,807, or null for all that is left",
    (
        Command.ACCOUNT,
        "plan",
    ): "a name of 1 to 256 characters, started_at and a later ends_at (or null) of the years 2000 to 9999; or null",
}
_LONGEST_VALUE_SHOWN = 80


class BadField(UseCaseError):
    """A field of a command that is to be sent is wrong: nothing was sent. `field` is its name."""

    code = ErrorCode.INVALID

    def __init__(self, command: Command, record: Mapping[str, Any], field: str) -> None:
        super().__init__(mistake(command, record, field))
        self.command = command
        self.field = field


def raise_on_bad_field(command: Command, record: Mapping[str, Any]) -> None:
    """Raises BadField with the first field of the record that is wrong; the record stays as it is."""
    field = CHECKS[command](dict(record))
    if field is not None:
        raise BadField(command, record, field)


def allowed_values(command: Command, field: str) -> str:
    """What `field` of `command` may hold, as a phrase that follows "should be". Raises KeyError for no field."""
    return _ALLOWED_BY_COMMAND.get((command, field)) or _ALLOWED[field]


def first_mistake(command: Command, record: dict[str, Any]) -> str | None:
    """What is wrong with the first bad field of a record, as a sentence that begins with the field; None: all is right.

    A good record is brought to its plain form in place, as `metering.validation` does.
    """
    field = CHECKS[command](record)
    return None if field is None else mistake(command, record, field)


def mistake(command: Command, record: Mapping[str, Any], field: str) -> str:
    """`ip: is "nowhere", should be an IPv4 or IPv6 address, or null`, for a field that the command's check named."""
    try:
        allowed = allowed_values(command, field)
    except KeyError:
        return f"{field}: there is no such field"
    if field not in record:
        return f"{field}: is missing, should be {allowed}"
    return f"{_place_and_value(field, record[field])}, should be {allowed}"


def _place_and_value(field: str, value: Any) -> str:
    """The field and its value; of a map with one wrong entry, the entry alone."""
    shown = json.dumps(value, ensure_ascii=False, default=str)
    if field in {"quantities", "alert_below"} and isinstance(value, dict):
        wrong = {name: amount for name, amount in value.items() if type(amount) is not int}
        if wrong:
            name, amount = next(iter(wrong.items()))
            return f"{field}[{json.dumps(name, ensure_ascii=False)}]: is {_cut(json.dumps(amount, default=str))}"
    return f"{field}: is {_cut(shown)}"


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_VALUE_SHOWN else f"{text[:_LONGEST_VALUE_SHOWN]}…"

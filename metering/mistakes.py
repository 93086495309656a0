"""Describes in words what each field of a command may hold; names the check that judges each command.

The checks of `validation` name the first bad field; here stands the sentence for people: the field, or the entry of it
that is wrong, the value that it has, and what it should be. A producer's `add`, `emit`, and the correction of a dead
letter so explain a mistake alike. Nothing here is asked while events are decided.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from metering.records import LAST_INSTANT, YEAR_2000, Command
from metering.validation import check_account_update, check_event, check_grant, check_hold, check_refund

CHECKS: Mapping[Command, Callable[[dict[str, Any]], str | None]] = {
    Command.REQUEST: check_event,
    Command.HOLD: check_hold,
    Command.REFUND: check_refund,
    Command.GRANT: check_grant,
    Command.ACCOUNT: check_account_update,
}
"""The check of each command: the name of the first bad field in the schema's order, or None (SPEC 3, step 1)."""

_ID, _TIME = "1 to 128 characters", "a time of the years 2000 to 9999, in ms or as 2026-01-31T12:00:00Z"
_SHORT, _OPTIONAL = "1 to 256 characters", "at most 256 characters, or null"
_ALLOWED = {
    "event_id": _ID, "account_id": _ID, "refund_id": _ID, "update_id": _ID, "hold_id": _ID,
    "grant_id": f"{_ID}, not beginning with refund:",
    "occurred_at": _TIME, "requested_at": _TIME, "granted_at": _TIME, "held_at": _TIME, "at": _TIME,
    "expires_at": "a time later than granted_at and not after the year 9999, or null for never",
    "keeps_hold": "true or false",
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
    (Command.REQUEST, "hold_id"): f"{_ID}, or null",
    (Command.HOLD, "credits"): "1 to 8 credit types with whole numbers from 1 to 1,000,000,000,000",
    (Command.HOLD, "expires_at"): "a time later than held_at, by 30 days at most",
    (Command.REFUND, "credits"): "a whole number from 1 to 9,223,372,036,854,775,807, or null for all that is left",
    (
        Command.ACCOUNT,
        "plan",
    ): "a name of 1 to 256 characters, started_at and a later ends_at (or null) of the years 2000 to 9999; or null",
}
_ALLOWED_IN_ENTRIES = {
    "quantities": "a whole number from 0 to 1,000,000,000",
    "attributes": "a text of at most 1,024 characters",
    "alert_below": "a whole number that fits 64 bits",
}
_GOOD_ENTRY: dict[str, Any] = {"quantities": 0, "attributes": "", "alert_below": 0}
_GOOD_PLAN = {"name": "pro", "started_at": YEAR_2000, "ends_at": None}
_ALLOWED_IN_PLAN = {"name": _SHORT, "started_at": _TIME, "ends_at": "a time later than started_at, or null for no end"}
_LONGEST_VALUE_SHOWN = 80


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
    """`ip: is "nowhere", should be an IPv4 or IPv6 address, or null`, for a field that the command's check named.

    Of a map the entry that is wrong: `quantities["results"]: is true, should be a whole number from 0 to …`.
    """
    try:
        allowed = allowed_values(command, field)
    except KeyError:
        if field == "recorded_at":  # not a field of the command: a file's reader leaves it there where it is no time
            return f"{field}: is {_shown(record[field])}, should be {_TIME}"
        return f"{field}: there is no such field"
    if field not in record:
        return f"{field}: is missing, should be {allowed}"
    value = record[field]
    if isinstance(value, dict):
        inner = _in_plan(command, record, value) if field == "plan" else _in_entries(command, record, field, value)
        if inner is not None:
            return inner
    return f"{field}: is {_shown(value)}, should be {allowed}"


class FieldMistake(NamedTuple):
    """One wrong thing in a record: the field, and for an entry of a map its name behind it; and the sentence."""

    path: tuple[str, ...]
    sentence: str


def all_mistakes(command: Command, record: Mapping[str, Any], most: int = 100) -> list[FieldMistake]:
    """Every mistake of a record, in the schema's order, `most` at most; empty for a good one. The record stays.

    Each wrong thing is put right in a copy, and the check is asked again. A time that only another wrong field makes
    wrong is not among them.
    """
    left = {name: dict(value) if isinstance(value, dict) else value for name, value in record.items()}
    mistakes: list[FieldMistake] = []
    while len(mistakes) < most and (field := CHECKS[command](left)) is not None:
        entry = _wrong_entry(command, left, field)
        path = (field,) if entry is None else (field, entry)
        mistakes.append(FieldMistake(path, mistake(command, left, field)))
        if entry is not None:
            del left[field][entry]
            if not left[field]:
                left[field] = _GOOD[command][field]
        elif field in _GOOD[command]:
            left[field] = _good_value(command, left, field)
        else:
            del left[field]
    return mistakes


def _wrong_entry(command: Command, record: Mapping[str, Any], field: str) -> str | None:
    """The name of the first entry of a map that is wrong by itself; None where the field as a whole is."""
    entries = record.get(field)
    if field not in _GOOD_ENTRY and (command, field) != (Command.HOLD, "credits"):
        return None
    if not isinstance(entries, dict):
        return None
    return next((name for name, value in entries.items() if not _is_right(command, record, field, {name: value})), None)


_GOOD: Mapping[Command, Mapping[str, Any]] = {
    Command.REQUEST: {
        "event_id": "e", "account_id": "a", "occurred_at": YEAR_2000, "endpoint": "e", "channel": "c",
        "outcome": "processed", "request_id": None, "actor": None, "user_id": None, "ip": None, "domain": None,
        "plan": None, "hold_id": None, "keeps_hold": False, "quantities": {}, "attributes": {},
    },
    Command.HOLD: {
        "hold_id": "h", "account_id": "a", "credits": {"c": 1}, "held_at": YEAR_2000, "expires_at": YEAR_2000 + 1,
        "reason": "",
    },
    Command.REFUND: {
        "refund_id": "r", "account_id": "a", "event_id": "e", "charge": None, "credits": None, "reason": "",
        "requested_at": YEAR_2000,
    },
    Command.GRANT: {
        "grant_id": "g", "account_id": "a", "credit_type": "c", "credits": 1, "granted_at": YEAR_2000,
        "expires_at": None, "reason": "",
    },
    Command.ACCOUNT: {
        "update_id": "u", "account_id": "a", "plan": None, "on_empty": "allow", "alert_below": {}, "at": YEAR_2000,
    },
}  # fmt: skip
"""A record of each command with nothing wrong in it."""


def _good_value(command: Command, record: Mapping[str, Any], field: str) -> Any:
    """What puts a field right: an end behind its beginning, and a beginning that makes the end right where one can."""
    if command is Command.HOLD and field == "expires_at":
        return record["held_at"] + 1
    if field in {"held_at", "granted_at"}:
        end = record.get("expires_at")
        if type(end) is int and YEAR_2000 < end <= LAST_INSTANT:
            return end - 1
    return _GOOD[command][field]


def _in_entries(command: Command, record: Mapping[str, Any], field: str, entries: dict[Any, Any]) -> str | None:
    """The sentence for the first entry of a map that is wrong by itself."""
    if field not in _GOOD_ENTRY:
        return None
    for name, value in entries.items():
        if _is_right(command, record, field, {name: value}):
            continue
        if _is_right(command, record, field, {name: _GOOD_ENTRY[field]}):
            return f"{field}[{_shown(name)}]: is {_shown(value)}, should be {_ALLOWED_IN_ENTRIES[field]}"
        return f"{field}: has the name {_shown(name)}, should be {_SHORT}"
    return None


def _in_plan(command: Command, record: Mapping[str, Any], plan: dict[Any, Any]) -> str | None:
    """The sentence for the first part of an account's plan that is wrong by itself."""
    if command is not Command.ACCOUNT:
        return None
    for name, value in plan.items():
        if name not in _GOOD_PLAN:
            return f"plan: there is no such field in it: {_shown(name)}"
        if not _is_right(command, record, "plan", {**_GOOD_PLAN, name: value}):
            return f"plan.{name}: is {_shown(value)}, should be {_ALLOWED_IN_PLAN[name]}"
    for name in ("name", "started_at"):
        if name not in plan:
            return f"plan.{name}: is missing, should be {_ALLOWED_IN_PLAN[name]}"
    return f"plan.ends_at: is {_shown(plan.get('ends_at'))}, should be {_ALLOWED_IN_PLAN['ends_at']}"


def _is_right(command: Command, record: Mapping[str, Any], field: str, value: Any) -> bool:
    """Whether a field, the first bad one of the record, would be right with another value."""
    return CHECKS[command]({**record, field: value}) != field


def _shown(value: Any) -> str:
    """A value as JSON writes it, cut where it is long; readable whatever a program or a file has put there."""
    if isinstance(value, int) and value.bit_length() > 256:
        return "a number of very many digits"  # which Python may refuse to write out
    try:
        text = json.dumps(value, ensure_ascii=False, default=str)
    except (TypeError, ValueError, RecursionError):
        text = f"a {type(value).__name__} that JSON cannot write"
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= _LONGEST_VALUE_SHOWN else f"{text[:_LONGEST_VALUE_SHOWN]}…"

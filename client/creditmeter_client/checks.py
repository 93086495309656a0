"""The checks that can be made before anything is sent, so that one mistaken event holds up no other.

They are SPEC 3's for lengths, types and ranges. Addresses and domains are judged by the meter.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from creditmeter_client.errors import FieldMistake
from creditmeter_client.usage import Command, Event

MAX_ID = 128
MAX_TEXT = 256
MAX_LONG_TEXT = 1_024
MAX_ENTRIES = 32
MAX_QUANTITY = 10**9
FIRST_TIME = 946_684_800_000
"""2000-01-01 in ms."""
LAST_TIME = 253_402_300_799_999
"""The last ms of the year 9999."""

_IDS = ("event_id", "account_id", "hold_id", "refund_id")
_TEXTS = ("endpoint", "channel", "outcome", "request_id", "actor", "user_id", "ip", "domain", "plan", "charge")
_TIMES = frozenset({"occurred_at", "requested_at"})
_REQUIRED = {True: ("event_id", "account_id", "endpoint", "channel"), False: ("refund_id", "account_id", "event_id")}


def check(command: Command) -> tuple[FieldMistake, ...]:
    """Every mistake in the command; an empty tuple where it can be sent."""
    fields = command.fields
    if _is_plain(fields, _REQUIRED[isinstance(command, Event)]):
        return ()
    missing = [name for name in _REQUIRED[isinstance(command, Event)] if not fields.get(name)]
    return (
        *(FieldMistake(f"/{name}", "is missing or empty") for name in missing),
        *(mistake for name in _IDS if fields.get(name) for mistake in _text(f"/{name}", fields[name], MAX_ID)),
        *(mistake for name in _TEXTS if fields.get(name) for mistake in _text(f"/{name}", fields[name], MAX_TEXT)),
        *_text("/reason", fields.get("reason", ""), MAX_LONG_TEXT),
        *_time("occurred_at" if isinstance(command, Event) else "requested_at", fields),
        *_map("quantities", fields, _quantity),
        *_map("attributes", fields, _attribute),
    )


def _is_plain(fields: Mapping[str, Any], required: tuple[str, ...]) -> bool:
    """Whether all of it is short ASCII and small numbers, as almost always: then nothing else has to be looked at."""
    for name, value in fields.items():
        kind = type(value)
        if kind is str:
            if not 0 < len(value) <= MAX_ID or not value.isascii():
                return False
        elif kind is int:
            if name not in _TIMES or not FIRST_TIME <= value <= LAST_TIME:
                return False
        elif kind is not dict or len(value) > MAX_ENTRIES or not _is_plain_map(name, value):
            return False
    return all(name in fields for name in required) and not _TIMES.isdisjoint(fields)


def _is_plain_map(name: str, entries: Mapping[Any, Any]) -> bool:
    if name == "quantities":
        values_are_plain = all(type(value) is int and 0 <= value <= MAX_QUANTITY for value in entries.values())
    else:
        values_are_plain = name == "attributes" and all(
            type(value) is str and len(value) <= MAX_TEXT and value.isascii() for value in entries.values()
        )
    return values_are_plain and all(type(key) is str and 0 < len(key) <= MAX_TEXT and key.isascii() for key in entries)


def _text(pointer: str, value: Any, longest: int) -> Iterator[FieldMistake]:
    if not isinstance(value, str):
        yield FieldMistake(pointer, f"must be text, not {type(value).__name__}")
    elif len(value) > longest:
        yield FieldMistake(pointer, f"has {len(value)} characters; at most {longest} are allowed")
    elif not _is_encodable(value):
        yield FieldMistake(pointer, "has half of a surrogate pair, which UTF-8 can't hold")


def _time(name: str, fields: Mapping[str, Any]) -> Iterator[FieldMistake]:
    value = fields.get(name)
    if not _is_whole(value, FIRST_TIME, LAST_TIME):
        yield FieldMistake(
            f"/{name}", f"must be whole milliseconds since 1970, from the year 2000 on, not {value!r:.40}"
        )


def _map(name: str, fields: Mapping[str, Any], entry: Any) -> Iterator[FieldMistake]:
    entries = fields.get(name, {})
    if len(entries) > MAX_ENTRIES:
        yield FieldMistake(f"/{name}", f"has {len(entries)} entries; at most {MAX_ENTRIES} are allowed")
    for key, value in entries.items():
        if not isinstance(key, str) or not 0 < len(key) <= MAX_TEXT or not _is_encodable(key):
            yield FieldMistake(f"/{name}", f"the name {key!r:.40} must be text of 1 to {MAX_TEXT} characters")
        else:
            yield from entry(f"/{name}/{key.replace('~', '~0').replace('/', '~1')}", value)


def _quantity(pointer: str, value: Any) -> Iterator[FieldMistake]:
    if not _is_whole(value, 0, MAX_QUANTITY):
        yield FieldMistake(pointer, f"must be a whole number from 0 to {MAX_QUANTITY}, not {value!r:.40}")


def _attribute(pointer: str, value: Any) -> Iterator[FieldMistake]:
    yield from _text(pointer, value, MAX_LONG_TEXT)


def _is_whole(value: Any, least: int, most: int) -> bool:
    return type(value) is int and least <= value <= most


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True

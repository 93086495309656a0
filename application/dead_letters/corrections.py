"""A dead letter that a person has edited: reads it from JSON, names every mistake, and encodes it for sending.

What may stand in each field is `metering`'s to judge. It names the first bad field of a command; here each field is
tried by itself in a command that is good otherwise, so that all of them are known at once.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, NoReturn

from application.commands.fields import CHECKS, allowed_values
from application.errors import Misconfigured
from application.input.ndjson import BadLine, read_command
from metering.records import Command
from schemas.catalog import COMMANDS
from schemas.codec import Codec
from streams.log.partitioner import partition_of

_AT = 1_767_225_600_000
_GOOD: dict[Command, dict[str, Any]] = {
    Command.REQUEST: {
        "event_id": "e", "account_id": "a", "occurred_at": _AT, "endpoint": "/", "channel": "api",
        "outcome": "processed", "request_id": None, "actor": None, "user_id": None, "ip": None, "domain": None,
        "plan": None, "hold_id": None, "keeps_hold": False, "quantities": {}, "attributes": {},
    },
    Command.HOLD: {
        "hold_id": "h", "account_id": "a", "credits": {"c": 1}, "held_at": _AT, "expires_at": _AT + 1, "reason": "",
    },
    Command.REFUND: {
        "refund_id": "r", "account_id": "a", "event_id": "e", "charge": None, "credits": None, "reason": "",
        "requested_at": _AT,
    },
    Command.GRANT: {
        "grant_id": "g", "account_id": "a", "credit_type": "c", "credits": 1, "granted_at": _AT, "expires_at": None,
        "reason": "",
    },
    Command.ACCOUNT: {
        "update_id": "u", "account_id": "a", "plan": None, "on_empty": "allow", "alert_below": {}, "at": _AT,
    },
}  # fmt: skip


class CorrectedLetter(NamedTuple):
    """The command to send in a letter's place, and its partition."""

    value: bytes
    partition: int
    name: str
    record: dict[str, Any]


def read_correction(text: str, place: str, codec: Codec, partitions: int) -> CorrectedLetter:
    """Reads what `dead-letters show --json` printed for the letter at `place`, edited; or only its `decoded`.

    Raises Misconfigured with every mistake.
    """
    name, record = _decoded(text, place)
    command = Command(COMMANDS[name])
    single = command is not Command.REQUEST
    events = [record] if single else record.get("events")
    if not isinstance(events, list) or not events or not all(isinstance(event, dict) for event in events):
        _refuse(["record.events: should be a list with at least one event"])
    mistakes: list[str] = []
    plain: list[dict[str, Any]] = []
    for index, event in enumerate(events):
        where = "record" if single else f"record.events[{index}]"
        good = _plain(command, event)
        mistakes += [f"{where}.{text}" for text in _mistakes(command, good)]
        plain.append(good)
    if not mistakes and len({partition_of(event["account_id"], partitions) for event in plain}) > 1:
        mistakes.append("record.events: their accounts are in several partitions: correct them one by one")
    if mistakes:
        _refuse(mistakes)
    whole = plain[0] if single else {"events": plain}
    return CorrectedLetter(codec.encode(name, whole), partition_of(plain[0]["account_id"], partitions), name, whole)


def changed_fields(before: tuple[str, dict[str, Any]] | None, after: CorrectedLetter) -> Iterator[str]:
    """What a correction changes of the original, a line for each field: `events[0].ip: "nowhere" -> null`."""
    if before is None:
        yield f"the bytes that nobody could read -> {after.name}"
        return
    if before[0] != after.name:
        yield f"{before[0]} -> {after.name}"
    old, new = _flat(before[1]), _flat(after.record)
    for field in dict.fromkeys([*old, *new]):
        if old.get(field) != new.get(field):
            yield f"{field}: {_shown(old, field)} -> {_shown(new, field)}"


def _decoded(text: str, place: str) -> tuple[str, dict[str, Any]]:
    try:
        data = json.loads(text)
    except ValueError as error:
        _refuse([f"it is not JSON: {error}"])
    if not isinstance(data, dict):
        _refuse(["it should be one object, as `dead-letters show --json` prints it"])
    if (named := data.get("place", place)) != place:
        _refuse([f"place: it is the letter at {named}, not the one at {place}"])
    decoded = data.get("decoded") if "decoded" in data else data
    if not isinstance(decoded, dict) or not isinstance(decoded.get("record"), dict):
        _refuse(['decoded: should be {"name": …, "record": {…}}; where nobody could read the bytes, what they meant'])
    name = decoded.get("name")
    wanted = [known for known, word in COMMANDS.items() if word != Command.PRICE_BOOK]
    if name == "PriceBook":
        _refuse(["decoded.name: publish a corrected book with `creditmeter prices publish`"])
    if name not in wanted:
        _refuse([f"decoded.name: is {name!r}, should be one of {', '.join(wanted)}"])
    return str(name), decoded["record"]


def _plain(command: Command, record: Mapping[str, Any]) -> dict[str, Any]:
    """The record with times in ms, and with null and empty maps where fields are absent, as `emit` reads it."""
    known = {name: value for name, value in record.items() if name in _GOOD[command]}
    others = {name: value for name, value in record.items() if name not in known}
    read = read_command(1, json.dumps({"type": command, **known}).encode())
    return {**(known if isinstance(read, BadLine) else read.record), **others}


def _mistakes(command: Command, record: Mapping[str, Any]) -> Iterator[str]:
    good, check = _GOOD[command], CHECKS[command]
    if check(dict(record)) is None:
        return
    for field in good:
        trial = {**good, field: record.get(field)}
        if field == "expires_at" and type(record.get("granted_at")) is int:
            trial["granted_at"] = record["granted_at"]
        if check(trial) == field:
            allowed = allowed_values(command, field)
            yield f"{field}: is {json.dumps(record.get(field), ensure_ascii=False)}, should be {allowed}"
    for field in record.keys() - good.keys():
        yield f"{field}: there is no such field; there are {', '.join(good)}"


def _flat(value: Any, path: str = "") -> dict[str, Any]:
    if isinstance(value, dict) and value:
        pairs = [(f"{path}.{name}" if path else name, item) for name, item in value.items()]
    elif isinstance(value, list) and value:
        pairs = [(f"{path}[{index}]", item) for index, item in enumerate(value)]
    else:
        return {path: value}
    return {inner: item for name, part in pairs for inner, item in _flat(part, name).items()}


def _shown(fields: Mapping[str, Any], name: str) -> str:
    return json.dumps(fields[name], ensure_ascii=False, default=str) if name in fields else "nothing"


def _refuse(mistakes: list[str]) -> NoReturn:
    count = "a mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"
    raise Misconfigured(f"The correction has {count}; nothing was sent:", mistakes)

"""Reading commands from NDJSON: one JSON object a line, its `type` a request unless it says otherwise.

What is absent gets its plain form (null, an empty map, `processed`); times may be ms or RFC 3339. Fields are judged by
`metering` alone, so that a file and the stream agree on every mistake: what is wrong is passed on as it is.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from application.input.json_shape import checked_shape
from application.input.lines import Line
from application.input.times import instant
from metering.records import LAST_INSTANT, TIME_FIELD, YEAR_2000, Command, DeadLetterReason, Outcome

_NULLABLE = {
    Command.REQUEST: ("request_id", "actor", "user_id", "ip", "domain", "plan", "hold_id"),
    Command.HOLD: (),
    Command.REFUND: ("charge", "credits"),
    Command.GRANT: ("expires_at",),
    Command.ACCOUNT: ("plan",),
}
_MAPS = {Command.REQUEST: ("quantities", "attributes"), Command.ACCOUNT: ("alert_below",)}
_TIMES = {
    Command.REQUEST: ("occurred_at",),
    Command.HOLD: ("held_at", "expires_at"),
    Command.REFUND: ("requested_at",),
    Command.GRANT: ("granted_at", "expires_at"),
    Command.ACCOUNT: ("at",),
}
TYPES = tuple(str(command) for command in _TIMES)
"""What `type` may say. Price books come from their own files."""


class InputCommand(NamedTuple):
    """A command of the file, ready for `metering.apply`; its fields have not been judged."""

    line_number: int
    name: str
    record: dict[str, Any]
    recorded_at: int


class BadLine(NamedTuple):
    """A line that is no command: `undecodable`, or `invalid_event` with the field where the type is unknown.

    `why`: what is wrong with an undecodable one, for people.
    """

    line_number: int
    reason: DeadLetterReason
    field: str | None
    why: str = ""


class CommandReader:
    """The command, or what is wrong, of each line of a file. A line of nothing but white space is no line.

    A last line without its end counts where it holds a whole object: nothing can follow that would change it. Else it
    is left out, and `unfinished` is its number once all is read. Raises NotNdjsonError before the first line, and
    UnreadableInputError. `recorded_at` in ms is for commands that have none of their own; None: the command's own time.
    """

    def __init__(self, lines: Iterable[Line], recorded_at: int | None = None) -> None:
        self._lines = lines
        self._recorded_at = recorded_at
        self.unfinished: int | None = None

    def __iter__(self) -> Iterator[InputCommand | BadLine]:
        for line in checked_shape(iter(self._lines)):
            if line.too_long:
                command: InputCommand | BadLine = _undecodable(line.number, "is too long")
            elif line.content.strip(b" \t\r\n"):
                command = read_command(line.number, line.content, self._recorded_at)
            else:
                continue
            if not line.ended and isinstance(command, BadLine) and command.reason is DeadLetterReason.UNDECODABLE:
                self.unfinished = line.number
            else:
                yield command


def read_command(line_number: int, content: bytes, recorded_at: int | None = None) -> InputCommand | BadLine:
    """One line; `recorded_at` in ms where it has none of its own, None: the command's time.

    Undecodable: no UTF-8, no JSON (NaN and a key twice are none), no object, or nested absurdly.
    """
    try:
        data = _decode(content.decode("utf-8"))
    except (ValueError, RecursionError):
        return _undecodable(line_number, why_undecodable(content))
    if not isinstance(data, dict):
        return _undecodable(line_number, why_undecodable(content))
    name = data.pop("type", None)
    if name is None:
        name = Command.REQUEST
    if not isinstance(name, str) or name not in TYPES:
        return BadLine(line_number, DeadLetterReason.INVALID_EVENT, "type")
    return _command(line_number, Command(name), data, recorded_at)


def _undecodable(line_number: int, why: str) -> BadLine:
    return BadLine(line_number, DeadLetterReason.UNDECODABLE, None, why)


def why_undecodable(content: bytes) -> str:
    """What is wrong with a line that is `undecodable`, for people."""
    try:
        _decode(content.decode("utf-8"))
    except UnicodeDecodeError as error:
        return f"is not a JSON object: its byte {error.start + 1} is not UTF-8"
    except _NotJsonError as error:
        return f"is not a JSON object: {error}"
    except (ValueError, RecursionError):
        pass
    return "is not a JSON object"


def _command(
    line_number: int, command: Command, record: dict[str, Any], default_recorded_at: int | None
) -> InputCommand:
    for field in _TIMES[command]:
        if field in record:
            record[field] = to_ms(record[field])
    for field in _NULLABLE[command]:
        record.setdefault(field, None)
    for field in _MAPS.get(command, ()):
        if record.get(field) is None:
            record[field] = {}
    if command is Command.REQUEST and record.get("outcome") is None:
        record["outcome"] = Outcome.PROCESSED.value
    if command is Command.REQUEST and record.get("keeps_hold") is None:
        record["keeps_hold"] = False
    if command is Command.ACCOUNT and isinstance(plan := record["plan"], dict):
        record["plan"] = {**plan, **{name: to_ms(plan[name]) for name in ("started_at", "ends_at") if name in plan}}
    own_time = record.get(TIME_FIELD[command])
    recorded_at = to_ms(record.pop("recorded_at", None))
    if recorded_at is None and default_recorded_at is not None:
        recorded_at = default_recorded_at
    elif recorded_at is None:
        recorded_at = own_time if type(own_time) is int else 0
    elif type(recorded_at) is not int or not YEAR_2000 <= recorded_at <= LAST_INSTANT:
        # Not a field of any command: put back, it is the unknown field that metering names after all others.
        record["recorded_at"] = recorded_at
        recorded_at = 0
    return InputCommand(line_number, command.value, record, recorded_at)


def to_ms(value: Any) -> Any:
    """Milliseconds for an RFC 3339 time of the years 2000 to 9999, a finer fraction cut.

    Anything else comes back as it is, to be judged.
    """
    if not isinstance(value, str):
        return value
    try:
        ms = instant(value)
    except ValueError:
        return value
    return ms if YEAR_2000 <= ms <= LAST_INSTANT else value


def _decode(text: str) -> Any:
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError:
        raise
    except _NotJsonError:
        raise
    except ValueError:
        # Python refuses to read integers of thousands of digits; such a value is wrong, but the line is JSON.
        return json.loads(text, object_pairs_hook=_distinct, parse_constant=_refuse, parse_int=_bounded_int)


class _NotJsonError(ValueError):
    """Python's reader would take it; JSON as others read it does not have it, or not with one meaning."""


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) != len(pairs):
        raise _NotJsonError("a key stands twice")
    return record


def _refuse(constant: str) -> Any:
    raise _NotJsonError(f"{constant} is not JSON")


# Made once: json.loads would make one for every line.
_DECODER = json.JSONDecoder(object_pairs_hook=_distinct, parse_constant=_refuse)


def _bounded_int(digits: str) -> int | float:
    """The integer, or a value of the wrong type for every field where no field could hold it."""
    return int(digits) if len(digits) <= 40 else float("inf")

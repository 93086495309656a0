"""Reads a file of events, NDJSON or a log, into the commands that `emit` sends: checked, and with lasting ids."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from application.commands.fields import first_mistake
from application.input.account_pattern import AccountPattern
from application.input.envelopes import LONGEST_LOG_LINE, LogRecord, log_records
from application.input.json_shape import is_object_end
from application.input.lines import LONGEST_LINE, Line
from application.input.log_formats import LogFormat
from application.input.logged_request import LoggedRequest, NotALogLineError, to_event
from application.input.ndjson import BadLine, InputCommand, read_command
from metering.records import Command, DeadLetterReason, Record

_NO_COMMAND = (
    "has neither event_id nor account_id: it is no command, and no request as nginx, Envoy or Caddy write it in JSON"
)
_LINES_REMEMBERED = 65_536


class Rejected(NamedTuple):
    """A line that cannot be sent: its number, its bytes, and why."""

    line_number: int
    content: bytes
    why: str


class Unfinished(NamedTuple):
    """A last line without its end, which may still be being written: not sent, and not bad either."""

    line_number: int
    content: bytes


InputItem = InputCommand | Rejected | Unfinished


@dataclass(frozen=True)
class EventMapping:
    """How a logged request becomes an event; `pattern` finds the account in the path, `account` is the fallback."""

    account: str | None
    pattern: AccountPattern | None
    channel: str
    endpoint: str | None

    def account_of(self, request: LoggedRequest) -> str | None:
        """The account that pays for the request; None where nothing names one."""
        return (self.pattern.find(request.path) if self.pattern is not None else None) or self.account


class LineIds:
    """Ids that follow from a log's content: the digest of a line, and which of the identical lines before it it is.

    The same file gives the same ids under any name and after it has grown, so importing it again changes nothing.
    Identical lines are counted among the last 65,536 to 131,072 different ones: two requests that a log cannot tell
    apart stand close together, and a whole copy of a log appended to itself is still a copy.
    """

    def __init__(self) -> None:
        self._recent: dict[bytes, int] = {}
        self._before: dict[bytes, int] = {}

    def next_id(self, content: bytes) -> str:
        """The id of the next line of the file."""
        digest = hashlib.sha256(content).digest()[:16]
        ordinal = self._recent.get(digest) or self._before.get(digest, 0)
        if len(self._recent) >= _LINES_REMEMBERED:
            self._before, self._recent = self._recent, {}
        self._recent[digest] = ordinal + 1
        return f"log-{digest.hex()}-{ordinal}"


def ndjson_commands(lines: Iterator[Line], *, last_line_complete: bool) -> Iterator[InputItem]:
    """Commands whose fields are all right, lines that hold none, and a last line that may go on.

    A last line without its end is finished where it holds a whole object: nothing can follow that would change it.
    """
    for line in lines:
        if not line.content.strip() and not line.too_long:
            continue
        command = None if line.too_long else read_command(line.number, line.content)
        is_whole = command is not None and not _is_undecodable(command)
        if not (line.ended or last_line_complete or is_whole):
            yield Unfinished(line.number, line.content)
        elif command is None:
            yield Rejected(line.number, line.content, f"is too long: {LONGEST_LINE:,} bytes are the most")
        else:
            yield _checked(command, line)


def _is_undecodable(command: InputCommand | BadLine) -> bool:
    return isinstance(command, BadLine) and command.reason is DeadLetterReason.UNDECODABLE


def _checked(command: InputCommand | BadLine, line: Line) -> InputCommand | Rejected:
    if isinstance(command, InputCommand):
        if command.record.keys().isdisjoint(("event_id", "account_id")) and command.name == Command.REQUEST:
            return Rejected(line.number, line.content, _NO_COMMAND)
        wrong = first_mistake(Command(command.name), command.record)
        return command if wrong is None else Rejected(line.number, line.content, wrong)
    if not _is_undecodable(command):
        return Rejected(line.number, line.content, "type: is not request, hold, refund, grant or account")
    if is_object_end(line.content):
        return Rejected(line.number, line.content, "is the end of a JSON object whose beginning is missing")
    return Rejected(line.number, line.content, command.why)


def log_commands(
    lines: Iterator[Line], log_format: LogFormat, mapping: EventMapping, *, last_line_complete: bool
) -> Iterator[InputItem]:
    """The request event of each line of a log, lines that are none, and a last line that may go on."""
    ids = LineIds()
    for record in log_records(lines, log_format.envelope):
        if not (record.ended or last_line_complete):
            yield Unfinished(record.number, record.content)
            continue
        try:
            event = _log_event(record, log_format, mapping, ids)
        except NotALogLineError as error:
            yield Rejected(record.number, record.content, str(error))
        else:
            if event is not None:
                yield InputCommand(record.number, Command.REQUEST.value, event, event["occurred_at"])


def _log_event(record: LogRecord, log_format: LogFormat, mapping: EventMapping, ids: LineIds) -> Record | None:
    """The event of a line, None of a blank one. Raises NotALogLineError."""
    if record.too_long:
        raise NotALogLineError(f"is too long: {LONGEST_LOG_LINE:,} bytes are the most")
    if record.text is None:
        raise NotALogLineError(f"is not in {log_format.envelope_name}")
    if not record.text.strip():
        return None
    request = log_format.request(record.text)
    account_id = mapping.account_of(request)
    if account_id is None:
        raise NotALogLineError("its path names no account, and --account gives none for such lines")
    event = to_event(
        request,
        event_id=ids.next_id(record.content),
        account_id=account_id,
        channel=mapping.channel,
        endpoint=mapping.endpoint,
    )
    if wrong := first_mistake(Command.REQUEST, event):
        raise NotALogLineError(f"makes no event: {wrong}")
    return event

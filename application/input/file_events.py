"""From a file of events, NDJSON or an access log, to the commands that `emit` sends: checked, and with lasting ids."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

from application.commands.fields import first_mistake
from application.input.access_log import LogLine, NotALogLineError, parse_line, to_event
from application.input.lines import Line
from application.input.ndjson import InputCommand, read_command
from metering.records import Command, DeadLetterReason, Record

_LINES_REMEMBERED = 65_536


class Rejected(NamedTuple):
    """A line that cannot be sent: its number, its bytes, and why."""

    line_number: int
    content: bytes
    why: str


@dataclass(frozen=True)
class Mapping:
    """How a line becomes an event; `pattern` finds the account in the path, `account` is the fallback."""

    account: str | None
    pattern: re.Pattern[str] | None
    channel: str
    endpoint: str | None

    def account_of(self, line: LogLine) -> str | None:
        """Who pays for the request; None where nothing says so."""
        found = self.pattern.search(line.path) if self.pattern is not None else None
        return (found["account"] if found else None) or self.account


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


def is_ndjson(lines: Iterator[Line]) -> tuple[bool, Iterator[Line]]:
    """Whether the first line that holds something begins an object; and all lines, that one among them."""
    seen: list[Line] = []
    for line in lines:
        seen.append(line)
        if line.content.strip():
            break
    return bool(seen) and seen[-1].content.lstrip().startswith(b"{"), chain(seen, lines)


def ndjson_commands(lines: Iterator[Line]) -> Iterator[InputCommand | Rejected]:
    """Commands whose fields are all right, and lines that hold none."""
    for line in lines:
        if not line.content.strip() and not line.too_long:
            continue
        if line.too_long:
            yield Rejected(line.number, line.content, "is too long")
            continue
        command = read_command(line.number, line.content)
        if isinstance(command, InputCommand):
            wrong = first_mistake(Command(command.name), command.record)
            yield command if wrong is None else Rejected(line.number, line.content, wrong)
        elif command.reason is DeadLetterReason.INVALID_EVENT:
            yield Rejected(line.number, line.content, "type: is not request, hold, refund, grant or account")
        else:
            yield Rejected(line.number, line.content, "is not a JSON object")


def log_commands(lines: Iterator[Line], mapping: Mapping) -> Iterator[InputCommand | Rejected]:
    """The request event of each line of an access log, and lines that are none."""
    ids = LineIds()
    for line in lines:
        if line.too_long:
            yield Rejected(line.number, line.content, "is too long")
        elif line.content.strip():
            try:
                event = _log_event(line.content, mapping, ids)
            except NotALogLineError as error:
                yield Rejected(line.number, line.content, str(error))
            else:
                yield InputCommand(line.number, Command.REQUEST.value, event, event["occurred_at"])


def _log_event(content: bytes, mapping: Mapping, ids: LineIds) -> Record:
    line = parse_line(content)
    account_id = mapping.account_of(line)
    if account_id is None:
        raise NotALogLineError("its path names no account, and --account gives none for such lines")
    event = to_event(
        line,
        event_id=ids.next_id(content),
        account_id=account_id,
        channel=mapping.channel,
        endpoint=mapping.endpoint,
    )
    if wrong := first_mistake(Command.REQUEST, event):
        raise NotALogLineError(f"makes no event: {wrong}")
    return event

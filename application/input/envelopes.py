r"""What container runtimes and syslog wrap around each line of a log: CRI, Docker's json-file, RFC 3164 and RFC 5424.

    2026-11-25T10:00:00.123456789Z stdout F <line>
    {"log":"<line>\n","stream":"stdout","time":"2026-11-25T10:00:00.123456789Z"}
    <134>Nov 25 10:00:01 web1 nginx[7]: <line>
    <134>1 2026-11-25T10:00:07Z web1 nginx 7 - - <line>

A runtime splits long lines; their parts are put together again, by their stream.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from application.input.lines import Line

LONGEST_LOG_LINE = 1 << 20
"""Bytes of one line of a log, all its parts together. A longer one is a bad line."""

_STAMP = rb"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:[.,][0-9]{1,9})?(?:Z|[+-][0-9]{2}:?[0-9]{2})"
_CRI = re.compile(rb"%b (stdout|stderr) ([FP])(?::[A-Za-z0-9:]*+)? " % _STAMP)
_STAMPED = re.compile(rb"%b (?![A-Za-z])" % _STAMP)
_OLD_STAMP = rb"[A-Z][a-z]{2} [ 0-9][0-9] [0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?(?: [0-9]{4})?"
_RFC_3164 = re.compile(
    rb"(?:<[0-9]{1,3}>)?(?:%b|%b) (?:[^\s\[\]\"]{1,255} )?[^\s:\[\]\"]{1,64}(?:\[[^\[\]\s]{0,64}\])?: ?"
    % (_OLD_STAMP, _STAMP)
)
_RFC_5424 = re.compile(
    rb"(?:[1-9][0-9]{0,6} )?<[0-9]{1,3}>[0-9]{1,2} (?:-|%b) \S++ \S++ \S++ \S++ "
    rb"(?:-|(?:\[(?:[^\]\"\\]++|\"(?:[^\"\\]++|\\.)*+\")*+\])++) (?:\xef\xbb\xbf)?" % _STAMP,
    re.DOTALL,
)


class Part(NamedTuple):
    """A line or a part of one, out of its envelope; `is_last` where the line ends with it."""

    stream: str
    text: bytes
    is_last: bool


class LogRecord(NamedTuple):
    """One line of a log: `content` as it stands in the file (all parts), `text` without its envelope.

    `number` is that of its last line in the file; `text` is None where the envelope was not the expected one.
    """

    number: int
    content: bytes
    text: bytes | None
    too_long: bool
    ended: bool


Envelope = Callable[[bytes], Part | None]
"""Takes a line out of its envelope; None where it has none of this kind."""


def no_envelope(content: bytes) -> Part | None:
    """The line as it is."""
    return Part("", content, is_last=True)


def cri(content: bytes) -> Part | None:
    """A line of a Kubernetes node's container log, or of `kubectl logs --timestamps`, which leaves the stream away."""
    match = _CRI.match(content)
    if match is not None:
        return Part(match[1].decode(), content[match.end() :], is_last=match[2] == b"F")
    match = _STAMPED.match(content)
    return None if match is None else Part("", content[match.end() :], is_last=True)


def docker(content: bytes) -> Part | None:
    """A line of Docker's json-file log; a `log` without a line end goes on in the next one of its stream.

    Fluent Bit writes CRI's mark of a part or a full line beside it, as `logtag`.
    """
    if not content.startswith(b"{"):
        return None
    try:
        data = json.loads(content)
    except (ValueError, RecursionError):
        return None
    if not isinstance(data, dict) or not isinstance(text := data.get("log"), str) or "stream" not in data:
        return None
    line = text.removesuffix("\n").removesuffix("\r")
    return Part(
        str(data["stream"]),
        line.encode("utf-8", "backslashreplace"),
        is_last=text.endswith("\n") or data.get("logtag") == "F",
    )


def syslog(content: bytes) -> Part | None:
    """A line of a syslog file or stream, RFC 3164 (also with an RFC 3339 time, or without the host) or RFC 5424.

    RFC 5424 may have its length before it, as it is sent over TCP and TLS (RFC 6587).
    """
    match = _RFC_5424.match(content) or _RFC_3164.match(content)
    return None if match is None else Part("", content[match.end() :], is_last=True)


def any_envelope(content: bytes) -> Part | None:
    """The line out of whichever envelope it has, or as it is."""
    return cri(content) or syslog(content) or docker(content) or Part("", content, is_last=True)


def log_records(lines: Iterator[Line], envelope: Envelope) -> Iterator[LogRecord]:
    """The log's lines out of their envelopes, split ones whole again; blank lines are none."""
    waiting: dict[str, LogRecord] = {}
    for line in lines:
        if not line.content.strip() and not line.too_long:
            continue
        too_long = line.too_long or len(line.content) > LONGEST_LOG_LINE
        part = None if too_long else envelope(line.content)
        if part is None:
            yield LogRecord(line.number, line.content, None, too_long, line.ended)
            continue
        record = LogRecord(line.number, line.content, part.text, too_long=False, ended=line.ended)
        before = waiting.pop(part.stream, None)
        if before is not None:
            record = _joined(before, record)
        if part.is_last or not line.ended:
            yield record
        else:
            waiting[part.stream] = record
    for record in waiting.values():
        yield record._replace(ended=False)


def _joined(before: LogRecord, after: LogRecord) -> LogRecord:
    if before.too_long or len(before.content) + len(after.content) > LONGEST_LOG_LINE:
        return before._replace(number=after.number, too_long=True, ended=after.ended)
    text = (before.text or b"") + (after.text or b"")
    return LogRecord(after.number, before.content + b"\n" + after.content, text, too_long=False, ended=after.ended)

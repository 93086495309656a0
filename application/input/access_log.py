r"""Web servers' access logs, Common and Combined format: a line to its parts, and its parts to a request event.

    host ident user [17/May/2015:10:05:03 +0000] "GET /path HTTP/1.1" 200 1234 "referer" "agent"

What follows the agent (servers may be set up to add fields) is read past. Bytes that are not UTF-8 are kept as `\xe9`,
the way servers themselves write what they cannot print.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from metering.records import Outcome
from metering.subjects import canonical_ip
from metering.windows import parse_any_instant

LONGEST_ENDPOINT = 256
LONGEST_ATTRIBUTE = 1_024
NO_ENDPOINT = "-"
"""The endpoint of a request that was none: an empty one, or bytes of another protocol."""

_QUOTED = r'"((?:[^"\\]|\\.)*)"'
_LINE = re.compile(
    rf"(?P<host>\S+) (?P<ident>\S+) (?P<user>\S.{{0,255}}?) \[(?P<time>[^\]]*)\] {_QUOTED} "
    r"(?P<status>\S+) (?P<size>\S+)"
    rf"(?: {_QUOTED} {_QUOTED}(?: .*)?)?"
)
_TIME = re.compile(r"(\d\d)/([A-Z][a-z]{2})/(\d{4}):(\d\d:\d\d:\d\d) ([+-]\d\d)(\d\d)", re.ASCII)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_METHOD = re.compile(r"[A-Za-z][A-Za-z_-]{0,31}")
_PROTOCOL = re.compile(r"HTTP/\d(?:\.\d)?", re.ASCII)
_STATUS = re.compile(r"[1-5]\d\d", re.ASCII)
_SIZE = re.compile(r"\d{1,18}", re.ASCII)
_ORIGIN = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*")
_ESCAPE = re.compile(r'\\(["\\])')

_STATUS_OUTCOMES = {401: Outcome.UNAUTHENTICATED, 403: Outcome.BLOCKED, 429: Outcome.RATE_LIMITED}


class NotALogLineError(ValueError):
    """The line is in neither format; the message says what could not be read."""


class LogLine(NamedTuple):
    """The parts of a line. None where the log has `-`; `method` and `protocol` also where the request has none."""

    host: str
    user: str | None
    at: int
    request: str | None
    method: str | None
    target: str | None
    protocol: str | None
    status: int | None
    size: int | None
    referer: str | None
    agent: str | None

    @property
    def path(self) -> str:
        """The request's path without its query; `-` where the request was none."""
        if self.method is None or self.target is None:
            return NO_ENDPOINT
        if self.method == "CONNECT":
            return self.target
        return re.split(r"[?#]", _ORIGIN.sub("", self.target, count=1), maxsplit=1)[0] or "/"

    @property
    def outcome(self) -> Outcome:
        """What the status says: 1xx to 3xx processed, 4xx by its kind, 5xx and no status at all failed."""
        if self.status is None or self.status >= 500:
            return Outcome.FAILED
        if self.status >= 400:
            return _STATUS_OUTCOMES.get(self.status, Outcome.INVALID)
        return Outcome.PROCESSED


def parse_line(content: bytes) -> LogLine:
    """The parts of one line without its line end. Raises NotALogLineError."""
    text = content.decode("utf-8", "backslashreplace")
    match = _LINE.fullmatch(text)
    if match is None:
        raise NotALogLineError("is not in Common or Combined format, or is cut short")
    quoted_request, referer, agent = match.group(5, 8, 9)
    status, size = match["status"], match["size"]
    if status != "-" and not _STATUS.fullmatch(status):
        raise NotALogLineError(f"{status[:20]!r} is not a status")
    if size != "-" and not _SIZE.fullmatch(size):
        raise NotALogLineError(f"{size[:20]!r} is not a number of bytes")
    request = _value(quoted_request)
    method, target, protocol = _request_parts(request or "")
    return LogLine(
        host=match["host"],
        user=_value(match["user"]),
        at=_time(match["time"]),
        request=request,
        method=method,
        target=target,
        protocol=protocol,
        status=None if status == "-" else int(status),
        size=None if size == "-" else int(size),
        referer=_value(referer),
        agent=_value(agent),
    )


def to_event(line: LogLine, *, event_id: str, account_id: str, channel: str, endpoint: str | None) -> dict[str, Any]:
    """A request event: the path is its endpoint unless one is given, what the log tells besides its attributes.

    A path longer than an endpoint may be is cut there and kept as an attribute; attributes are cut at 1,024 characters.
    """
    path = line.path
    address = line.host.removeprefix("[").removesuffix("]")
    is_address = canonical_ip(address) is not None
    attributes = {
        "host": None if is_address else line.host,
        "method": line.method,
        "path": path if endpoint is not None or len(path) > LONGEST_ENDPOINT else None,
        "request": line.request if line.method is None else None,
        "status": None if line.status is None else str(line.status),
        "bytes": None if line.size is None else str(line.size),
        "referer": line.referer,
        "agent": line.agent,
    }
    return {
        "event_id": event_id,
        "account_id": account_id,
        "occurred_at": line.at,
        "endpoint": endpoint or path[:LONGEST_ENDPOINT],
        "channel": channel,
        "outcome": line.outcome.value,
        "request_id": None,
        "actor": line.user and line.user[:LONGEST_ENDPOINT],
        "user_id": None,
        "ip": address if is_address else None,
        "domain": None,
        "plan": None,
        "quantities": {},
        "attributes": {name: value[:LONGEST_ATTRIBUTE] for name, value in attributes.items() if value is not None},
    }


def _value(text: str | None) -> str | None:
    """A field's text with quotes and backslashes unescaped; None for `-`, for nothing, and for a missing field."""
    return None if text in (None, "", "-") else _ESCAPE.sub(r"\1", text or "")


def _request_parts(request: str) -> tuple[str | None, str | None, str | None]:
    """Method, target and protocol. HTTP/0.9 has no protocol; a target may hold raw spaces; else it is no request."""
    method, _, rest = request.partition(" ")
    if not rest or not _METHOD.fullmatch(method):
        return None, None, None
    target, _, protocol = rest.rpartition(" ")
    if not _PROTOCOL.fullmatch(protocol):
        return (method, rest, None) if " " not in rest else (None, None, None)
    return (method, target, protocol) if target else (None, None, None)


def _time(text: str) -> int:
    match = _TIME.fullmatch(text)
    if match is None or match[2] not in _MONTHS:
        raise NotALogLineError(f"{text[:40]!r} is not a time like 17/May/2015:10:05:03 +0000")
    day, month, year, clock, zone_hours, zone_minutes = match.groups()
    number = _MONTHS.index(month) + 1
    try:
        return parse_any_instant(f"{year}-{number:02d}-{day}T{clock}{zone_hours}:{zone_minutes}")
    except ValueError as error:
        raise NotALogLineError(f"{text[:40]!r} is not a time that exists") from error

"""A request as some server logged it, in whichever format, and the event that it becomes."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from metering.records import Outcome

LONGEST_ENDPOINT = 256
LONGEST_ATTRIBUTE = 1_024
NO_ENDPOINT = "-"
"""The endpoint of a request that was none: an empty one, or bytes of another protocol."""

_METHOD = re.compile(r"[A-Za-z][A-Za-z_-]{0,31}")
_PROTOCOL = re.compile(r"HTTP/[0-9](?:\.[0-9])?")
# No status: nginx logs 000 where no answer was sent, and 009 for a request of HTTP/0.9; Traefik and Envoy log 0 and
# HAProxy -1 where the client was gone.
_STATUS = re.compile(r"[1-5][0-9][0-9]|00[09]|0")
_SIZE = re.compile(r"[0-9]{1,18}")
_ORIGIN = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*+://[^/?#]*+")
_STATUS_OUTCOMES = {401: Outcome.UNAUTHENTICATED, 403: Outcome.BLOCKED, 429: Outcome.RATE_LIMITED}
_FIRST_STATUS = 100


class NotALogLineError(ValueError):
    """The line is not in the format; the message says what was expected or could not be read."""


class LoggedRequest(NamedTuple):
    """The parts of a logged request. None where the log has `-` or does not say.

    `host` is the client as it was logged, `address` its IP address where that is one, `site` the virtual host, and
    `forwarded` a list of addresses as it was logged. `at` in ms; `size` in bytes.
    """

    host: str | None
    address: str | None
    at: int
    request: str | None
    method: str | None
    target: str | None
    protocol: str | None
    status: int | None
    size: int | None = None
    user: str | None = None
    referer: str | None = None
    agent: str | None = None
    site: str | None = None
    forwarded: str | None = None

    @property
    def path(self) -> str:
        """The request's path without its query; `-` where the request was none.

        An origin (`https://host`) is left out only where the target begins with it: in absolute-form, RFC 9112 3.2.2.
        """
        if self.method is None or self.target is None:
            return NO_ENDPOINT
        if self.method == "CONNECT":
            return self.target
        origin = _ORIGIN.match(self.target)
        path = self.target if origin is None else self.target[origin.end() :]
        return path.partition("?")[0].partition("#")[0] or "/"

    @property
    def outcome(self) -> Outcome:
        """What the status says: 1xx to 3xx processed, 4xx by its kind, 5xx and no status (000, 009, -) failed."""
        if self.status is None or self.status < _FIRST_STATUS or self.status >= 500:
            return Outcome.FAILED
        if self.status >= 400:
            return _STATUS_OUTCOMES.get(self.status, Outcome.INVALID)
        return Outcome.PROCESSED


def refuse_zero_bytes(text: str, request: str | None, method: str | None) -> None:
    """Raises NotALogLineError where a line holds zero bytes, except in a request that was none (`method` None).

    A machine that lost its power leaves them in place of what was written, perhaps line ends. Servers write them out,
    but for some that keep the bytes of another protocol as they came.
    """
    if "\0" in text and (method is not None or text.count("\0") != (request or "").count("\0")):
        raise NotALogLineError("holds zero bytes: what stood there, perhaps another line, is lost")


def request_parts(request: str) -> tuple[str | None, str | None, str | None]:
    """Method, target and protocol. HTTP/0.9 has no protocol; a target may hold raw spaces; else it is no request."""
    method, _, rest = request.partition(" ")
    if not rest or not _METHOD.fullmatch(method):
        return None, None, None
    target, _, protocol = rest.rpartition(" ")
    if not _PROTOCOL.fullmatch(protocol):
        return (method, rest, None) if " " not in rest else (None, None, None)
    return (method, target, protocol) if target else (None, None, None)


def status_of(text: str) -> int | None:
    """A status, None for `-` and -1. Raises NotALogLineError."""
    if text in {"-", "-1"}:
        return None
    if not _STATUS.fullmatch(text):
        raise NotALogLineError(f"{text[:20]!r} is not a status")
    return int(text)


def size_of(text: str) -> int | None:
    """A number of bytes, None for `-`. Raises NotALogLineError."""
    if text == "-":
        return None
    if not _SIZE.fullmatch(text):
        raise NotALogLineError(f"{text[:20]!r} is not a number of bytes")
    return int(text)


def to_event(
    line: LoggedRequest, *, event_id: str, account_id: str, channel: str, endpoint: str | None
) -> dict[str, Any]:
    """A request event: the path is its endpoint unless one is given, what else the log says becomes attributes.

    A path longer than an endpoint may be is cut there and kept as an attribute; attributes are cut at 1,024 characters.
    """
    path = line.path
    attributes = {
        "host": None if line.address is not None else line.host,
        "site": line.site,
        "forwarded_for": line.forwarded,
        "method": line.method,
        "path": path if endpoint is not None or len(path) > LONGEST_ENDPOINT else None,
        "request": line.request if line.method is None else None,
        "status": None if line.status is None else f"{line.status:03d}",
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
        "ip": line.address,
        "domain": None,
        "plan": None,
        "quantities": {},
        "attributes": {name: value[:LONGEST_ATTRIBUTE] for name, value in attributes.items() if value is not None},
    }

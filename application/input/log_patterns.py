r"""Logs in a format of one's own, described as the server's configuration describes it: Apache's LogFormat or nginx's.

    %h %l %u %t "%r" %>s %b          $remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent

A field ends where the text that follows it in the format begins, and a quoted one at its closing quote. Each line is
read once from left to right. `$client` stands for the client's address where the server's names do not say it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from application.input.access_log import is_user, unescaped
from application.input.client_addresses import logged_client
from application.input.logged_request import (
    LoggedRequest,
    NotALogLineError,
    refuse_zero_bytes,
    request_parts,
    size_of,
    status_of,
)
from application.input.times import epoch_seconds, instant, server_time

_FIELD = re.compile(r"\$\{([a-z0-9_]+)\}|\$([a-z0-9_]+)|%[!0-9,]*[<>]?(?:\{([^{}]*)\})?([A-Za-z])|(%%)")
_QUOTED = re.compile(r"(?:[^\"\\]++|\\.)*+", re.DOTALL)
_ROLES = {
    "client": "client", "remote_addr": "remote", "realip_remote_addr": "peer", "http_x_forwarded_for": "forwarded",
    "proxy_add_x_forwarded_for": "forwarded", "remote_user": "user", "time_local": "time_local",
    "time_iso8601": "time_iso8601", "msec": "msec", "request": "request", "request_method": "method",
    "request_uri": "target", "uri": "target", "server_protocol": "protocol", "status": "status",
    "body_bytes_sent": "size", "bytes_sent": "size", "http_referer": "referer", "http_user_agent": "agent",
    "host": "site", "http_host": "site", "server_name": "site",
}  # fmt: skip
_DIRECTIVES = {
    "h": "remote", "a": "remote", "u": "user", "t": "time_local", "r": "request", "m": "method", "U": "target",
    "H": "protocol", "s": "status", "b": "size", "B": "size", "O": "size", "v": "site", "V": "site",
}  # fmt: skip
_HEADERS = {"x-forwarded-for": "forwarded", "referer": "referer", "user-agent": "agent", "host": "site"}
_CLIENTS = ("client", "remote", "forwarded")
_TIMES: dict[str, Callable[[str], int]] = {"time_local": server_time, "time_iso8601": instant, "msec": epoch_seconds}


class LogFormatError(ValueError):
    """The format cannot be used to read events; the message says what is missing or cannot be read."""


class _Field(NamedTuple):
    """A field and the text between it and the next one; `role` None: read past."""

    name: str
    role: str | None
    after: str
    quoted: bool


class LogPattern:
    """Reads lines of one format."""

    def __init__(self, log_format: str) -> None:
        """Raises LogFormatError."""
        self._before, self._fields = _compiled(log_format.replace('\\"', '"'))
        self._format = log_format
        roles = [field.role for field in self._fields if field.role is not None]
        if twice := next((role for role in roles if roles.count(role) > 1), None):
            raise LogFormatError(f"says {twice} twice")
        _require(roles, _CLIENTS, "who called: $client, $remote_addr, $http_x_forwarded_for, %h or %a")
        _require(roles, tuple(_TIMES), "the time: $time_local, $time_iso8601, $msec or %t")
        _require(roles, ("request", "target"), "what was asked for: $request, $request_uri, $uri, %r or %U")
        if "request" not in roles:
            _require(roles, ("method",), "the method beside what was asked for: $request_method or %m")
        _require(roles, ("status",), "the status: $status or %>s")

    def parse(self, text: str) -> LoggedRequest:
        """The parts of a line. Raises NotALogLineError."""
        values = self._values(text)
        if "user" in values and values["user"] and not is_user(values["user"]):
            raise NotALogLineError(f"has not one user but {values['user'][:80]!r}")
        forwarded = unescaped(values.get("forwarded"))
        try:
            host, address = logged_client(unescaped(values.get("client") or values.get("remote")), forwarded)
        except ValueError as error:
            raise NotALogLineError(str(error)) from error
        if "request" in values:
            request = unescaped(values["request"])
            method, target, protocol = request_parts(request or "")
        else:
            method, target, protocol = (unescaped(values.get(role)) for role in ("method", "target", "protocol"))
            request = " ".join(part for part in (method, target, protocol) if part) or None
        refuse_zero_bytes(text, request, method)
        time = next(role for role in _TIMES if role in values)
        try:
            at = _TIMES[time](values[time])
        except ValueError as error:
            raise NotALogLineError(str(error)) from error
        return LoggedRequest(
            host=host,
            address=address,
            at=at,
            request=request,
            method=method,
            target=target,
            protocol=protocol,
            status=status_of(values["status"]),
            size=size_of(values.get("size", "-")),
            user=unescaped(values.get("user")),
            referer=unescaped(values.get("referer")),
            agent=unescaped(values.get("agent")),
            site=unescaped(values.get("site")),
            forwarded=forwarded,
        )

    def _values(self, text: str) -> dict[str, str]:
        if not text.startswith(self._before):
            raise NotALogLineError(f"does not begin as {self._format!r} says, with {self._before!r}")
        position, values = len(self._before), {}
        for field in self._fields:
            end = _end_of(field, text, position)
            if end is None:
                raise NotALogLineError(f"is not as {self._format!r} says: no {field.after!r} after {field.name}")
            if field.role is not None:
                values[field.role] = text[position:end]
            position = end + len(field.after)
        if position != len(text):
            raise NotALogLineError(f"has more at its end than {self._format!r} says")
        return values


def _end_of(field: _Field, text: str, position: int) -> int | None:
    if not field.after:
        return len(text)
    if field.quoted:
        match = _QUOTED.match(text, position)
        end = position if match is None else match.end()
        return end if text.startswith(field.after, end) else None
    end = text.find(field.after, position)
    if field.role == "forwarded":
        while end > 0 and text[end - 1] == ",":
            end = text.find(field.after, end + 1)
    return None if end < 0 else end


def _compiled(log_format: str) -> tuple[str, list[_Field]]:
    pieces: list[tuple[str, str, str | None]] = []  # the text before a field, its name, its role
    position = 0
    before = ""
    for match in _FIELD.finditer(log_format):
        before += log_format[position : match.start()]
        position = match.end()
        if match[5]:
            before += "%"
        elif match[4] == "q" and not before and pieces and pieces[-1][2] == "target":
            continue  # %U%q: together they are the target
        elif match[4] == "t" and match[3] is None:
            pieces.append((before + "[", match[0], "time_local"))
            before = "]"
        else:
            pieces.append((before, match[0], _role(match)))
            before = ""
    after_last = before + log_format[position:]
    if not pieces:
        raise LogFormatError("names no field, such as $remote_addr or %h")
    fields = []
    for index, (text, name, role) in enumerate(pieces):
        is_last = index + 1 == len(pieces)
        after = after_last if is_last else pieces[index + 1][0]
        if not after and not is_last:
            raise LogFormatError(
                f"has nothing between {name} and {pieces[index + 1][1]}: where does the first one end?"
            )
        fields.append(_Field(name, role, after, text.endswith('"') and after.startswith('"')))
    return pieces[0][0], fields


def _role(match: re.Match[str]) -> str | None:
    name = match[1] or match[2]
    if name is not None:
        return _ROLES.get(name)
    argument, directive = match[3], match[4]
    if argument is None:
        return _DIRECTIVES.get(directive)
    if directive == "t":
        if argument != "sec":
            raise LogFormatError(f"{match[0]} is a time that cannot be read: use %t or %{{sec}}t")
        return "msec"
    if directive == "a":
        return "peer" if argument == "c" else None
    return _HEADERS.get(argument.lower()) if directive == "i" else None


def _require(roles: list[str], one_of: tuple[str, ...], what: str) -> None:
    if not set(roles) & set(one_of):
        raise LogFormatError(f"does not say {what}")

"""Access logs in JSON, an object a line: nginx (keys named like its variables), Envoy and Caddy as they write them.

nginx's `log_format … escape=json` names its keys as its author likes; those that are named like the variables are read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from application.input.client_addresses import logged_client
from application.input.logged_request import LoggedRequest, NotALogLineError, request_parts, size_of, status_of
from application.input.times import epoch_seconds, instant, server_time

_OF_COMMANDS = frozenset(("event_id", "account_id", "type", "refund_id", "grant_id", "update_id", "hold_id"))
# Caddy's time_format iso8601, and what Java's loggers write.
_ZONE_WITHOUT_COLON = re.compile(r"([+-][0-9]{2})([0-9]{2})\Z")
Fields = Mapping[str, Any]
_Client = tuple[str, str | None, str | None]
"""As logged, as an address, and the proxies' list."""
_Request = tuple[str | None, str | None, str | None, str | None]
"""The whole request, its method, target and protocol."""


def is_log_object(data: Fields) -> bool:
    """Whether an object is a line of such a log, and not a command."""
    return not is_command_object(data) and _reader_of(data) is not None


def is_command_object(data: Fields) -> bool:
    """Whether an object has a field that only commands have, whatever is wrong with it otherwise."""
    return not _OF_COMMANDS.isdisjoint(data)


def parse_any(text: str) -> LoggedRequest:
    """The parts of a line of any of the three. Raises NotALogLineError."""
    data = _object(text)
    reader = None if is_command_object(data) else _reader_of(data)
    if reader is None:
        keys = ", ".join(list(map(str, data))[:6]) or "none"
        raise NotALogLineError(f"is JSON, but no request of nginx, Envoy or Caddy: its keys are {keys}"[:300])
    return reader(data)


def parse_nginx(text: str) -> LoggedRequest:
    """The parts of a line of nginx, with keys named like its variables. Raises NotALogLineError."""
    return _nginx(_object(text))


def parse_envoy(text: str) -> LoggedRequest:
    """The parts of a line of Envoy, with the keys of its documentation. Raises NotALogLineError."""
    return _envoy(_object(text))


def parse_caddy(text: str) -> LoggedRequest:
    """The parts of a line of Caddy. Raises NotALogLineError."""
    return _caddy(_object(text))


def _reader_of(data: Fields) -> Callable[[Fields], LoggedRequest] | None:
    if isinstance(data.get("request"), dict):
        return _caddy
    if "response_code" in data:
        return _envoy
    if "status" in data and not {"request", "request_uri", "uri"}.isdisjoint(data):
        return _nginx
    return None


def _nginx(data: Fields) -> LoggedRequest:
    text = _text(data, "request")
    request: _Request
    if text is not None:
        request = text, *request_parts(text)
    else:
        target = _text(data, "request_uri", "uri")
        request = _request(_text(data, "request_method"), target, _text(data, "server_protocol"))
    if request[0] is None and "request" not in data:
        raise NotALogLineError("has no request, or request_method and request_uri")
    return _logged(
        _client(data, ("remote_addr",), "http_x_forwarded_for"),
        request,
        at=_time(data, "time_iso8601", "time_local", "msec", "timestamp", "@timestamp", "time"),
        status=_status(data, "status"),
        size=_size(data, "body_bytes_sent", "bytes_sent"),
        user=_text(data, "remote_user"),
        referer=_text(data, "http_referer"),
        agent=_text(data, "http_user_agent"),
        site=_text(data, "host", "http_host", "server_name"),
    )


def _envoy(data: Fields) -> LoggedRequest:
    plain = {str(name).lower().removeprefix(":").replace("-", "_"): value for name, value in data.items()}
    return _logged(
        _client(plain, ("downstream_remote_address",), "x_forwarded_for"),
        _request(_text(plain, "method"), _text(plain, "x_envoy_original_path", "path"), _text(plain, "protocol")),
        at=_time(plain, "start_time"),
        status=_status(plain, "response_code"),
        size=_size(plain, "bytes_sent"),
        referer=_text(plain, "referer"),
        agent=_text(plain, "user_agent"),
        site=_text(plain, "authority"),
    )


def _caddy(data: Fields) -> LoggedRequest:
    request = data.get("request")
    if not isinstance(request, dict):
        raise NotALogLineError("is not of a request: it has no object request")
    headers = request.get("headers")
    return _logged(
        _client(request, ("client_ip", "remote_ip", "remote_addr"), None),
        _request(_text(request, "method"), _text(request, "uri"), _text(request, "proto")),
        at=_time(data, "ts"),
        status=_status(data, "status"),
        size=_size(data, "size"),
        user=_text(data, "user_id"),
        referer=_header(headers, "Referer"),
        agent=_header(headers, "User-Agent"),
        site=_text(request, "host"),
    )


def _logged(client: _Client, request: _Request, **fields: Any) -> LoggedRequest:
    """The request that all three formats describe alike; `fields` are LoggedRequest's other ones."""
    host, address, forwarded = client
    return LoggedRequest(host, address, fields.pop("at"), *request, forwarded=forwarded, **fields)


def _client(data: Fields, own: tuple[str, ...], listed: str | None) -> _Client:
    """Who called, as logged and as an address, and the proxies' list. Never a line with its address lost."""
    forwarded = None if listed is None else _text(data, listed)
    seen = _text(data, *own)
    try:
        host, address = logged_client(seen, forwarded)
    except ValueError as error:
        raise NotALogLineError(f"{own[0]}: {error}") from error
    return host, address, forwarded


def _request(method: str | None, target: str | None, protocol: str | None) -> _Request:
    """A request of which the log has the parts alone."""
    if target is not None and method is None:
        raise NotALogLineError("has no method beside the path")
    return " ".join(part for part in (method, target, protocol) if part) or None, method, target, protocol


def _time(data: Fields, *names: str) -> int:
    """Ms of the first field that is there; RFC 3339 (also with +0100), as servers write it, or seconds since 1970."""
    name = next((name for name in names if data.get(name) not in (None, "")), None)
    if name is None:
        raise NotALogLineError(f"has no time: {' or '.join(names)}")
    text = _text(data, name) or ""
    try:
        if "/" in text:
            return server_time(text)
        if "T" not in text.upper() and text[:1].isdigit():
            return epoch_seconds(text)
        return instant(_ZONE_WITHOUT_COLON.sub(r"\1:\2", text))
    except ValueError as error:
        raise NotALogLineError(f"{name}: {error}") from error


def _size(data: Fields, *names: str) -> int | None:
    return size_of(_text(data, *names) or "-")


def _status(data: Fields, name: str) -> int | None:
    text = _text(data, name)
    if text is None and name not in data:
        raise NotALogLineError(f"has no {name}")
    return status_of(text or "-")


def _text(data: Fields, *names: str) -> str | None:
    """The first of these fields that says something, as text. Raises NotALogLineError."""
    for name in names:
        value = data.get(name)
        if value in (None, "", "-"):
            continue
        if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
            raise NotALogLineError(f"{name}: is neither text nor a number")
        return str(value).encode("utf-8", "backslashreplace").decode()
    return None


def _header(headers: Any, name: str) -> str | None:
    values = headers.get(name) if isinstance(headers, dict) else None
    return _text({name: values[0]}, name) if isinstance(values, list) and values else None


def _object(text: str) -> Fields:
    try:
        data = _DECODER.decode(text)
    except (ValueError, RecursionError):
        raise NotALogLineError("is not a JSON object, or is cut short") from None
    if not isinstance(data, dict):
        raise NotALogLineError("is not a JSON object")
    return data


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) != len(pairs):
        raise ValueError("a key stands twice")
    return record


_DECODER = json.JSONDecoder(object_pairs_hook=_distinct, parse_float=Decimal)

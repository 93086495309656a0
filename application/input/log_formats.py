"""The formats that `emit` reads by name, and how the format of a file is recognised."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import chain
from typing import NamedTuple

from application.input import access_log, json_logs
from application.input.envelopes import Envelope, any_envelope, cri, docker, no_envelope, syslog
from application.input.json_shape import is_array_start, is_object_end
from application.input.lines import Line
from application.input.logged_request import LoggedRequest, NotALogLineError

Parser = Callable[[str], LoggedRequest]
"""The parts of a line. Raises NotALogLineError."""

AUTO, NDJSON, ACCESS_LOG = "auto", "ndjson", "access-log"
_LINES_LOOKED_AT = 20


class LogFormat(NamedTuple):
    """How the lines of a log are read; `envelope_name` is for people."""

    envelope: Envelope
    envelope_name: str
    parse: Parser

    def request(self, text: bytes) -> LoggedRequest:
        """The parts of a line out of its envelope. Raises NotALogLineError."""
        return self.parse(text.decode("utf-8", "backslashreplace"))


def _text_or_json(text: str) -> LoggedRequest:
    return json_logs.parse_any(text) if text.startswith("{") else access_log.parse_line(text)


LOG_FORMATS = {
    ACCESS_LOG: LogFormat(any_envelope, "", _text_or_json),
    "common": LogFormat(no_envelope, "", access_log.parse_common),
    "combined": LogFormat(no_envelope, "", access_log.parse_combined),
    "vhost": LogFormat(no_envelope, "", access_log.parse_vhost),
    "nginx-json": LogFormat(no_envelope, "", json_logs.parse_nginx),
    "envoy-json": LogFormat(no_envelope, "", json_logs.parse_envoy),
    "caddy-json": LogFormat(no_envelope, "", json_logs.parse_caddy),
    "cri": LogFormat(cri, "CRI format, time, stdout or stderr, F or P, line", _text_or_json),
    "docker": LogFormat(docker, "Docker's json-file format, an object with log and stream", _text_or_json),
    "syslog": LogFormat(syslog, "syslog's format, RFC 3164 or RFC 5424", _text_or_json),
}
NAMES = (AUTO, NDJSON, *LOG_FORMATS)


def with_pattern(name: str, parse: Parser) -> LogFormat:
    """The format of this name whose lines, out of their envelope, are read by `parse`. Raises ValueError."""
    if name == AUTO:
        return LogFormat(no_envelope, "", parse)
    if name not in {"cri", "docker", "syslog"}:
        raise ValueError("goes with --format cri, docker or syslog, or without --format")
    return LOG_FORMATS[name]._replace(parse=parse)


def is_ndjson(lines: Iterator[Line]) -> tuple[bool | None, Iterator[Line]]:
    """Whether the file holds commands and no log, None where its first lines are neither; and all its lines again.

    The first line that is one or the other decides, among the first 20. A file that begins like a JSON array or in the
    middle of an object is no log, and one without a line has commands, none.
    """
    seen: list[Line] = []
    has_json = has_content = False
    for line in lines:
        seen.append(line)
        content = line.content.strip()
        if not content and not line.too_long:
            continue
        decided = _holds_commands(content)
        if decided is not None:
            return decided, chain(seen, lines)
        has_content = True
        has_json |= content.startswith(b"{") or is_object_end(content)
        if len(seen) >= _LINES_LOOKED_AT:
            break
    return (True if has_json or not has_content else None), chain(seen, lines)


def _holds_commands(content: bytes) -> bool | None:
    """Whether a line is a command or a part of JSON; None where it may be anything."""
    if content.startswith(b"{"):
        return _is_command(content)
    if is_array_start(content):
        return True
    part = any_envelope(content)
    try:
        LOG_FORMATS[ACCESS_LOG].request(content if part is None else part.text)
    except NotALogLineError:
        return None
    return False


def _is_command(content: bytes) -> bool | None:
    """Of a line that begins an object: None for a whole one that is neither a command nor a line of a known log."""
    if docker(content) is not None:
        return False
    try:
        data = json.loads(content)
    except (ValueError, RecursionError):
        return True
    if json_logs.is_log_object(data):
        return False
    return True if json_logs.is_command_object(data) else None

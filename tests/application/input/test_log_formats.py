"""Which format a file is in where nobody says."""

import json

import pytest

from application.input.lines import Line
from application.input.log_formats import LOG_FORMATS, NAMES, is_ndjson, with_pattern
from application.input.log_patterns import LogPattern
from cli.events.emit import FORMATS

LOG = '1.2.3.4 - - [17/May/2015:10:05:03 +0000] "GET /a HTTP/1.1" 200 5 "-" "ua {odd}"'
EVENT = '{"event_id": "e", "account_id": "a"}'
NGINX = '{"remote_addr": "1.2.3.4", "status": 200, "request": "GET / HTTP/1.1"}'


def verdict(*lines: str) -> bool | None:
    given = [Line(number, text.encode()) for number, text in enumerate(lines, 1)]
    is_commands, again = is_ndjson(iter(given))
    assert list(again) == given
    return is_commands


def test_the_first_line_that_is_one_or_the_other_decides() -> None:
    assert verdict(EVENT)
    assert verdict("", "  ", EVENT)
    assert verdict("{", EVENT)
    assert verdict("[", EVENT + ",", "]")
    assert verdict('rred_at": "2026"}', EVENT)
    assert verdict('rred_at": "2026"}')
    assert verdict('"attributes": {"a": "b"}}', "", EVENT)
    assert verdict() is True
    assert verdict(LOG) is False
    assert verdict("not a line", LOG) is False
    assert verdict('cut short" "ua {odd}"', LOG) is False
    assert verdict(f"[2001:db8::1]:80{LOG.removeprefix('1.2.3.4')}") is False
    assert verdict(f"2026-11-25T10:00:00Z stdout F {LOG}") is False
    assert verdict(f"Nov 25 10:00:00 web1 nginx: {LOG}") is False
    assert verdict(json.dumps({"log": LOG + "\n", "stream": "stdout", "time": "x"})) is False
    assert verdict(NGINX) is False
    assert verdict('{"level": "info", "msg": "started"}', LOG) is False
    assert verdict('{"level": "info", "msg": "started"}', EVENT)
    assert verdict('{"endpoint": "/x"}')
    assert verdict("nothing", '{"endpoint": "/x"}')
    assert verdict("event_id,account_id", "e,a") is None
    assert verdict("nothing") is None


def test_a_live_stream_is_asked_for_no_more_than_its_first_line() -> None:
    def endless() -> object:
        yield Line(1, LOG.encode())
        raise AssertionError("the second line was asked for")

    assert is_ndjson(endless())[0] is False  # type: ignore[arg-type]


def test_the_command_offers_what_is_read() -> None:
    assert FORMATS == NAMES


def test_a_pattern_goes_into_an_envelope_and_nowhere_else() -> None:
    parse = LogPattern('%h %t "%r" %>s').parse
    assert with_pattern("cri", parse).envelope is LOG_FORMATS["cri"].envelope
    for name in ("ndjson", "common", "nginx-json", "access-log"):
        with pytest.raises(ValueError, match="goes with"):
            with_pattern(name, parse)

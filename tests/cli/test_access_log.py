"""Access logs: a real one, and the odd lines that real ones have."""

import os
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from application.input.access_log import NO_ENDPOINT, LogLine, NotALogLineError, parse_line, to_event
from application.input.file_events import LineIds, Mapping, Rejected, log_commands
from application.input.lines import Line
from metering.validation import check_event

REAL_LOG = Path(__file__).parents[3] / "shared" / "data" / "apache_combined_2015.log"
START = b"1.2.3.4 - - [17/May/2015:10:05:03 +0000] "


def line(rest: bytes = b'"GET /a HTTP/1.1" 200 5 "-" "-"', start: bytes = START) -> LogLine:
    return parse_line(start + rest)


def event_of(parsed: LogLine, endpoint: str | None = None) -> dict[str, object]:
    event = to_event(parsed, event_id="e", account_id="a", channel="web", endpoint=endpoint)
    assert check_event(event) is None, event
    return event


def test_combined() -> None:
    parsed = line(b'"GET /a/b?q=1 HTTP/1.1" 200 203023 "http://x/" "Mozilla/5.0 (X11; \\"odd\\" \\\\ agent)"')
    assert parsed == LogLine(
        "1.2.3.4", None, 1_431_857_103_000, "GET /a/b?q=1 HTTP/1.1", "GET", "/a/b?q=1", "HTTP/1.1", 200, 203_023,
        "http://x/", 'Mozilla/5.0 (X11; "odd" \\ agent)',
    )  # fmt: skip
    assert parsed.path == "/a/b"
    event = event_of(parsed)
    assert event["attributes"] == {
        "method": "GET", "status": "200", "bytes": "203023", "referer": "http://x/",
        "agent": 'Mozilla/5.0 (X11; "odd" \\ agent)',
    }  # fmt: skip
    assert (event["endpoint"], event["ip"], event["occurred_at"]) == ("/a/b", "1.2.3.4", 1_431_857_103_000)


def test_common_and_fields_after_the_agent() -> None:
    assert line(b'"GET /a HTTP/1.1" 304 -').referer is None
    assert line(b'"GET /a HTTP/1.1" 304 - "-" "x" "10.0.0.1" 0.003 upstream').agent == "x"


@pytest.mark.parametrize(
    ("request_", "method", "path", "protocol"),
    [
        (b"GET / HTTP/2.0", "GET", "/", "HTTP/2.0"),
        (b"GET / HTTP/2", "GET", "/", "HTTP/2"),
        (b"PRI * HTTP/2.0", "PRI", "*", "HTTP/2.0"),
        (b"GET /old", "GET", "/old", None),
        (b"GET /a b c HTTP/1.0", "GET", "/a b c", "HTTP/1.0"),
        (b"GET http://h.example/p/?x HTTP/1.1", "GET", "/p/", "HTTP/1.1"),
        (b"GET http://h.example HTTP/1.1", "GET", "/", "HTTP/1.1"),
        (b"GET /r?u=http://x/y HTTP/1.1", "GET", "/r", "HTTP/1.1"),
        (b"CONNECT h.example:443 HTTP/1.1", "CONNECT", "h.example:443", "HTTP/1.1"),
        (b"OPTIONS * HTTP/1.1", "OPTIONS", "*", "HTTP/1.1"),
        (b"M-SEARCH * HTTP/1.1", "M-SEARCH", "*", "HTTP/1.1"),
        (b"GET ?x=1 HTTP/1.1", "GET", "/", "HTTP/1.1"),
        (b"GET /\xc3\xa9\xff HTTP/1.1", "GET", "/é\\xff", "HTTP/1.1"),
        (b"-", None, NO_ENDPOINT, None),
        (b"", None, NO_ENDPOINT, None),
        (b"GET", None, NO_ENDPOINT, None),
        (b"\\x16\\x03\\x01\\x00", None, NO_ENDPOINT, None),
        (b"\x16\x03\x01 \x00\xff", None, NO_ENDPOINT, None),
    ],
)
def test_requests(request_: bytes, method: str | None, path: str, protocol: str | None) -> None:
    parsed = line(b'"' + request_ + b'" 400 0 "-" "-"')
    assert (parsed.method, parsed.path, parsed.protocol) == (method, path, protocol)
    event = event_of(parsed)
    assert event["endpoint"] == path


@pytest.mark.parametrize(
    ("host", "ip", "kept"),
    [
        (b"1.2.3.4", "1.2.3.4", None),
        (b"2001:db8::1", "2001:db8::1", None),
        (b"[2001:db8::1]", "2001:db8::1", None),
        (b"::ffff:1.2.3.4", "::ffff:1.2.3.4", None),
        (b"crawler.example.com", None, "crawler.example.com"),
        (b"-", None, "-"),
        (b"1.2.3.4:5678", None, "1.2.3.4:5678"),
        (b"unix:", None, "unix:"),
    ],
)
def test_hosts(host: bytes, ip: str | None, kept: str | None) -> None:
    event = event_of(line(start=host + b" - - [17/May/2015:10:05:03 +0000] "))
    assert event["ip"] == ip
    assert isinstance(event["attributes"], dict)
    assert event["attributes"].get("host") == kept


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (b"101", "processed"), (b"200", "processed"), (b"304", "processed"), (b"400", "invalid"), (b"404", "invalid"),
        (b"401", "unauthenticated"), (b"403", "blocked"), (b"429", "rate_limited"), (b"499", "invalid"),
        (b"500", "failed"), (b"503", "failed"), (b"-", "failed"),
    ],
)  # fmt: skip
def test_outcomes(status: bytes, outcome: str) -> None:
    assert event_of(line(b'"GET / HTTP/1.1" ' + status + b" 0"))["outcome"] == outcome


def test_users_and_times() -> None:
    parsed = line(start=b"h - John Doe [01/Jan/2024:00:30:00 +0530] ")
    assert parsed.user == "John Doe"
    assert parsed.at == 1_704_049_200_000
    assert event_of(parsed)["actor"] == "John Doe"


@pytest.mark.parametrize(
    "content",
    [
        b"", b"-", b"# comment", START, START + b'"GET /a HTTP/1.1"', START + b'"GET /a HTTP/1.1" 200',
        START + b'"GET /a HTTP/1.1" 2000 5', START + b'"GET /a HTTP/1.1" 200 many', START + b'"GET /a HTTP/1.1 200 5',
        START + b'"GET /a HTTP/1.1" 200 5 "-"', START + b'"GET /a HTTP/1.1" 200 5 "-" "Mozilla',
        START + b'"GET /a HTTP/1.1" 200 5 "-" "x\\"', START + b'"GET /a HTTP/1.1" 600 5', START + b'"GET /a" 099 5',
        b'h - - [17/Mai/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 5',
        b'h - - [31/Feb/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 5',
        b'h - - [17/May/2015:10:05:03] "GET / HTTP/1.1" 200 5', b'h - - [-] "GET / HTTP/1.1" 200 5',
        b'h - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 5',
        b'{"event_id": "e"}',
    ],
)  # fmt: skip
def test_lines_that_are_none(content: bytes) -> None:
    with pytest.raises(NotALogLineError):
        parse_line(content)


def test_what_is_too_long_is_cut_and_a_cut_path_is_kept_beside() -> None:
    path = "/" + "p" * 3_000
    event = event_of(line(f'"GET {path} HTTP/1.1" 200 5 "{path}" "{path}"'.encode()))
    assert event["endpoint"] == path[:256]
    assert isinstance(event["attributes"], dict)
    assert event["attributes"]["path"] == event["attributes"]["agent"] == path[:1_024]


def test_a_given_endpoint_keeps_the_path_as_an_attribute() -> None:
    event = event_of(line(), endpoint="page")
    assert event["endpoint"] == "page"
    assert isinstance(event["attributes"], dict)
    assert event["attributes"]["path"] == "/a"


@given(st.binary(max_size=60), st.integers(0, 200))
def test_no_bytes_raise_anything_else_or_make_a_wrong_event(noise: bytes, at: int) -> None:
    good = START + b'"GET /a?b=c HTTP/1.1" 200 5 "http://x/" "Mozilla/5.0"'
    try:
        parsed = parse_line((good[:at] + noise + good[at:]).replace(b"\n", b" "))
    except NotALogLineError:
        return
    event = to_event(parsed, event_id="e", account_id="a", channel="web", endpoint=None)
    assert check_event(event) in {None, "occurred_at"}  # a year before 2000


def test_a_long_hostile_line_takes_no_time() -> None:
    for piece in (b"[ ", b'" ', b"\\", b' ["', b"a "):
        with pytest.raises(NotALogLineError):
            parse_line(START + piece * 200_000)
        with pytest.raises(NotALogLineError):
            parse_line(b"h - " + piece * 200_000)


def ids_of(lines: list[bytes]) -> list[str]:
    ids = LineIds()
    return [ids.next_id(each) for each in lines]


def test_ids_follow_content_and_survive_growth() -> None:
    lines = [b"a", b"b", b"a", b"c", b"a"]
    ids = ids_of(lines)
    assert len(set(ids)) == 5
    assert ids_of([*lines, b"d", b"a"])[:5] == ids
    assert ids_of([b"c"]) == [ids[3]]


def test_ids_take_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    from application.input import file_events as log_events

    monkeypatch.setattr(log_events, "_LINES_REMEMBERED", 10)
    ids = LineIds()
    given_ids = [ids.next_id(str(number % 5).encode()) for number in range(100)]
    assert len(set(given_ids)) == 100
    for number in range(1_000):
        ids.next_id(f"other {number}".encode())
    assert len(ids._recent) + len(ids._before) <= 20


def test_accounts_from_the_path() -> None:
    import re

    mapping = Mapping("other", re.compile(r"^/t/(?P<account>[^/]+)/"), "web", None)
    lines = [Line(1, START + b'"GET /t/acme/x HTTP/1.1" 200 5'), Line(2, START + b'"GET /x HTTP/1.1" 200 5')]
    found = [item.record["account_id"] for item in log_commands(iter(lines), mapping) if not isinstance(item, Rejected)]
    assert found == ["acme", "other"]
    rejected = list(log_commands(iter(lines), Mapping(None, mapping.pattern, "web", None)))[1]
    assert isinstance(rejected, Rejected)
    assert "names no account" in rejected.why


def test_the_real_log() -> None:
    path = Path(os.environ.get("CREDITMETER_TEST_ACCESS_LOG", REAL_LOG))
    if not path.is_file():
        pytest.fail(f"the access log is not at {path}: set CREDITMETER_TEST_ACCESS_LOG to where it is", pytrace=False)
    lines = (Line(number, content) for number, content in enumerate(path.read_bytes().splitlines(), 1))
    found = list(log_commands(lines, Mapping("acme", None, "web", None)))
    assert len(found) == 10_000
    rejected = [item.line_number for item in found if isinstance(item, Rejected)]
    assert rejected == [8_899]  # its agent's quote never ends
    events = [item.record for item in found if not isinstance(item, Rejected)]
    assert len({event["event_id"] for event in events}) == 9_999
    assert Counter(event["outcome"] for event in events) == {
        "processed": 9_779, "invalid": 215, "blocked": 2, "failed": 3,
    }  # fmt: skip
    assert len({event["ip"] for event in events}) == 1_753
    assert sum(int(event["attributes"].get("bytes", 0)) for event in events) > 10**9

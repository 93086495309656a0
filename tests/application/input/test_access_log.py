"""Access logs: a real one, and the odd lines that real ones have."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from application.input.access_log import parse_combined, parse_common, parse_line, parse_vhost
from application.input.client_addresses import client_address
from application.input.logged_request import NO_ENDPOINT, LoggedRequest, NotALogLineError, to_event
from metering.records import Outcome
from metering.validation import check_event

START = b"1.2.3.4 - - [17/May/2015:10:05:03 +0000] "


def line(rest: bytes = b'"GET /a HTTP/1.1" 200 5 "-" "-"', start: bytes = START) -> LoggedRequest:
    return parsed_bytes(start + rest)


def parsed_bytes(content: bytes) -> LoggedRequest:
    return parse_line(content.decode("utf-8", "backslashreplace"))


def event_of(parsed: LoggedRequest, endpoint: str | None = None) -> dict[str, object]:
    event = to_event(parsed, event_id="e", account_id="a", channel="web", endpoint=endpoint)
    assert check_event(event) is None, event
    return event


def test_combined() -> None:
    parsed = line(b'"GET /a/b?q=1 HTTP/1.1" 200 203023 "http://x/" "Mozilla/5.0 (X11; \\"odd\\" \\\\ agent)"')
    assert parsed == LoggedRequest(
        "1.2.3.4", "1.2.3.4", 1_431_857_103_000, "GET /a/b?q=1 HTTP/1.1", "GET", "/a/b?q=1", "HTTP/1.1", 200, 203_023,
        None, "http://x/", 'Mozilla/5.0 (X11; "odd" \\ agent)',
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
        (b"GET /v1/scrape/https://h.example/item/5 HTTP/1.1", "GET", "/v1/scrape/https://h.example/item/5", "HTTP/1.1"),
        (b"GET /https://h.example/item HTTP/1.1", "GET", "/https://h.example/item", "HTTP/1.1"),
        (b"GET /web/2020/http://h.example HTTP/1.1", "GET", "/web/2020/http://h.example", "HTTP/1.1"),
        (b"GET https://h.example/v1/https://x/y HTTP/1.1", "GET", "/v1/https://x/y", "HTTP/1.1"),
        (b"GET h.example/http://x/y HTTP/1.1", "GET", "h.example/http://x/y", "HTTP/1.1"),
        (b"GET https://h.example?x=https://y/z HTTP/1.1", "GET", "/", "HTTP/1.1"),
        (b"GET /a#b?c HTTP/1.1", "GET", "/a", "HTTP/1.1"),
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
        (b"1.2.3.4:5678", "1.2.3.4", None),
        (b"[2001:db8::1]:5678", "2001:db8::1", None),
        (b"1.2.3.4, 10.0.0.1", "1.2.3.4", None),
        (b"1.2.3.4,10.0.0.1", "1.2.3.4", None),
        (b"1.2.3.4:80, [2001:db8::1]:80", "1.2.3.4", None),
        (b"10.0.0.1, 1.2.3.4, 10.0.0.2", "1.2.3.4", None),
        (b"10.0.0.1, 10.0.0.2", "10.0.0.1", None),
        (b"unknown, 1.2.3.4", "1.2.3.4", None),
        (b'"1.2.3.4, 10.0.0.1"', "1.2.3.4", None),
        (b'"1.2.3.4, 10.0.0.1" 10.0.0.9', "1.2.3.4", None),
        (b"1.2.3.4, 10.0.0.1 10.0.0.9", "1.2.3.4", None),
        (b'"-" 1.2.3.4', "1.2.3.4", None),
        (b"- 1.2.3.4", "1.2.3.4", None),
        (b"example.org:443 1.2.3.4", "1.2.3.4", None),
        (b"example.org 1.2.3.4:5678", "1.2.3.4", None),
        (b"example.org:443 1.2.3.4, 10.0.0.1", "1.2.3.4", None),
        (b"example.org:443 crawler.example.com", None, "crawler.example.com"),
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
        (b"500", "failed"), (b"503", "failed"), (b"-", "failed"), (b"000", "failed"), (b"009", "failed"),
    ],
)  # fmt: skip
def test_outcomes(status: bytes, outcome: str) -> None:
    assert event_of(line(b'"GET / HTTP/1.1" ' + status + b" 0"))["outcome"] == outcome


def test_users_and_times() -> None:
    parsed = line(start=b"h - John Doe [01/Jan/2024:00:30:00 +0530] ")
    assert parsed.user == "John Doe"
    assert parsed.at == 1_704_049_200_000
    assert event_of(parsed)["actor"] == "John Doe"
    assert line(start=b"1.2.3.4 - [1.2.3.4] - bob [01/Jan/2024:00:30:00 +0530] ").user == "bob"
    assert line(start=b'1.2.3.4 - "" [01/Jan/2024:00:30:00 +0530] ').user is None


@pytest.mark.parametrize(
    ("time", "at"),
    [
        (b"31/Dec/2016:23:59:60 +0000", 1_483_228_800_000),
        (b"01/Jan/2017:00:59:60 +0100", 1_483_228_800_000),
    ],
)
def test_a_leap_second_is_a_time(time: bytes, at: int) -> None:
    assert line(start=b"h - - [" + time + b"] ").at == at


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
        b'h - - [31/Dec/2016:12:59:60 +0000] "GET / HTTP/1.1" 200 5',
        START + b'"GET / HTTP/1.1" 010 5',
        START + b'"GET /a\x00\x00 HTTP/1.1" 200 5', START + b'"GET /a HTTP/1.1" 200 5 "-" "u\x00a"',
        START + b'"GET /a HTTP/1.1" 200 5 "-" "ua" ' + START + b'"GET /b HTTP/1.1" 200 5',
        START + b'"GET /a HTTP/1.1" 200 5 "-" "ua" "-"' + START + b'"GET /b HTTP/1.1" 200 5 "-" "ua" "-"',
        START + b'"GET /a HTTP/1.1" 200 5 "-" "ua" "x' + START + b'"GET /b HTTP/1.1" 200 5 "-" "ua" "-"',
        b'0x7f000001 - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 5',
        b'h - - [17/May/2015:10:05:03 +0060] "GET / HTTP/1.1" 200 5',
        b'1.2.3.4 - \x00\x00 [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 5',
    ],
)  # fmt: skip
def test_lines_that_are_none(content: bytes) -> None:
    with pytest.raises(NotALogLineError):
        parsed_bytes(content)


@pytest.mark.parametrize(
    "head",
    [
        "2026-11-25T10:00:00.123456789Z stdout F 1.2.3.4 - -", "Nov 25 10:00:01 web1 nginx: 1.2.3.4 - -",
        "web-1  | 1.2.3.4 - -", "access.log:1.2.3.4 - -", "access.log:12:1.2.3.4 - -", "12:1.2.3.4 - -",
        "[pod/nginx-7/nginx] 1.2.3.4 - -", "nginx-7 nginx 1.2.3.4 - -", "F 1.2.3.4 - -",
        "<134>1 2026-11-25T10:00:07Z web1 nginx 7 - - 1.2.3.4 - -", "1.2.3.4 5.6.7.8 - -", "1.2.3.4 5.6.7.8 -",
        "1.2.3.4:80 5.6.7.8 - -",
        "example.org 1.2.3.4 -", "example.org - 1.2.3.4", "- - 1.2.3.4", "1.2.3.4 - - -", "1.2.3.4 - a - b",
        "999.1.2.3 - -", "1.2.3 - -", "2001:db8::zz - -", "example.org:443 - -", "1.2.3.4:port - -", "[1.2.3.4]:80 - -",
        "1.2.3.4, crawler - -", '"1.2.3.4, crawler" - -', '"-" - -', '"1.2.3.4 - -', "1.2.3.4 -", "1.2.3.4", "",
        "1.2.3.4  - -", " 1.2.3.4 - -", "0.003 1.2.3.4 - -", "1.2.3.4 [x] - -", "1.2.3.4 - [x] - -",
        "\ufeff1.2.3.4 - -", "1.2.3.4, " * 2_000 + "- -",
    ],
)  # fmt: skip
def test_what_else_stands_before_the_time_is_refused_and_shown(head: str) -> None:
    with pytest.raises(NotALogLineError, match="before the time"):
        parse_line(f'{head} [17/May/2015:10:05:03 +0000] "GET /a HTTP/1.1" 200 5 "-" "ua"')


@pytest.mark.parametrize(
    ("head", "advice"),
    [
        ("web-1  | 1.2.3.4 - -", "--no-log-prefix"),
        ("access.log:1.2.3.4 - -", "grep -h"),
        ("/var/log/access.log.1:2001:db8::1 - -", "grep -h"),
        ("12:1.2.3.4 - -", "grep without -n"),
        ("[pod/web/nginx] 1.2.3.4 - -", "without --prefix"),
    ],
)
def test_a_prefix_that_a_tool_puts_before_each_line_is_known(head: str, advice: str) -> None:
    with pytest.raises(NotALogLineError, match=advice):
        parse_line(f'{head} [17/May/2015:10:05:03 +0000] "GET /a HTTP/1.1" 200 5 "-" "ua"')


WORDS = (
    "1.2.3.4", "10.0.0.1", "1.2.3.4,", "5.6.7.8:80", "2001:db8::1", "[2001:db8::1]:80", '"1.2.3.4,', '10.0.0.2"', "-",
    "-", "-", "bob", "example.org", "example.org:443", "stdout", "F", "nginx:", "|", "[1.2.3.4]", "<134>1",
    "a.log:1.2.3.4", "unknown", "unix:", '""', "", "12", "2026-11-25T10:00:00Z",
)  # fmt: skip


@given(st.lists(st.sampled_from(WORDS), min_size=1, max_size=7))
def test_no_line_is_taken_with_its_address_lost_or_a_user_made_up(words: list[str]) -> None:
    try:
        parsed = parse_line(" ".join(words) + ' [17/May/2015:10:05:03 +0000] "GET /a HTTP/1.1" 200 5 "-" "ua"')
    except NotALogLineError:
        return
    if any(client_address(word.strip('",')) is not None for word in words):
        assert parsed.address is not None
    for part in (parsed.user or "").split(" "):
        assert part != "-"
        assert client_address(part.strip('",')) is None


def test_a_format_that_is_named_takes_no_other() -> None:
    common = '1.2.3.4 - - [17/May/2015:10:05:03 +0000] "GET /a HTTP/1.1" 200 5'
    combined = f'{common} "-" "ua"'
    site = f"intranet {combined}"
    assert parse_common(common).address == parse_combined(combined).address == parse_vhost(site).address == "1.2.3.4"
    assert parse_vhost(site).site == "intranet"
    assert parse_vhost(f"10.0.0.1 {common}").site == "10.0.0.1"
    for parse, wrong in (
        (parse_common, combined), (parse_combined, common), (parse_common, site), (parse_combined, site),
        (parse_vhost, combined), (parse_vhost, common),
    ):  # fmt: skip
        with pytest.raises(NotALogLineError):
            parse(wrong)


@given(st.binary(max_size=60), st.integers(0, 200))
def test_no_bytes_raise_anything_else_or_make_a_wrong_event(noise: bytes, at: int) -> None:
    good = START + b'"GET /a?b=c HTTP/1.1" 200 5 "http://x/" "Mozilla/5.0"'
    try:
        parsed = parsed_bytes((good[:at] + noise + good[at:]).replace(b"\n", b" "))
    except NotALogLineError:
        return
    event = to_event(parsed, event_id="e", account_id="a", channel="web", endpoint=None)
    assert check_event(event) in {None, "occurred_at"}  # a year before 2000


def test_a_long_hostile_line_takes_no_time() -> None:
    for piece in (b"[ ", b'" ', b"\\", b' ["', b"a "):
        with pytest.raises(NotALogLineError):
            parsed_bytes(START + piece * 200_000)
        with pytest.raises(NotALogLineError):
            parsed_bytes(b"h - " + piece * 200_000)


def test_what_a_client_wrote_in_a_field_behind_the_agent_is_no_second_request() -> None:
    forged = '"GET /a HTTP/1.1" 200 5 "-" "ua" "1.2.3.4 - - [17/May/2015:10:05:03 +0000] "'
    assert parse_line(START.decode() + forged + ' rt=0.1 uct="0.0"').path == "/a"


@pytest.mark.parametrize(("text", "status"), [("000", 0), ("009", 9), ("0", 0), ("-1", None), ("-", None)])
def test_no_status_is_a_failure(text: str, status: int | None) -> None:
    request = parse_line(f'{START.decode()}"GET /a HTTP/1.1" {text} 0')
    assert (request.status, request.outcome) == (status, Outcome.FAILED)

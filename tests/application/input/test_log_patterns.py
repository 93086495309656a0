"""Logs described by a server's own format: the fields, where they end, and formats that cannot be used."""

import pytest

from application.input.log_patterns import LogFormatError, LogPattern
from application.input.logged_request import LoggedRequest, NotALogLineError

NGINX = (
    '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent"'
)
APACHE = '%h %l %u %t \\"%r\\" %>s %b "%{Referer}i" "%{User-Agent}i"'
LINE = '1.2.3.4 - bob [25/Nov/2026:10:00:00 +0000] "GET /v1/a?b HTTP/1.1" 200 12 "-" "u \\"a\\""'
AT = 1_795_600_800_000


@pytest.mark.parametrize("log_format", [NGINX, APACHE])
def test_the_servers_own_formats(log_format: str) -> None:
    assert LogPattern(log_format).parse(LINE) == LoggedRequest(
        "1.2.3.4", "1.2.3.4", AT, "GET /v1/a?b HTTP/1.1", "GET", "/v1/a?b", "HTTP/1.1", 200, 12, "bob", None, 'u "a"'
    )


@pytest.mark.parametrize(
    ("log_format", "line", "expected"),
    [
        ('$msec $client "$request" $status', '1795600800.5 1.2.3.4:80 "GET /x HTTP/1.1" 200',
         {"address": "1.2.3.4", "at": AT + 500, "path": "/x"}),
        ('$http_x_forwarded_for $skipped [$time_local] "$request" $status',
         '10.0.0.1, 1.2.3.4, 10.0.0.2 more [25/Nov/2026:10:00:00 +0000] "GET /x HTTP/1.1" 200', {"address": "1.2.3.4"}),
        ('"$http_x_forwarded_for" $remote_addr [$time_local] "$request" $status',
         '"-" 1.2.3.4 [25/Nov/2026:10:00:00 +0000] "GET /x HTTP/1.1" 200', {"address": "1.2.3.4"}),
        ('$remote_addr [$time_local] "$request" $status "$client"',
         '10.0.0.1 [25/Nov/2026:10:00:00 +0000] "GET /x HTTP/1.1" 200 "5.6.7.8, 10.0.0.1"', {"address": "5.6.7.8"}),
        ("[$time_iso8601] ${remote_addr} $request_method $request_uri $status",
         "[2026-11-25T10:00:00Z] 2001:db8::1 POST /a/https://b?c 404",
         {"address": "2001:db8::1", "path": "/a/https://b", "method": "POST"}),
        ("%{sec}t %a %m %U%q %H %>s %D", "1795600800 1.2.3.4 GET /x?y=z HTTP/1.1 200 31",
         {"address": "1.2.3.4", "target": "/x?y=z", "at": AT}),
        ('%v:%p %h %l %u %t "%r" %>s %O',
         'example.org:443 1.2.3.4 - - [25/Nov/2026:10:00:00 +0000] "GET / HTTP/1.1" 200 5',
         {"address": "1.2.3.4", "site": "example.org"}),
        ('%h 100%% %t "%r" %s', '1.2.3.4 100% [25/Nov/2026:10:00:00 +0000] "GET / HTTP/1.1" 200', {"status": 200}),
        ('<$remote_addr>;$time_iso8601;"$request";$status;', '<1.2.3.4>;2026-11-25T10:00:00Z;"GET /;a HTTP/1.1";200;',
         {"path": "/;a"}),
    ],
)  # fmt: skip
def test_fields_of_ones_own(log_format: str, line: str, expected: dict[str, object]) -> None:
    request = LogPattern(log_format).parse(line)
    assert {name: getattr(request, name) for name in expected} == expected


@pytest.mark.parametrize(
    "line",
    [
        "", LINE[:-1], f"{LINE} more", f"2026-11-25T10:00:00Z stdout F {LINE}", LINE.replace("200", "2x0"),
        LINE.replace("1.2.3.4", "nowhere at all"), LINE.replace("1.2.3.4", "1.2.3.4 5.6.7.8"),
        LINE.replace("Nov", "11"),
        LINE.replace("1.2.3.4", "-, x"),
    ],
)  # fmt: skip
def test_other_lines_are_refused(line: str) -> None:
    for log_format in (NGINX, APACHE):
        with pytest.raises(NotALogLineError):
            LogPattern(log_format).parse(line)


@pytest.mark.parametrize(
    ("log_format", "said"),
    [
        ("", "names no field"),
        ("plain text", "names no field"),
        ('[$time_local] "$request" $status', "who called"),
        ('$remote_addr "$request" $status', "the time"),
        ("$remote_addr [$time_local] $status", "what was asked for"),
        ("$remote_addr [$time_local] $uri $status", "the method"),
        ('$remote_addr [$time_local] "$request"', "the status"),
        ('$remote_addr$remote_user [$time_local] "$request" $status', "nothing between"),
        ('%h %{%Y-%m-%d}t "%r" %>s', "a time that cannot be read"),
        ('$remote_addr $remote_addr [$time_local] "$request" $status', "says remote twice"),
    ],
)
def test_formats_that_cannot_be_used(log_format: str, said: str) -> None:
    with pytest.raises(LogFormatError, match=said):
        LogPattern(log_format)

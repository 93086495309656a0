"""Access logs in JSON: what nginx, Envoy and Caddy write, and lines whose address would be lost."""

import json
from typing import Any

import pytest

from application.input.json_logs import is_log_object, parse_any, parse_caddy, parse_envoy, parse_nginx
from application.input.logged_request import NotALogLineError, to_event
from metering.validation import check_event

AT = 1_795_600_800_000
NGINX = {
    "time_iso8601": "2026-11-25T10:00:00+00:00", "remote_addr": "1.2.3.4", "remote_user": "", "status": "200",
    "request": "GET /v1/a?b=c HTTP/1.1", "body_bytes_sent": "12", "http_referer": "", "http_user_agent": "ua",
    "request_time": "0.003",
}  # fmt: skip
ENVOY = {
    "start_time": "2026-11-25T10:00:00.000Z", "method": "GET", "path": "/v1/a?b=c", "protocol": "HTTP/1.1",
    "response_code": 200, "bytes_sent": 12, "downstream_remote_address": "1.2.3.4:5678", "user_agent": "ua",
    "x_forwarded_for": None, "duration": 3, "authority": "example.org", "upstream_host": "10.0.0.1:80",
}  # fmt: skip
CADDY: dict[str, Any] = {
    "level": "info", "ts": 1795600800.0004, "logger": "http.log.access", "msg": "handled request",
    "request": {
        "remote_ip": "1.2.3.4", "remote_port": "5678", "client_ip": "1.2.3.4", "proto": "HTTP/1.1", "method": "GET",
        "host": "example.org", "uri": "/v1/a?b=c", "headers": {"User-Agent": ["ua"]},
    },
    "bytes_read": 0, "user_id": "", "duration": 0.0009, "size": 12, "status": 200, "resp_headers": {},
}  # fmt: skip


@pytest.mark.parametrize(("data", "parse"), [(NGINX, parse_nginx), (ENVOY, parse_envoy), (CADDY, parse_caddy)])
def test_each_is_read_by_name_and_by_looking(data: dict[str, Any], parse: Any) -> None:
    assert is_log_object(data)
    for request in (parse(json.dumps(data)), parse_any(json.dumps(data))):
        assert (request.address, request.path, request.at, request.status) == ("1.2.3.4", "/v1/a", AT, 200)
        assert (request.size, request.agent, request.user) == (12, "ua", None)
        event = to_event(request, event_id="e", account_id="a", channel="web", endpoint=None)
        assert check_event(event) is None


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (NGINX | {"request": None, "request_method": "POST", "request_uri": "/x"}, {"path": "/x", "method": "POST"}),
        (NGINX | {"remote_addr": "2001:db8::1"}, {"address": "2001:db8::1"}),
        (NGINX | {"remote_addr": "unix:", "http_x_forwarded_for": "5.6.7.8, 10.0.0.1"}, {"address": "5.6.7.8"}),
        (NGINX | {"remote_addr": "unix:"}, {"address": None, "host": "unix:"}),
        (NGINX | {"status": 0}, {"status": 0}),
        (NGINX | {"status": "000"}, {"status": 0}),
        (NGINX | {"request": "\\x16\\x03"}, {"path": "-"}),
        (NGINX | {"time_iso8601": None, "time_local": "25/Nov/2026:10:00:00 +0000"}, {"at": AT}),
        (NGINX | {"time_iso8601": None, "msec": "1795600800.123"}, {"at": AT + 123}),
        (NGINX | {"http_user_agent": "\ud800"}, {"agent": "\\ud800"}),
        (ENVOY | {"downstream_remote_address": "[2001:db8::1]:5678"}, {"address": "2001:db8::1"}),
        (ENVOY | {"downstream_remote_address": None, "x_forwarded_for": "10.0.0.1,5.6.7.8"}, {"address": "5.6.7.8"}),
        (ENVOY | {"response_code": 0}, {"status": 0}),
        ({**ENVOY, ":path": "/y", "path": None}, {"path": "-"}),
        (CADDY | {"ts": "2026-11-25T10:00:00.000Z"}, {"at": AT}),
        (CADDY | {"ts": "2026-11-25T11:00:00.000+0100"}, {"at": AT}),
        (CADDY | {"status": 0}, {"status": 0}),
        (CADDY | {"request": CADDY["request"] | {"client_ip": "", "remote_ip": "5.6.7.8"}}, {"address": "5.6.7.8"}),
        (CADDY | {"request": CADDY["request"] | {"client_ip": None, "remote_ip": None, "remote_addr": "5.6.7.8:1"}},
         {"address": "5.6.7.8"}),
    ],
)  # fmt: skip
def test_their_variants(data: dict[str, Any], expected: dict[str, Any]) -> None:
    if ":path" in data:
        data = {name: value for name, value in data.items() if name not in {":path", "method", "path"}}
    request = parse_any(json.dumps(data))
    assert {name: getattr(request, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({name: value for name, value in NGINX.items() if name != "remote_addr"}, "remote_addr: does not say who"),
        (NGINX | {"remote_addr": "1.2.3"}, "no address"),
        (NGINX | {"remote_addr": None, "http_x_forwarded_for": "1.2.3.4, x"}, "no list of addresses"),
        (NGINX | {"remote_addr": ["1.2.3.4"]}, "^remote_addr: is neither text nor a number"),
        (NGINX | {"status": "many"}, "not a status"),
        (NGINX | {"status": True}, "neither text nor a number"),
        (NGINX | {"time_iso8601": None}, "has no time"),
        (NGINX | {"time_iso8601": "2026-11-25 10:00:00"}, "time_iso8601"),
        (NGINX | {"time_iso8601": 1e300}, "time_iso8601"),
        ({**NGINX, "request": None, "request_uri": "/x"}, "no method"),
        (ENVOY | {"downstream_remote_address": None}, "does not say who"),
        (CADDY | {"ts": None}, "has no time"),
        ({"level": "info", "ts": 1, "logger": "tls", "msg": "renewed"}, "is JSON, but no request of"),
        (NGINX | {"event_id": "e"}, "is JSON, but no request of"),
        ({}, "its keys are none"),
    ],
)
def test_what_is_refused(data: dict[str, Any], said: str) -> None:
    with pytest.raises(NotALogLineError, match=said):
        parse_any(json.dumps(data))


@pytest.mark.parametrize("text", ["{", "[]", "1", "", '{"a": 1, "a": 2}', '{"a":' + "[" * 200_000, "{} {}"])
def test_what_is_no_object_is_refused(text: str) -> None:
    with pytest.raises(NotALogLineError, match="not a JSON object"):
        parse_any(text)


def test_a_number_of_many_digits_ends_at_once() -> None:
    line = json.dumps(CADDY).replace("1795600800.0004", "1e999999999")
    with pytest.raises(NotALogLineError):
        parse_any(line)

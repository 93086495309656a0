"""The parts of a logged request, whichever format it came in, and the event that it becomes."""

from __future__ import annotations

import pytest

from application.input.logged_request import (
    NO_ENDPOINT,
    LoggedRequest,
    NotALogLineError,
    refuse_zero_bytes,
    request_parts,
    size_of,
    status_of,
    to_event,
)
from metering.records import Outcome
from metering.validation import check_event


def logged(request: str | None = "GET /a HTTP/1.1", **fields: object) -> LoggedRequest:
    parts = (None, None, None) if request is None else request_parts(request)
    line = LoggedRequest("192.0.2.1", "192.0.2.1", 1_767_225_600_000, request, *parts, 200)
    return line._replace(**fields)  # type: ignore[arg-type]


def event_of(line: LoggedRequest, endpoint: str | None = None) -> dict[str, object]:
    event = to_event(line, event_id="e", account_id="a", channel="web", endpoint=endpoint)
    assert check_event(dict(event)) is None, event
    return event


@pytest.mark.parametrize(
    ("request_", "parts"),
    [
        ("GET / HTTP/1.1", ("GET", "/", "HTTP/1.1")),
        ("GET / HTTP/2", ("GET", "/", "HTTP/2")),
        ("GET /a b HTTP/1.1", ("GET", "/a b", "HTTP/1.1")),
        ("GET /old", ("GET", "/old", None)),
        ("GET /a b", (None, None, None)),
        ("GET  HTTP/1.1", (None, None, None)),
        ("GET", (None, None, None)),
        ("G=T / HTTP/1.1", (None, None, None)),
        ("X" * 33 + " / HTTP/1.1", (None, None, None)),
        ("", (None, None, None)),
    ],
)
def test_the_parts_of_a_request(request_: str, parts: tuple[str | None, ...]) -> None:
    assert request_parts(request_) == parts


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/a?b#c", "/a"), ("/a#b?c", "/a"), ("", "/"), ("?x", "/"), ("https://h.example", "/"), ("*", "*"),
        ("https://h.example/p?x", "/p"), ("/v1/https://h.example/p", "/v1/https://h.example/p"),
        ("1http://h/p", "1http://h/p"),
    ],
)  # fmt: skip
def test_an_origin_is_left_out_only_where_the_target_begins_with_it(target: str, path: str) -> None:
    assert logged(method="GET", target=target).path == path
    assert logged(method="CONNECT", target=target).path == target


def test_a_request_that_was_none_keeps_its_bytes_and_has_no_endpoint() -> None:
    event = event_of(logged("\\x16\\x03\\x01"))
    assert event["endpoint"] == NO_ENDPOINT
    assert isinstance(event["attributes"], dict)
    assert event["attributes"]["request"] == "\\x16\\x03\\x01"
    assert "request" not in event_of(logged())["attributes"]  # type: ignore[operator]


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (100, Outcome.PROCESSED), (399, Outcome.PROCESSED), (400, Outcome.INVALID), (401, Outcome.UNAUTHENTICATED),
        (403, Outcome.BLOCKED), (429, Outcome.RATE_LIMITED), (499, Outcome.INVALID), (500, Outcome.FAILED),
        (599, Outcome.FAILED), (99, Outcome.FAILED), (0, Outcome.FAILED), (None, Outcome.FAILED),
    ],
)  # fmt: skip
def test_the_outcome_is_what_the_status_says(status: int | None, outcome: Outcome) -> None:
    assert logged(status=status).outcome is outcome


def test_numbers_of_a_line() -> None:
    assert [status_of(text) for text in ("200", "599", "000", "009", "0", "-", "-1")] == [200, 599, 0, 9, 0, None, None]
    assert [size_of(text) for text in ("0", "9" * 18, "-")] == [0, 10**18 - 1, None]
    for text in ("600", "099", "20", "2000", "+200", "", "\uff12\uff10\uff10"):
        with pytest.raises(NotALogLineError, match="is not a status"):
            status_of(text)
    for text in ("-1", "1.5", "9" * 19, "", "\uff11"):
        with pytest.raises(NotALogLineError, match="is not a number of bytes"):
            size_of(text)


def test_zero_bytes_are_kept_only_in_a_request_that_was_none() -> None:
    refuse_zero_bytes("a \0 b", "\0", None)
    refuse_zero_bytes("a", "a", "GET")
    for text, request, method in (("a \0", "\0", "GET"), ("\0 a \0", "\0", None), ("\0", None, None)):
        with pytest.raises(NotALogLineError, match="zero bytes"):
            refuse_zero_bytes(text, request, method)


def test_what_is_too_long_is_cut_and_a_cut_path_is_kept_beside() -> None:
    path = "/" + "p" * 3_000
    event = event_of(logged(f"GET {path} HTTP/1.1", agent=path, user="u" * 300))
    assert (event["endpoint"], event["actor"]) == (path[:256], "u" * 256)
    assert isinstance(event["attributes"], dict)
    assert event["attributes"]["path"] == event["attributes"]["agent"] == path[:1_024]
    exact = "/" + "p" * 255
    assert "path" not in event_of(logged(f"GET {exact} HTTP/1.1"))["attributes"]  # type: ignore[operator]


def test_a_given_endpoint_keeps_the_path_as_an_attribute() -> None:
    event = event_of(logged(), endpoint="page")
    assert event["endpoint"] == "page"
    assert event["attributes"] == {"method": "GET", "path": "/a", "status": "200"}


def test_a_host_that_is_no_address_is_an_attribute() -> None:
    event = event_of(logged(host="crawler.example", address=None, site="s.example", forwarded="x, y", status=9, size=0))
    assert event["ip"] is None
    assert event["attributes"] == {
        "host": "crawler.example", "site": "s.example", "forwarded_for": "x, y", "method": "GET", "status": "009",
        "bytes": "0",
    }  # fmt: skip

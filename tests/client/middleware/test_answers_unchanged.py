"""Answers beside those of the application alone, byte by byte: whatever must not change, doesn't (SERVER 6)."""

import gzip
from collections.abc import Callable
from typing import Any

import pytest

from tests.client.middleware.apps import Answer, Served, answering, get, get_wsgi, wsgi_answering

JSON = (b"content-type", b"application/json")
OBJECT = b'{"people": [{"name": "}{"}]}'
VARY = (b"vary", b"credit-usage")


@pytest.fixture(params=["asgi", "wsgi"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def both(kind: str, *arguments: Any, asked: str = "true", path: str = "/v1/people", method: str = "GET", **more: Any):  # noqa: ANN201
    """The answer of the application alone, and behind the middleware."""
    app = (answering if kind == "asgi" else wsgi_answering)(*arguments, **more)
    served = Served(app)
    drive: Callable[..., Answer] = get if kind == "asgi" else get_wsgi
    alone = drive(app, path, method, credit_usage=asked)
    behind = drive(served.asgi if kind == "asgi" else served.wsgi, path, method, credit_usage=asked)
    served.close()
    return alone, behind


LEFT_ALONE: dict[str, tuple[Any, list[tuple[bytes, bytes]], int, bool]] = {
    "an empty body": (b"", [JSON], 200, True),
    "a list": (b'[{"a": 1}]', [JSON], 200, True),
    "a number": (b"7", [JSON], 200, True),
    "white space first": (b' {"a": 1}', [JSON], 200, True),
    "a byte order mark": (b'\xef\xbb\xbf{"a": 1}', [JSON], 200, True),
    "cut JSON": (b'{"a": 1', [JSON], 200, True),
    "a member of that name": (b'{"credit_usage": {"mine": true}}', [JSON], 200, True),
    "UTF-16": ('{"a": 1}'.encode("utf-16"), [(b"content-type", b"application/json; charset=utf-16")], 200, True),
    "Latin-1": (b'{"a": "\xe4"}', [(b"content-type", b"application/json; charset=iso-8859-1")], 200, True),
    "text": (OBJECT, [(b"content-type", b"text/plain")], 200, True),
    "problem": (OBJECT, [(b"content-type", b"application/problem+json")], 200, True),
    "lines of JSON": (OBJECT, [(b"content-type", b"application/x-ndjson")], 200, True),
    "events": (b"data: {}\n\n", [(b"content-type", b"text/event-stream")], 200, False),
    "no content type": (OBJECT, [], 200, True),
    "two content types": (OBJECT, [JSON, JSON], 200, True),
    "gzip": (gzip.compress(OBJECT), [JSON, (b"content-encoding", b"gzip")], 200, True),
    "gzip that looks like JSON": (OBJECT, [JSON, (b"content-encoding", b"br")], 200, True),
    "a digest": (OBJECT, [JSON, (b"content-digest", b"sha-256=:abc=:")], 200, True),
    "a range": (OBJECT, [JSON, (b"content-range", b"bytes 0-27/28")], 206, True),
    "no content": (b"", [JSON], 204, False),
    "not modified": (b"", [JSON, (b"etag", b'"x"')], 304, False),
    "redirect": (OBJECT, [JSON, (b"location", b"/")], 303, True),
    "not found": (OBJECT, [JSON], 404, True),
    "an error": (OBJECT, [JSON], 500, True),
    "a stream": ([b'{"a": ', b"1}"], [JSON], 200, False),
    "too large": (b'{"a": "' + b"x" * (1 << 20) + b'"}', [JSON], 200, True),
    "too large, without its length": ([b'{"a": "' + b"x" * (1 << 20) + b'"}'], [JSON], 200, False),
    "a wrong length": (OBJECT, [JSON, (b"content-length", b"5")], 200, False),
    "chunked by the application": ([OBJECT], [JSON, (b"transfer-encoding", b"chunked")], 200, False),
}


@pytest.mark.parametrize("name", LEFT_ALONE)
def test_asked_for_and_left_alone(name: str, kind: str) -> None:
    body, headers, status, length = LEFT_ALONE[name]
    alone, behind = both(kind, body, headers, status, length=length)
    assert behind.status == alone.status
    assert behind.headers == alone.headers
    assert behind.body == alone.body


@pytest.mark.parametrize("value", ["false", "", "1", "yes", "true, true"])
def test_not_asked_for_only_vary_is_added(value: str, kind: str) -> None:
    headers = [
        JSON,
        (b"X-Mixed-Case", b"1"),
        (b"cache-control", b"public"),
        (b"ETag", b'"v1"'),
        (b"x-mixed-case", b"2"),
    ]
    alone, behind = both(kind, OBJECT, headers, asked=value)
    assert behind.headers == [*alone.headers, VARY]
    assert behind.parts == alone.parts


@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
def test_asked_for_one_member_more(method: str, kind: str) -> None:
    alone, behind = both(kind, OBJECT, [JSON, (b"X-Mixed-Case", b"1")], method=method)
    assert behind.body == OBJECT[:-1] + b',"credit_usage":{"total_results":3,"total_credits":6}}'
    assert behind.header("content-length") == [str(len(behind.body))]
    assert behind.header("cache-control") == ["private, no-store"]
    assert [line for line in behind.headers if line not in alone.headers] == [
        (b"content-length", b"%d" % len(behind.body)),
        (b"cache-control", b"private, no-store"),
        VARY,
    ]


def test_head_is_left_alone(kind: str) -> None:
    alone, behind = both(kind, b"", [JSON, (b"content-length", b"28")], method="HEAD", length=False)
    assert (behind.headers, behind.parts) == (alone.headers, alone.parts)


def test_an_endpoint_without_credits_is_left_alone(kind: str) -> None:
    alone, behind = both(kind, OBJECT, path="/health")
    assert (behind.headers, behind.parts) == (alone.headers, alone.parts)


def test_an_object_in_several_parts_of_known_length_is_one_object(kind: str) -> None:
    _, behind = both(kind, [b'{"a"', b": ", b"1}"])
    assert behind.body == b'{"a": 1,"credit_usage":{"total_results":3,"total_credits":6}}'
    assert behind.header("content-length") == [str(len(behind.body))]


def test_parts_of_known_length_pass_as_they_come_where_nobody_asked(kind: str) -> None:
    alone, behind = both(kind, [b'{"a"', b": ", b"1}"], asked="no")
    assert [part for part in behind.parts if part] == [part for part in alone.parts if part]
    assert behind.headers == [*alone.headers, VARY]


def test_a_whole_object_without_its_length_is_changed_too(kind: str) -> None:
    more = {"as_list": True} if kind == "wsgi" else {}
    _, behind = both(kind, OBJECT, length=False, **more)
    assert b'"credit_usage":{' in behind.body
    assert behind.header("content-length") == []


def test_a_tag_is_made_anew(kind: str) -> None:
    _, behind = both(kind, OBJECT, [JSON, (b"etag", b'"v1"')])
    assert len(behind.header("etag")) == 1
    assert behind.header("etag") != ['"v1"']


def test_free_and_not_found_are_told_as_zero(kind: str) -> None:
    _, behind = both(kind, b"{}", path="/v1/free")
    assert behind.body == b'{"credit_usage":{"total_results":0,"total_credits":0}}'

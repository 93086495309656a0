"""Bytes on a socket beside those of the application alone: by uvicorn, HTTP/1.0 and 1.1, and by wsgiref's server."""

import gzip
import re
from collections.abc import Iterator

import pytest

from tests.client.middleware.wire import BODIES, OBJECTS, OTHERS, asgi_ports, exchange, wsgi_ports

Ports = dict[str, int]
TOLD = b'"credit_usage":{"total_results":0,"total_credits":0}}'
VERSIONS = ["1.0", "1.1"]
STATUSES = [f"/v1/status/{status}" for status in (204, 205, 206, 304, 404, 500, 503)]
BY_BOTH = [*(f"/v1/body/{name}" for name in OTHERS), "/v1/gzip", "/v1/stream", *STATUSES, "/v1/broken", "/v1/nowhere"]
BY_ASGI = ["/v1/sse", "/v1/redirect", "/v1/refused", "/v1/cut", "/v1/text", "/v1/body/"]


@pytest.fixture(scope="module")
def asgi() -> Iterator[Ports]:
    with asgi_ports() as ports:
        yield ports


@pytest.fixture(scope="module")
def wsgi() -> Iterator[Ports]:
    with wsgi_ports() as ports:
        yield ports


def both(ports: Ports, path: str, *, version: str = "1.1", method: str = "GET", asked: str = "true") -> list[bytes]:
    request = f"{method} {path} HTTP/{version}\nHost: x\nConnection: close\ncredit-usage: {asked}\n\n"
    return [exchange(ports[name], request) for name in ("alone", "behind")]


def without_vary(answer: bytes) -> bytes:
    return re.sub(rb"(?i)\r\nvary: credit-usage(?=\r\n)", b"", answer, count=1)


def head_and_body(answer: bytes) -> tuple[dict[bytes, bytes], bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    return dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:]), body


def check_one_member_more(alone: bytes, behind: bytes) -> None:
    """The body has it before its last brace, length and tag are right, and no other header has changed."""
    (before, body), (after, changed) = head_and_body(alone), head_and_body(behind)
    end = body.rstrip().rindex(b"}")
    last = len(body[:end].rstrip())
    assert changed == body[:last] + (b"," if last > 1 else b"") + TOLD[:-1] + body[last:]
    assert int(after[b"content-length"]) == len(changed)
    assert after[b"cache-control"] == b"private, no-store"
    assert after[b"vary"] == b"credit-usage"
    assert after.get(b"etag") != before.get(b"etag") or b"etag" not in before
    ours = {b"content-length", b"cache-control", b"vary", b"etag"}
    assert {name: value for name, value in after.items() if name not in ours} == {
        name: value for name, value in before.items() if name not in ours
    }


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("path", [*BY_BOTH, *BY_ASGI])
def test_asked_for_and_left_alone_to_the_byte(asgi: Ports, version: str, path: str) -> None:
    alone, behind = both(asgi, path, version=version)
    assert alone
    assert behind == alone


@pytest.mark.parametrize("path", BY_BOTH)
def test_left_alone_to_the_byte_by_wsgi(wsgi: Ports, path: str) -> None:
    alone, behind = both(wsgi, path)
    assert alone
    assert behind == alone


@pytest.mark.parametrize("asked", ["no", "true, true"])
@pytest.mark.parametrize("path", [*(f"/v1/body/{name}" for name in BODIES), *BY_BOTH, *BY_ASGI, "/v1/background"])
def test_not_asked_for_only_vary_is_added_and_only_to_objects(asgi: Ports, path: str, asked: str) -> None:
    alone, behind = both(asgi, path, asked=asked)
    assert without_vary(behind) == alone
    is_object = path.rpartition("/")[2] in OBJECTS or path == "/v1/background"
    assert (behind != alone) is is_object


@pytest.mark.parametrize("path", [*(f"/v1/body/{name}" for name in BODIES), *BY_BOTH])
def test_not_asked_for_only_vary_is_added_by_wsgi(wsgi: Ports, path: str) -> None:
    alone, behind = both(wsgi, path, asked="no")
    assert without_vary(behind) == alone
    assert (behind != alone) is (path.rpartition("/")[2] in OBJECTS)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("path", [*(f"/v1/body/{name}" for name in OBJECTS), "/v1/background"])
def test_one_member_more_where_somebody_asks(asgi: Ports, version: str, path: str) -> None:
    check_one_member_more(*both(asgi, path, version=version))


@pytest.mark.parametrize("name", OBJECTS)
def test_one_member_more_by_wsgi(wsgi: Ports, name: str) -> None:
    check_one_member_more(*both(wsgi, f"/v1/body/{name}"))


@pytest.mark.parametrize("name", BODIES)
def test_head_is_left_alone(asgi: Ports, wsgi: Ports, name: str) -> None:
    for ports in (asgi, wsgi):
        alone, behind = both(ports, f"/v1/body/{name}", method="HEAD")
        assert behind == alone


def test_it_stands_inside_compression(asgi: Ports) -> None:
    """What is compressed afterwards has the member, and is what it would be without where nobody asks."""
    for asked in ("true", "no"):
        request = f"GET /v1/body/plain HTTP/1.0\nHost: x\nAccept-Encoding: gzip\ncredit-usage: {asked}\n\n"
        answers = [exchange(asgi[name], request) for name in ("gzip-alone", "gzip-behind")]
        (before, alone), (after, behind) = map(head_and_body, answers)
        assert before[b"content-encoding"] == after[b"content-encoding"] == b"gzip"
        assert int(after[b"content-length"]) == len(behind)
        member = b"," + TOLD if asked == "true" else b"}"
        assert gzip.decompress(behind) == gzip.decompress(alone)[:-1] + member

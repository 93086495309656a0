"""What the transport sends, and what it makes of answers: a real HTTP server on this machine that follows a script."""

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from creditmeter_client import (
    DecisionStatus,
    DeliveryStatus,
    HoldRequest,
    HoldStatus,
    HttpTransport,
    MeterUnavailable,
    RequestRefused,
)
from creditmeter_client.http.transport import segment
from creditmeter_client.usage import refund_of

from tests.client.scripted import NOW, event

KEY = "cm_live_" + "a" * 38


class Server(ThreadingHTTPServer):
    """Answers with the next of `answers`: (status, headers, document); an Exception closes the connection instead."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: list[Any] = []
        self.seen: list[tuple[str, str, dict[str, str], Any]] = []
        self.connections = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def setup(self) -> None:
        super().setup()
        self.server.connections += 1

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.seen.append((self.command, self.path, headers, json.loads(body) if body else None))
        status, more, document = self.server.answers.pop(0)
        data = document if isinstance(document, bytes) else json.dumps(document).encode()
        self.send_response(status)
        for name, value in {"content-length": str(len(data)), **more}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)
        if more.get("x-then") == "close":
            self.close_connection = True

    do_GET = do_POST = do_DELETE = answer  # noqa: N815 -- the names that the library looks for

    def log_message(self, *args: Any) -> None: ...


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def transport(server: Server) -> Iterator[HttpTransport]:
    transport = HttpTransport(server.url, KEY, timeout=30)
    yield transport
    transport.close()


def stored(*ids: str, **more: Any) -> dict[str, Any]:
    return {"results": [{"event_id": i, "status": "stored", "receipt": f"r.{i}", **more} for i in ids]}


def test_events_are_sent_as_one_list_with_the_key(server: Server, transport: HttpTransport) -> None:
    server.answers = [(200, {}, stored("a", "b"))]
    deliveries = transport.send([event("a", ip="192.0.2.1"), event("b")])
    assert [(one.status, one.receipt) for one in deliveries] == [
        (DeliveryStatus.STORED, "r.a"), (DeliveryStatus.STORED, "r.b"),
    ]  # fmt: skip
    method, path, headers, body = server.seen[0]
    assert (method, path) == ("POST", "/v1/events")
    assert headers["authorization"] == f"Bearer {KEY}"
    assert headers["content-type"] == "application/json"
    assert body == [
        {"event_id": "a", "account_id": "acme", "occurred_at": NOW, "endpoint": "/v1/people", "channel": "api",
         "outcome": "processed", "ip": "192.0.2.1"},
        {"event_id": "b", "account_id": "acme", "occurred_at": NOW, "endpoint": "/v1/people", "channel": "api",
         "outcome": "processed"},
    ]  # fmt: skip


def test_some_are_invalid_some_unknown(server: Server, transport: HttpTransport) -> None:
    invalid = {"event_id": "b", "status": "invalid", "errors": [{"pointer": "/1/ip", "detail": "is no address"}]}
    results = [*stored("a")["results"], invalid]
    server.answers = [
        (422, {}, {"type": "/problems/invalid-items", "results": results}),
        (503, {}, {"results": [*results[:1], {"event_id": "b", "status": "unknown"}]}),
    ]
    first = transport.send([event("a"), event("b")])
    assert [one.status.value for one in first] == ["stored", "invalid"]
    assert first[1].mistakes[0].detail == "is no address"
    assert [one.status.value for one in transport.send([event("a"), event("b")])] == ["stored", "unknown"]


@pytest.mark.parametrize(
    ("status", "headers", "retry_after"),
    [(503, {"retry-after": "7"}, 7.0), (429, {"retry-after": "2"}, 2.0), (500, {}, None), (502, {}, None),
     (503, {"date": "Thu, 26 Nov 2026 03:00:00 GMT", "retry-after": "Thu, 26 Nov 2026 03:00:30 GMT"}, 30.0),
     (503, {"retry-after": "soon"}, None)],
)  # fmt: skip
def test_try_again_later(
    server: Server, transport: HttpTransport, status: int, headers: dict[str, str], retry_after: float | None
) -> None:
    server.answers = [(status, headers, {"detail": "not now"})]
    with pytest.raises(MeterUnavailable, match="not now") as caught:
        transport.send([event("a")])
    assert caught.value.retry_after == retry_after


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 415, 422])
def test_refused(server: Server, transport: HttpTransport, status: int) -> None:
    problem = {"detail": "no", "errors": [{"pointer": "/0", "detail": "what"}]}
    server.answers = [(status, {}, problem)]
    with pytest.raises(RequestRefused) as caught:
        transport.send([event("a")])
    assert (caught.value.status, caught.value.mistakes[0].pointer) == (status, "/0")


@pytest.mark.parametrize("page", [b"<html>", b"", b"[]", {"results": []}, {"results": ["a"]}])
def test_a_page_of_somebody_else_is_no_answer(server: Server, transport: HttpTransport, page: Any) -> None:
    server.answers = [(200, {}, page)]
    with pytest.raises(MeterUnavailable, match="not one of creditmeter's"):
        transport.send([event("a")])


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(MeterUnavailable, match="does not answer"):
        HttpTransport(f"http://127.0.0.1:{port}", KEY).send([event("a")])


def test_connections_are_kept_and_a_closed_one_is_tried_anew(server: Server, transport: HttpTransport) -> None:
    server.answers = [(200, {}, stored("a")), (200, {"x-then": "close"}, stored("b")), (200, {}, stored("c"))]
    for name in "abc":
        assert transport.send([event(name)])[0].status is DeliveryStatus.STORED
    assert server.connections == 2


DECIDED = {"status": "decided", "lines": [{"decision": "charged", "charge": "people", "credit_type": "credit",
           "units": 3, "credits": 6, "balance_after": 94, "owner_event_id": None}]}  # fmt: skip


@pytest.mark.parametrize(
    ("decision", "status", "credits_"),
    [
        (DECIDED, DecisionStatus.DECIDED, 6),
        ({"status": "repeated", "same_content": True, "first": {"lines": DECIDED["lines"]}}, DecisionStatus.DECIDED, 6),
        ({"status": "repeated", "same_content": True, "first": None}, DecisionStatus.PENDING, None),
        ({"status": "set_aside", "reason": "too_late", "field": None}, DecisionStatus.SET_ASIDE, 0),
        ({"status": "pending"}, DecisionStatus.PENDING, None),
        (None, DecisionStatus.PENDING, None),
    ],
)
def test_decisions(
    server: Server, transport: HttpTransport, decision: Any, status: DecisionStatus, credits_: int | None
) -> None:
    server.answers = [(200, {}, stored("a", decision=decision))]
    (got,) = transport.decide([event("a")], 0.25)
    assert (got.status, got.credits, got.receipt) == (status, credits_, "r.a")
    _, path, headers, _ = server.seen[0]
    assert (path, headers["prefer"]) == ("/v1/events?wait=decision", "wait=1")


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ((201, {}, {"hold_id": "h", "status": "held", "credits": {"credit": 8}}), HoldStatus.HELD),
        ((200, {}, {"hold_id": "h", "status": "held", "credits": {"credit": 8}}), HoldStatus.HELD),
        ((200, {}, {"hold_id": None, "status": "not_needed", "credits": {}}), HoldStatus.NOT_NEEDED),
        ((202, {}, {"hold_id": "h", "status": "pending"}), HoldStatus.PENDING),
        ((402, {}, {"required": {"credit": 8}, "available": {"credit": 3}}), HoldStatus.REJECTED),
    ],
)
def test_holds(server: Server, transport: HttpTransport, answer: Any, status: HoldStatus) -> None:
    server.answers = [answer]
    hold = transport.hold("h", "acme", HoldRequest(credits={"credit": 8}, expires_at=NOW + 60_000), 1.0)
    assert hold.status is status
    if status is HoldStatus.REJECTED:
        assert (hold.required, hold.available) == ({"credit": 8}, {"credit": 3})
    assert server.seen[0][3] == {
        "hold_id": "h", "account_id": "acme", "expires_at": NOW + 60_000, "credits": {"credit": 8},
    }  # fmt: skip


def test_refunds_are_sent_after_the_events_of_their_batch_and_not_before_these_are_known(
    server: Server, transport: HttpTransport
) -> None:
    refund = refund_of("acme", "a", "the work failed", now=NOW)
    server.answers = [(200, {}, stored("a")), (200, {}, {"refund_id": refund.refund_id})]
    assert [one.status.value for one in transport.send([refund, event("a")])] == ["stored", "stored"]
    assert [path for _, path, _, _ in server.seen] == ["/v1/events", "/v1/refunds"]
    assert server.seen[1][2]["idempotency-key"] == refund.refund_id
    server.answers = [(503, {}, {"results": [{"event_id": "a", "status": "unknown"}]})]
    assert [one.status.value for one in transport.send([event("a"), refund])] == ["unknown", "unknown"]


def test_usage_is_read_page_by_page(server: Server, transport: HttpTransport) -> None:
    server.answers = [(200, {}, {"rows": [{"n": 1}], "next": "c1"}), (200, {}, {"rows": [{"n": 2}]})]
    assert [row["n"] for row in transport.usage("a/b", {"actor": "zoë"})] == [1, 2]
    assert [path for _, path, _, _ in server.seen] == [
        "/v1/accounts/~YS9i/usage?actor=zo%C3%AB", "/v1/accounts/~YS9i/usage?actor=zo%C3%AB&cursor=c1",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [("acme", "acme"), ("a b", "a%20b"), ("self", "~c2VsZg"), ("..", "~Li4"), ("a/keys", "~YS9rZXlz"), ("~x", "~fng")],
)
def test_an_id_is_one_segment(text: str, expected: str) -> None:
    assert segment(text) == expected


@pytest.mark.parametrize("url", ["127.0.0.1:8480", "ftp://x", "http://", "http://u:p@x", "http://x?y"])
def test_an_address_that_is_none_is_refused_at_once(url: str) -> None:
    with pytest.raises(ValueError, match="address"):
        HttpTransport(url, KEY)


@pytest.mark.parametrize("key", ["", "a b", "schlüssel", "a\r\nb"])
def test_a_key_that_is_none_is_refused_at_once(key: str) -> None:
    with pytest.raises(ValueError, match="key"):
        HttpTransport("http://x", key)
    assert KEY not in repr(HttpTransport("http://x", KEY))


def test_estimates(server: Server, transport: HttpTransport) -> None:
    charges = [
        {"charge": "a", "credit_type": "credit", "credits": 6},
        {"charge": "b", "credit_type": "credit", "credits": 1},
        {"charge": "c", "credit_type": "email", "credits": 0},
        {"charge": None, "credit_type": None, "credits": 0},
    ]
    document = {"account_id": "a/ä", "charges": charges, "suffices": False, "refused_events": 1, "place": "x.0.7"}
    server.answers = [(200, {}, document)]
    estimate = transport.estimate("a/ä", [event("e1", ip="192.0.2.1"), event("e2")])
    assert (estimate.account_id, estimate.credits) == ("a/ä", {"credit": 7, "email": 0})
    assert (estimate.suffices, estimate.refused_events, estimate.document["place"]) == (False, 1, "x.0.7")
    method, path, _, body = server.seen[0]
    assert (method, path) == ("POST", "/v1/estimates?account_id=a%2F%C3%A4")
    assert [one["event_id"] for one in body] == ["e1", "e2"]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ((503, {"retry-after": "1"}, {"detail": "no state is at hand"}), MeterUnavailable),
        ((200, {}, {"something": "else"}), MeterUnavailable),
        ((422, {}, {"errors": [{"pointer": "/0/ip", "detail": "is none"}]}), RequestRefused),
    ],
)
def test_estimates_that_there_are_none_of(
    server: Server, transport: HttpTransport, answer: Any, error: type[Exception]
) -> None:
    server.answers = [answer]
    with pytest.raises(error):
        transport.estimate("acme", [event("e1")])

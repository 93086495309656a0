"""Every operation of the API, asked once over real HTTP of what runs: each is answered as where all goes well."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from server.api.paths import segment_of
from server.api.table import OPERATIONS
from streams import clock
from tests.harness import PATIENCE
from tests.stories.accepting_clients import exchanged

ACCOUNT = "walker"
_EVENTS = ["grant.applied", "balance.empty"]
_WELL = {200, 201, 202, 204}


class Walk:
    """Asks with an operator's key unless another is given, and notes what was asked."""

    def __init__(self, port: int, key: str) -> None:
        self.port = port
        self.key = key
        self.asked: set[str] = set()

    def __call__(
        self, operation: str, body: object = None, *, key: str | None = None, query: str = "", **ids: str
    ) -> Any:
        """The JSON of the answer, or its text. `ids` are put into the path, an id one segment."""
        status, content = self._asked(operation, body, key, query, ids)
        assert status in _WELL, (operation, status, content)
        return content

    def until(self, holds: Callable[[Any], bool], operation: str, *, query: str = "", **ids: str) -> Any:
        """The first good answer that holds; what was decided or published is known there a moment later."""
        deadline = time.monotonic() + PATIENCE
        while True:
            status, content = self._asked(operation, None, None, query, ids)
            if status in _WELL and holds(content):
                return content
            assert time.monotonic() < deadline, (operation, status, content)
            time.sleep(0.1)

    def _asked(
        self, operation: str, body: object, key: str | None, query: str, ids: Mapping[str, str]
    ) -> tuple[int, Any]:
        self.asked.add(operation)
        method, template = operation.split(" ")
        path = re.sub(r"{(\w+)}", lambda found: segment_of(ids[found[1]]), template)
        status, kind, content = exchanged(self.port, method, path + query, body, key or self.key)
        return status, json.loads(content) if "json" in kind else content.decode()


class _Taking(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- http.server's name
        """Say nothing."""


@contextmanager
def _receiver() -> Iterator[str]:
    """The address of a receiver of webhooks that takes everything."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Taking)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()


def walk_through(port: int, key: str) -> None:
    """Every operation of the table, none other; `key` is an operator's, and prices are public."""
    walk = Walk(port, key)
    _what_is_for_anyone(walk)
    _events_and_holds(walk)
    _an_operators_actions(walk)
    _reads(walk)
    _keys_members_and_links(walk)
    with _receiver() as url:
        _webhooks(walk, "/v1", {}, url)
        _webhooks(walk, "/v1/accounts/{account}", {"account": ACCOUNT}, url)
    wanted = {f"{operation.method} {operation.path}" for operation in OPERATIONS}
    assert walk.asked == wanted


def _event(event_id: str, at: int | None = None) -> dict[str, Any]:
    return {
        "event_id": event_id, "account_id": ACCOUNT, "occurred_at": at or clock.now_ms(), "endpoint": "/pixel/hit",
        "channel": "js", "ip": "2.2.2.2", "user_id": event_id, "actor": "ann",
    }  # fmt: skip


def _what_is_for_anyone(walk: Walk) -> None:
    for target in ("/health/live", "/health/ready", "/metrics", "/openapi.json", "/docs", "/docs/style.css"):
        assert walk(f"GET {target}")
    walk.until(lambda read: bool(read["charges"]), "GET /v1/prices")


def _events_and_holds(walk: Walk) -> None:
    answer = walk("POST /v1/events", _event("w-1"), query="?wait=decision")
    (result,) = answer["results"]
    assert result["decision"]["status"] == "decided"
    walk.until(lambda read: read["loaded"] is True, "GET /v1/receipts/{receipt}", receipt=result["receipt"])
    grant = {"account_id": ACCOUNT, "credit_type": "credit", "credits": 100, "grant_id": "w-g"}
    assert walk("POST /v1/grants", grant)["status"] == "applied"
    order = {"account_id": ACCOUNT, "credits": {"credit": 5}, "expires_in": 600, "hold_id": "w-h"}
    assert walk("POST /v1/holds", order)["status"] == "held"
    query = f"?account_id={ACCOUNT}"
    assert walk("GET /v1/holds/{hold}", hold="w-h", query=query)["hold_id"] == "w-h"
    assert walk("DELETE /v1/holds/{hold}", hold="w-h", query=query)["hold_id"] == "w-h"


def _an_operators_actions(walk: Walk) -> None:
    refund = {"account_id": ACCOUNT, "event_id": "w-1", "refund_id": "w-r", "reason": "no result"}
    assert walk("POST /v1/refunds", refund)["refunds"][0]["status"] == "refunded"
    settings = {"update_id": "w-u", "on_empty": "allow", "alert_below": {"credit": 10}}
    assert walk("PUT /v1/accounts/{account}/settings", settings, account=ACCOUNT)["status"] == "applied"
    late = walk("POST /v1/events", _event("w-late", clock.now_ms() - 400 * 86_400_000), query="?wait=decision")
    assert late["results"][0]["decision"]["status"] == "set_aside", late
    letters = walk.until(lambda read: bool(_own(read)), "GET /v1/dead-letters")
    (letter,) = _own(letters)
    replayed = walk("POST /v1/dead-letters/{place}/replay", place=letter["place"])
    assert replayed["of"] == letter["place"]


def _own(letters: Mapping[str, Any]) -> list[Any]:
    return [letter for letter in letters["dead_letters"] if letter["account_id"] == ACCOUNT]


def _reads(walk: Walk) -> None:
    own = {"account": ACCOUNT}
    estimate = walk("POST /v1/estimates", [_event("w-2")], query=f"?account_id={ACCOUNT}")
    assert estimate["commands"] == {"request": 1}
    walk.until(lambda read: read["credits"]["credit"]["granted"] == 100, "GET /v1/accounts/{account}", **own)
    usage = walk.until(lambda read: bool(read["rows"]), "GET /v1/accounts/{account}/usage", **own)
    assert "w-1" in {line["event_id"] for line in usage["rows"]}
    assert walk("GET /v1/usage", query="?limit=1")["rows"]
    question = {"granularity": "none"}
    assert walk("POST /v1/accounts/{account}/usage/query", question, **own)
    assert walk("POST /v1/usage/query", question)
    assert walk("GET /v1/accounts/{account}/events/{event_id}", event_id="w-1", **own)
    assert walk("GET /v1/accounts/{account}/prices", **own)["charges"]
    assert walk("GET /v1/accounts/{account}/rate-limits", **own)["rate_limits"] == []
    assert ACCOUNT in {one["account_id"] for one in walk("GET /v1/accounts")["accounts"]}
    walk.until(lambda read: read["problems"] == [], "GET /v1/status")


def _keys_members_and_links(walk: Walk) -> None:
    own = {"account": ACCOUNT}
    base = "/v1/accounts/{account}"
    made = walk(f"POST {base}/keys", {"role": "member", "name": "walk"}, **own)
    assert walk("GET /account/info", key=made["key"])
    assert [key["key_id"] for key in walk(f"GET {base}/keys", **own)["keys"]] == [made["key_id"]]
    walk(f"DELETE {base}/keys/{{id}}", id=made["key_id"], **own)
    walk(f"PUT {base}/members/{{actor}}", {"name": "Ann"}, actor="ann", **own)
    assert walk(f"GET {base}/members", **own)["members"]
    link = walk(f"POST {base}/links", {"role": "member", "actor": "ann"}, **own)
    assert walk(f"GET {base}/links", **own)["links"]
    walk(f"DELETE {base}/links/{{id}}", id=link["link_id"], **own)
    walk(f"DELETE {base}/members/{{actor}}", actor="ann", **own)
    assert walk(f"GET {base}/changes", **own)["changes"]
    assert walk("GET /v1/changes")["changes"]


def _webhooks(walk: Walk, prefix: str, ids: Mapping[str, str], url: str) -> None:
    base = f"{prefix}/webhooks"
    made = walk(f"POST {base}", {"url": url, "events": _EVENTS}, **ids)
    one = {**ids, "id": made["webhook_id"]}
    assert made["webhook_id"] in {webhook["webhook_id"] for webhook in walk(f"GET {base}", **ids)["webhooks"]}
    assert walk(f"GET {base}/{{id}}", **one)["url"] == url
    walk(f"PUT {base}/{{id}}", {"url": url, "events": _EVENTS[:1]}, **one)
    walk(f"POST {base}/{{id}}/secret", **one)
    assert len(walk(f"GET {base}/{{id}}/secret", **one)["secrets"]) == 2
    walk(f"POST {base}/{{id}}/test", **one)

    def is_over(read: Any) -> bool:
        return any(delivery["status"] == "delivered" for delivery in read["deliveries"])

    listed = walk.until(is_over, f"GET {base}/{{id}}/deliveries", **one)
    delivery = {**one, "delivery": listed["deliveries"][0]["delivery_id"]}
    assert walk(f"GET {base}/{{id}}/deliveries/{{delivery}}", **delivery)["payload"]
    walk(f"POST {base}/{{id}}/deliveries/{{delivery}}", **delivery)
    walk(f"DELETE {base}/{{id}}", **one)

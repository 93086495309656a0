"""The HTTP transport keeps the contract against the real server, and so does a meter over it."""

import asyncio
import json
import os
import random
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from creditmeter_client import BackoffPolicy, HttpTransport, Meter, MeterSettings, RequestRefused, Usage
from creditmeter_client.middleware import Call, CreditMiddleware, MiddlewareSettings, current_call

from streams import clock
from tests.client.middleware.apps import answering, call_asgi, scope_of
from tests.client.real_server import RealServer, served, served_without_store
from tests.client.transport_contract import (
    EstimateContract,
    EventContract,
    HoldContract,
    QuestionContract,
    RefundContract,
    event,
)
from tests.server.keys import MEMBER_OF_ACME, OPERATOR, PRODUCER_OF_ACME

pytestmark = pytest.mark.slow

CALLS = int(os.environ.get("CREDITMETER_TEST_CALLS", "100"))
BOOK = """\
price_lock: none
versions:
  - version: "2026-01"
    effective_from: 2026-01-01T00:00:00Z
    charges:
      - {charge: ip-lookup, when: {endpoint: /v1/ip-lookup}, credits: 20, unique: {by: [ip], within: 24h}}
      - {charge: records, when: {endpoint: /v1/search}, per: results, credits: 2}
"""


class ServerPlace:
    def __init__(self, server: RealServer) -> None:
        self.server = server
        self.transport = self.questions = HttpTransport(server.url, OPERATOR)

    def now_ms(self) -> int:
        return clock.now_ms()

    def grant(self, account_id: str, credits_: int) -> None:
        self.server.grant(account_id, credits_)

    def arrived(self, account_id: str) -> list[str]:
        """From the log, decoded by the pipeline's codec, repeats dropped as its worker does."""
        pipeline = self.server.pipeline
        log = pipeline.connections.log(pipeline.names.requests)
        ids: dict[str, None] = {}
        for partition in range(2):
            for message in log.read(partition, *log.bounds(partition)):
                name, record = pipeline.codec.decode(message.value)
                if name == "RequestBatch":
                    ids.update({one["event_id"]: None for one in record["events"] if one["account_id"] == account_id})
        return list(ids)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    with served(tmp_path_factory.mktemp("server"), BOOK) as server:
        yield server


@pytest.fixture(name="place")
def server_place(server: RealServer) -> Iterator[ServerPlace]:
    place = ServerPlace(server)
    yield place
    place.transport.close()


@pytest.fixture(name="asked")
def server_asked(place: ServerPlace) -> ServerPlace:
    return place


class TestEvents(EventContract): ...


class TestRefunds(RefundContract): ...


class TestQuestions(QuestionContract): ...


class TestHolds(HoldContract): ...


class TestEstimates(EstimateContract): ...


def test_a_history_and_a_balance_are_read(place: ServerPlace) -> None:
    place.grant("reader", 50)
    place.questions.decide([event(place, "reader", f"e{n}", quantities={"results": n}) for n in range(1, 4)], 30.0)
    deadline = time.monotonic() + 60
    while not (rows := list(place.questions.usage("reader", {"limit": "2"}))):
        assert time.monotonic() < deadline
        time.sleep(0.1)  # what was decided is not loaded yet
    assert sorted(row["credits"] for row in rows) == [2, 4, 6]
    standing = place.questions.account("reader")
    assert "38" in str(standing)


@pytest.mark.parametrize(
    ("key", "account", "status"),
    [("nobodys", "acme", 401), (MEMBER_OF_ACME, "acme", 403), (PRODUCER_OF_ACME, "globex", 403)],
)
def test_keys_that_may_not(place: ServerPlace, key: str, account: str, status: int) -> None:
    with pytest.raises(RequestRefused) as caught:
        HttpTransport(place.server.url, key).send([event(place, account, "e")])
    assert caught.value.status == status


def test_every_call_is_told_what_the_ledger_says(server: RealServer) -> None:
    """Repeats of an address, failures, nothing found, no price; a few at once. The ledger is ClickHouse's."""
    chance = random.Random(11)
    server.grant("told", 10**9)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        current_call().subjects["ip"] = f"192.0.2.{chance.randrange(30)}"
        found = chance.choice((0, 1, 25))
        status = chance.choice((200, 200, 200, 404, 500))
        await answering(b"{}", status=status, found={"results": found})(scope, receive, send)

    def describe(call: Call) -> Usage:
        return call.usage("told", call.path)

    told: dict[str, int] = {}

    async def one(middleware: CreditMiddleware) -> None:
        headers = {"credit-usage": "true", "credit-usage-detail": "true"}
        path = chance.choice(("/v1/ip-lookup", "/v1/search", "/v1/unpriced"))
        answer = await call_asgi(middleware, scope_of(path, headers=headers))
        if answer.status == 200:
            usage = json.loads(answer.body)["credit_usage"]
            told[usage["event_ids"][0]] = usage["total_credits"]

    async def run(meter: Meter) -> None:
        middleware = CreditMiddleware(app, meter=meter, settings=MiddlewareSettings(describe, wait=60.0))
        for _ in range(CALLS // 10):
            await asyncio.gather(*(one(middleware) for _ in range(10)))

    with Meter(HttpTransport(server.url, OPERATOR)) as meter:
        asyncio.run(run(meter))
        assert meter.flush(60)
        ledger: dict[str, int] = {}
        deadline = time.monotonic() + 120
        while len(ledger) < CALLS // 10 * 10:
            assert time.monotonic() < deadline
            ledger = {}
            for row in meter.usage("told", limit="1000"):
                ledger[row["event_id"]] = ledger.get(row["event_id"], 0) + row["credits"]
    assert len(told) > CALLS / 3
    assert {event_id: ledger[event_id] for event_id in told} == told
    assert sum(told.values()) == sum(ledger.values()) > 0


def test_what_is_recorded_before_the_server_is_there_arrives_once(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    settings = MeterSettings(queue_events=10, spool=tmp_path / "spool", durable=True, backoff=BackoffPolicy(0.05, 0.5))
    with Meter(HttpTransport(f"http://127.0.0.1:{port}", OPERATOR), settings=settings) as meter:
        early = [meter.record(account_id="acme", endpoint="/v1/search") for _ in range(40)]
        assert meter.decide(account_id="acme", endpoint="/v1/search", wait=30.0).credits is None
        assert meter.counts().delivered == 0
        with served_without_store(tmp_path / "server", BOOK, port) as server:
            late = [meter.record(account_id="acme", endpoint="/v1/search") for _ in range(40)]
            assert meter.flush(120)
            arrived = ServerPlace(server).arrived("acme")
    assert len(arrived) == 81
    assert {*early, *late} <= set(arrived)
    assert meter.counts().lost == meter.counts().refused == 0
    assert list((tmp_path / "spool").glob("*.events")) == []

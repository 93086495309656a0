"""Receipts of items that the tail no longer has, that were never events, or that the log no longer holds."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from application.in_memory import in_memory_pipeline
from application.ingest.decisions import Decision, Decisions, DecisionStatus, Item
from application.ingest.lookup import DigestState, OtherLog, ReceiptLookup, ReceiptState, UnknownItem
from application.ingest.receipts import Receipt
from application.ingest.recorded import RecordedDecisions
from application.pipeline import Pipeline
from application.prices.publishing import publish_book
from application.usage.store import SinkUsage
from metering.records import Command
from sinks.embedded import EmbeddedSink
from streams import clock
from streams.log.decision_tail import DecisionTail
from streams.log.event_sender import Stored, value_digest
from streams.log.memory_connections import MemoryConnections
from tests.application.contract import BOOK
from tests.stores import with_schema

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def sink(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedSink]:
    sink = EmbeddedSink(with_schema(tmp_path_factory.mktemp("lookup") / "clickhouse"))
    yield sink
    sink.close()


@pytest.fixture(scope="module")
def pipeline(sink: EmbeddedSink, tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    pipeline = in_memory_pipeline(tmp_path_factory.mktemp("data"), partitions=1, sink=sink)
    publish_book(pipeline, BOOK, clock.now_ms())
    return pipeline


def send(pipeline: Pipeline, *events: dict[str, Any]) -> list[Receipt]:
    """The events in one message; their receipts. They are decided and loaded."""
    connections = pipeline.connections
    assert isinstance(connections, MemoryConnections)
    value = pipeline.codec.encode("RequestBatch", {"events": list(events)})
    offset = connections.append(0, value, None, {})
    connections.after_sending()
    return [Receipt(pipeline.log_id, 0, offset, index, value_digest(value)) for index in range(len(events))]


def event(account_id: str, event_id: str, **fields: Any) -> dict[str, Any]:
    return {
        "event_id": event_id, "account_id": account_id, "occurred_at": clock.now_ms(), "endpoint": "/v1/ip-lookup",
        "channel": "api", "outcome": "processed", "ip": "203.0.113.7", **fields,
    }  # fmt: skip


def looked_up(pipeline: Pipeline, sink: EmbeddedSink | None, receipt: Receipt) -> ReceiptState:
    """What a server says that has just begun, so that its tail has nothing."""

    async def work() -> ReceiptState:
        tail = DecisionTail(pipeline.connections.tail_source((pipeline.names.billed,)), pipeline.seals)
        tail.start()
        recorded = None if sink is None else RecordedDecisions(SinkUsage(sink), pipeline.names)
        lookup = ReceiptLookup(pipeline, Decisions(tail, pipeline.codec, pipeline.names), recorded)
        try:
            item = lookup.item(receipt, lambda account_id: account_id != "hidden")
            if item is None:
                return lookup.trimmed(receipt, lambda account_id: account_id != "hidden")
            return lookup.completed(lookup.with_tail(receipt, item), item)
        finally:
            await asyncio.to_thread(tail.close)

    return asyncio.run(work())


def test_a_decision_that_is_older_than_the_tail_comes_from_the_store(pipeline: Pipeline, sink: EmbeddedSink) -> None:
    charged, late = send(pipeline, event("old", "e-1"), event("old", "late", occurred_at=1_600_000_000_000))
    state = looked_up(pipeline, sink, charged)
    assert (state.digest, state.loaded, state.item_id) == (DigestState.AGREES, True, "e-1")
    assert state.decision is not None
    assert [line["credits"] for line in state.decision.lines] == [20]
    set_aside = looked_up(pipeline, sink, late).decision
    assert set_aside is not None
    assert (set_aside.status, set_aside.reason) == (DecisionStatus.SET_ASIDE, "too_late")


def test_a_repeat_that_is_older_than_the_tail_is_read_from_its_answer(
    pipeline: Pipeline, sink: EmbeddedSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = event("again", "e-1")
    send(pipeline, one)
    (repeat,) = send(pipeline, one)
    monkeypatch.setattr(RecordedDecisions, "is_loaded", lambda *_: True)
    decision = looked_up(pipeline, sink, repeat).decision
    assert decision is not None
    assert (decision.status, decision.same_content) == (DecisionStatus.REPEATED, True)
    assert [line["credits"] for line in decision.lines] == [20]


def test_without_a_store_nobody_knows_and_nothing_is_guessed(pipeline: Pipeline) -> None:
    (receipt,) = send(pipeline, event("unknown", "e-1"))
    state = looked_up(pipeline, None, receipt)
    assert (state.decision, state.loaded, state.digest) == (None, None, DigestState.AGREES)


def test_another_command_s_receipt_says_what_it_is(pipeline: Pipeline, sink: EmbeddedSink) -> None:
    connections = pipeline.connections
    assert isinstance(connections, MemoryConnections)
    now = clock.now_ms()
    hold = {
        "hold_id": "h",
        "account_id": "holding",
        "credits": {"credit": 1},
        "held_at": now,
        "expires_at": now + 9_000,
    }
    value = pipeline.codec.encode("Hold", hold | {"reason": ""})
    offset = connections.append(0, value, None, {})
    state = looked_up(pipeline, sink, Receipt(pipeline.log_id, 0, offset, 0, "0" * 32))
    assert (state.command, state.item_id, state.digest) == (Command.HOLD, "h", DigestState.DIFFERS)


@pytest.mark.parametrize(
    "change",
    [{"partition": 1}, {"offset": 10_000}, {"index": 1}, {"offset": 0}],
    ids=["no partition", "beyond the end", "no such item", "a price book"],
)
def test_what_is_not_there_is_unknown(pipeline: Pipeline, sink: EmbeddedSink, change: dict[str, int]) -> None:
    (receipt,) = send(pipeline, event("there", "e-1"))
    fields = {"partition": receipt.partition, "offset": receipt.offset, "index": receipt.index} | change
    with pytest.raises(UnknownItem):
        looked_up(pipeline, sink, Receipt(receipt.log_id, digest=receipt.digest, **fields))


def test_what_may_not_be_seen_is_as_unknown(pipeline: Pipeline, sink: EmbeddedSink) -> None:
    (receipt,) = send(pipeline, event("hidden", "e-1"))
    with pytest.raises(UnknownItem):
        looked_up(pipeline, sink, receipt)
    with pytest.raises(OtherLog):
        looked_up(pipeline, sink, Receipt("other", 0, receipt.offset, 0, receipt.digest))


@contextmanager
def trimmed(pipeline: Pipeline, before: int) -> Iterator[None]:
    connections = pipeline.connections
    assert isinstance(connections, MemoryConnections)
    whole = connections.broker
    connections.broker = whole.copy()
    connections.broker.expire(pipeline.names.requests, 0, before)
    log, pipeline.input_log = pipeline.input_log, pipeline.log(pipeline.names.requests)
    yield
    connections.broker, pipeline.input_log = whole, log


def test_of_a_trimmed_log_the_store_tells_what_it_has(pipeline: Pipeline, sink: EmbeddedSink) -> None:
    (alone,) = send(pipeline, event("trimmed", "e-1"))
    one, _ = send(pipeline, event("trimmed", "e-2"), event("trimmed", "e-3"))
    (hidden,) = send(pipeline, event("hidden", "e-2"))
    with trimmed(pipeline, hidden.offset + 1):
        state = looked_up(pipeline, sink, alone)
        assert (state.is_trimmed, state.digest, state.item_id) == (True, DigestState.UNKNOWN, "e-1")
        assert state.decision is not None
        assert state.decision.status is DecisionStatus.DECIDED
        assert (looked_up(pipeline, sink, one).item_id, looked_up(pipeline, sink, one).decision) == (None, None)
        with pytest.raises(UnknownItem):
            looked_up(pipeline, sink, hidden)


def test_a_repeat_gets_its_first_s_lines_from_the_store(pipeline: Pipeline, sink: EmbeddedSink) -> None:
    (first,) = send(pipeline, event("firsts", "e-1"))
    recorded = RecordedDecisions(SinkUsage(sink), pipeline.names)
    item = Item(Stored(0, first.offset + 1, 0, first.digest), "firsts", "e-1")
    repeat = Decision(DecisionStatus.REPEATED, same_content=True, first=(first.offset, 0))
    decided = Decision(DecisionStatus.DECIDED, [{"credits": 1}])
    other = Decision(DecisionStatus.REPEATED, same_content=True, first=(first.offset + 7, 0))
    completed = recorded.with_first_lines([item, item, item], [repeat, decided, other])
    assert [[line["credits"] for line in decision.lines] for decision in completed] == [[20], [1], []]

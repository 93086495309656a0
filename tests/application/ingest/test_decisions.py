"""What is known of events from the answers of workers, and how long it is waited for."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from application.ingest.decisions import Answered, Decisions, DecisionStatus, Item, Patience
from schemas.codec import Codec
from streams import clock
from streams.log.decision_tail import DecisionTail
from streams.log.event_sender import Stored
from streams.log.memory import MemoryBroker
from streams.log.memory_connections import MemoryConnections
from streams.log.seals import SEAL_HEADER
from streams.log.topics import TopicNames
from tests.schemas.records import LINE

CODEC = Codec()
NAMES = TopicNames("deciding")


def line(event_id: str, account_id: str = "acme") -> dict[str, Any]:
    return {**LINE, "event_id": event_id, "account_id": account_id}


def item(offset: int, index: int, event_id: str, account_id: str = "acme") -> Item:
    return Item(Stored(0, offset, index, "0" * 32), account_id, event_id)


class Worker:
    """Writes answers into a broker in memory, as a worker does."""

    def __init__(self) -> None:
        self.connections = MemoryConnections(NAMES, CODEC, 2, MemoryBroker(clock.now_ms))

    def answer(self, offset: int, events: list[dict[str, Any]], **answers: list[dict[str, Any]]) -> None:
        batch = {"source_partition": 0, "source_offset": offset, "part": 0, "parts": 1, "events": events, **answers}
        self.append(NAMES.billed, CODEC.encode("BilledBatch", batch))

    def append(self, topic: str, value: bytes) -> None:
        seal = self.connections.sealer.seal(topic, 0, value)
        self.connections.broker.append(topic, 0, value, headers={SEAL_HEADER: seal})


class Followed:
    """Decisions over that broker, for the time of the block."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    async def __aenter__(self) -> Decisions:
        source = self._worker.connections.tail_source((NAMES.billed, NAMES.holds))
        self._tail = DecisionTail(source, self._worker.connections.seals())
        self._tail.start()
        return Decisions(self._tail, CODEC, NAMES)

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self._tail.close)


REPEATED = {
    "index": 1, "command": "request", "id": "b", "same_content": False, "first_offset": 3, "first_index": 0,
}  # fmt: skip
SET_ASIDE = {"index": 2, "command": "request", "id": "c", "reason": "too_late", "field": None}


def test_each_event_of_a_message_has_its_own_decision() -> None:
    async def work() -> None:
        worker = Worker()
        async with Followed(worker) as decisions:
            worker.answer(3, [line("b")])
            worker.answer(7, [line("a"), line("a"), line("a", "other")], repeated=[REPEATED], set_aside=[SET_ASIDE])
            items = [item(7, 0, "a"), item(7, 1, "b"), item(7, 2, "c"), item(7, 3, "d"), item(9, 0, "e")]
            decided = await decisions.wait(items[:4], Patience(30))
            assert [decision.status for decision in decided] == ["decided", "repeated", "set_aside", "pending"]
            assert [len(decision.lines) for decision in decided] == [2, 1, 0, 0]
            assert (decided[1].same_content, decided[1].first) == (False, (3, 0))
            assert (decided[2].reason, decided[2].field) == ("too_late", None)
            assert decisions.known(items[4:])[0].status is DecisionStatus.PENDING

    asyncio.run(work())


def test_a_message_that_could_not_be_read_is_set_aside_whole() -> None:
    whole = {"index": None, "command": None, "id": None, "reason": "undecodable", "field": None}
    decisions = Answered(set_aside=[whole]).decisions()
    assert decisions.of(5, "acme", "a").reason == "undecodable"


@pytest.mark.parametrize("patience", [Patience(0.2), Patience(30, still=0.2), Patience(0)])
def test_what_is_not_decided_is_pending(patience: Patience) -> None:
    async def work() -> None:
        worker = Worker()
        async with Followed(worker) as decisions:
            worker.answer(1, [line("a")])
            decided = await decisions.wait([item(1, 0, "a"), item(2, 0, "b")], Patience(30, still=0.2))
            assert [decision.status for decision in decided] == ["decided", "pending"]
            (pending,) = await decisions.wait([item(2, 0, "b")], patience)
            assert pending.status is DecisionStatus.PENDING

    asyncio.run(work())


def test_a_tail_that_moves_is_waited_for_longer_than_one_that_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DecisionTail, "progressed_at", lambda _tail, _partition: clock.monotonic())

    async def work() -> None:
        worker = Worker()
        async with Followed(worker) as decisions:
            waiting = asyncio.create_task(decisions.wait([item(50, 0, "z")], Patience(60, still=0.2)))
            await asyncio.sleep(1)
            worker.answer(50, [line("z")])
            (decided,) = await waiting
            assert decided.status is DecisionStatus.DECIDED

    asyncio.run(work())


def test_a_server_that_ends_lets_nobody_wait() -> None:
    async def work() -> None:
        async with Followed(Worker()) as decisions:
            waiting = asyncio.create_task(decisions.wait([item(1, 0, "a")], Patience(600, still=600)))
            await asyncio.sleep(0)
            decisions.end()
            (decision,) = await asyncio.wait_for(waiting, 60)
            assert decision.status is DecisionStatus.PENDING

    asyncio.run(work())


def test_a_hold_is_decided_when_its_change_is_there_too() -> None:
    change = {
        "hold_id": "h", "account_id": "acme", "status": "held", "credits": {"c": 1}, "expires_at": 2, "at": 1,
    }  # fmt: skip

    async def work() -> None:
        worker = Worker()
        async with Followed(worker) as decisions:
            stored = Stored(0, 4, 0, "0" * 32)
            worker.answer(4, [], applied=[{"command": "hold", "id": "h"}])
            assert await decisions.wait_for_command(stored, Patience(0.3)) is None
            assert decisions.changes_of_hold(stored) is None
            waiting = asyncio.create_task(decisions.wait_for_command(stored, Patience(30, still=30)))
            batch = {"source_partition": 0, "source_offset": 4, "part": 0, "parts": 1, "holds": [change]}
            worker.append(NAMES.holds, CODEC.encode("HoldBatch", batch))
            assert await waiting is not None
            assert [held["hold_id"] for held in decisions.changes_of_hold(stored) or ()] == ["h"]
            assert [offset for offset, _ in decisions.recent_changes(0, "h")] == [4]
            assert decisions.recent_changes(0, "other") == []

    asyncio.run(work())

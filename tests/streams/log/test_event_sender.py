"""The contract of sending and following in memory, and what a failed delivery does."""

from __future__ import annotations

import asyncio
import threading

import pytest

from streams import clock
from streams.log.decision_tail import AnswerKey, DecisionTail
from streams.log.event_sender import EventSender, Outgoing
from streams.log.memory import MemoryBroker
from streams.log.memory_connections import MemoryConnections
from streams.log.protocols import LogUnavailable
from streams.log.seals import SEAL_HEADER
from streams.log.topics import TopicNames
from tests.schemas.records import LINE
from tests.streams.log.contract_sending import CODEC, Place, SendingContract, event, run


def billed(source_offset: int, part: int, parts: int, event_id: str, partition: int) -> bytes:
    head = {"source_partition": partition, "source_offset": source_offset, "part": part, "parts": parts}
    return CODEC.encode("BilledBatch", {**head, "events": [{**LINE, "event_id": event_id}]})


def in_memory() -> Place:
    names = TopicNames("sending")
    connections = MemoryConnections(names, CODEC, 2, MemoryBroker(clock.now_ms))

    def answer(partition: int, offset: int, part: int, parts: int, event_id: str) -> None:
        value = billed(offset, part, parts, event_id, partition)
        seal = connections.sealer.seal(names.billed, partition, value)
        connections.broker.append(names.billed, partition, value, headers={SEAL_HEADER: seal})

    return Place(names, connections, answer)


class TestInMemory(SendingContract):
    @pytest.fixture
    def place(self) -> Place:
        return in_memory()


def test_after_a_failed_delivery_all_is_unknown_and_then_it_goes_on() -> None:
    place = in_memory()
    assert isinstance(place.connections, MemoryConnections)
    transport = place.connections.message_sender()

    async def work() -> None:
        sender = EventSender(transport, CODEC)
        transport.lets_through.clear()
        first = asyncio.create_task(sender.store_events("k", [Outgoing(0, event(1)), Outgoing(1, event(2))]))
        await asyncio.sleep(0)
        gathered = asyncio.create_task(sender.store_events("k", [Outgoing(0, event(3))]))
        await asyncio.sleep(0)
        transport.fail("not acknowledged")
        assert await first == [None, None]
        assert await gathered == [None]
        assert sender.problem() == "not acknowledged"
        with pytest.raises(LogUnavailable, match="not acknowledged"):
            await sender.store_events("k", [Outgoing(0, event(4))])
        transport.mend()
        transport.lets_through.set()
        (stored,) = await sender.store_events("k", [Outgoing(0, event(5))])
        assert stored is not None
        assert (sender.unacknowledged, sender.problem()) == (0, None)
        await sender.close(5)

    run(work)


def test_a_sender_that_ends_says_what_is_unknown() -> None:
    place = in_memory()
    assert isinstance(place.connections, MemoryConnections)
    transport = place.connections.message_sender()

    async def work() -> None:
        sender = EventSender(transport, CODEC)
        transport.lets_through.clear()
        storing = asyncio.create_task(sender.store_events("k", [Outgoing(0, event(1))]))
        await asyncio.sleep(0)
        await sender.close(0.1)
        assert await storing == [None]

    run(work)


def test_a_stray_record_answers_nothing() -> None:
    place = in_memory()
    assert isinstance(place.connections, MemoryConnections)
    broker, names = place.connections.broker, place.names

    async def work() -> None:
        tail = DecisionTail(place.connections.tail_source((names.billed,)), place.connections.seals())
        tail.start()
        broker.append(names.billed, 0, billed(5, 0, 1, "forged", 0), headers={SEAL_HEADER: b"0" * 16})
        broker.append(names.billed, 0, b"no batch at all")
        place.answer(0, 6, 0, 1, "ours")
        await tail.watch(AnswerKey(names.billed, 0, 6))
        assert tail.kept(AnswerKey(names.billed, 0, 5)) is None
        await asyncio.to_thread(tail.close)

    run(work)


def test_who_gives_up_leaves_nothing_behind() -> None:
    place = in_memory()

    async def work() -> None:
        tail = DecisionTail(place.connections.tail_source((place.names.billed,)), place.connections.seals())
        tail.start()
        key = AnswerKey(place.names.billed, 0, 1)
        future = tail.watch(key)
        other = tail.watch(key)
        tail.unwatch(key, future)
        place.answer(0, 1, 0, 1, "e")
        await other
        assert not future.done()
        await asyncio.to_thread(tail.close)
        assert threading.active_count() < 20

    run(work)

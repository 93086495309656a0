"""What an EventSender and a DecisionTail do, over Kafka and over the twins in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest

from schemas.codec import Codec
from streams import clock
from streams.log.connections import Connections
from streams.log.decision_tail import AnswerKey, DecisionTail, Keeping
from streams.log.event_sender import EventSender, Gathering, Outgoing, SenderFull, Stored, value_digest
from streams.log.topics import TopicNames

CODEC = Codec()
T = TypeVar("T")


@dataclass
class Place:
    """One pipeline's topics. `answer` writes a sealed BilledBatch into the output topic, as a worker does."""

    names: TopicNames
    connections: Connections
    answer: Callable[[int, int, int, int, str], None]


def event(number: int) -> bytes:
    return CODEC.encode_event(
        {
            "event_id": f"e-{number}", "account_id": "acme", "occurred_at": 1_767_225_600_000, "endpoint": "/v1",
            "channel": "api", "outcome": "processed",
        }
    )  # fmt: skip


def ids_at(place: Place, stored: Stored) -> list[str]:
    (message,) = place.connections.log(place.names.requests).read(stored.partition, stored.offset, stored.offset + 1)
    assert value_digest(message.value) == stored.digest
    return [record["event_id"] for record in CODEC.decode_commands(message.value).records]


def run(work: Callable[[], Awaitable[T]]) -> T:
    async def bounded() -> T:
        async with asyncio.timeout(60):
            return await work()

    return asyncio.run(bounded())


class SendingContract:
    """Inherit, and give the fixture `place`, with two partitions or more."""

    def test_events_are_where_their_receipts_say(self, place: Place) -> None:
        async def work() -> list[Stored | None]:
            sender = EventSender(place.connections.message_sender(), CODEC)
            stored = await sender.store_events("key-1", [Outgoing(n % 2, event(n)) for n in range(10)])
            assert sender.unacknowledged == 0
            await sender.close(10)
            return stored

        stored = run(work)
        for number, place_of in enumerate(stored):
            assert place_of is not None
            assert ids_at(place, place_of)[place_of.index] == f"e-{number}"
            assert place_of.partition == number % 2

    def test_messages_are_shared_with_the_same_key_only_and_keep_the_order(self, place: Place) -> None:
        async def work() -> list[list[Stored | None]]:
            gathering = Gathering(events=3, seconds=0.05)
            sender = EventSender(place.connections.message_sender(), CODEC, gathering)
            callers = [(f"key-{number % 2}", number) for number in range(8)]
            stored = await asyncio.gather(
                *(sender.store_events(key, [Outgoing(0, event(number))]) for key, number in callers)
            )
            await sender.close(10)
            return stored

        by_message: dict[int, list[str]] = {}
        for (one,) in run(work):
            assert one is not None
            by_message[one.offset] = ids_at(place, one)
        producers = {
            message.offset: message.producer
            for message in place.connections.log(place.names.requests).read(0, min(by_message), max(by_message) + 1)
        }
        assert max(map(len, by_message.values())) > 1, "nothing was gathered"
        assert max(map(len, by_message.values())) <= 3
        order: dict[str, list[int]] = {"key-0": [], "key-1": []}
        for offset in sorted(by_message):
            numbers = [int(name[2:]) for name in by_message[offset]]
            producer = producers[offset]
            assert {f"key-{number % 2}" for number in numbers} == {producer}
            order[str(producer)] += numbers
        assert order == {"key-0": [0, 2, 4, 6], "key-1": [1, 3, 5, 7]}

    def test_a_large_request_is_cut(self, place: Place) -> None:
        async def work() -> list[Stored | None]:
            sender = EventSender(place.connections.message_sender(), CODEC)
            stored = await sender.store_events("key-1", [Outgoing(1, event(n)) for n in range(250)])
            await sender.close(10)
            return stored

        offsets = [one.offset for one in run(work) if one is not None]
        assert [offsets.count(offset) for offset in sorted(set(offsets))] == [100, 100, 50]

    def test_a_command_goes_alone_behind_what_was_sent_before(self, place: Place) -> None:
        async def work() -> tuple[Any, ...]:
            sender = EventSender(place.connections.message_sender(), CODEC, Gathering(seconds=30))
            first = asyncio.create_task(sender.store_events("k", [Outgoing(0, event(1))]))
            second = asyncio.create_task(sender.store_events("k", [Outgoing(0, event(2))]))
            await asyncio.sleep(0)
            hold = {
                "hold_id": "h",
                "account_id": "acme",
                "credits": {"c": 1},
                "held_at": 1,
                "expires_at": 2,
                "reason": "",
            }
            command = await sender.store_command("k", 0, CODEC.encode("Hold", hold))
            events = await first, await second
            await sender.close(10)
            return *events, command

        (first,), (second,), command = run(work)
        assert first.offset < second.offset < command.offset
        assert command.index == 0

    def test_what_is_too_much_is_refused_before_it_is_kept(self, place: Place) -> None:
        async def work() -> None:
            gathering = Gathering(unacknowledged=3 * len(event(1)))
            sender = EventSender(place.connections.message_sender(), CODEC, gathering)
            two = [Outgoing(0, event(1)), Outgoing(0, event(2))]
            first = asyncio.create_task(sender.store_events("k", two))
            await asyncio.sleep(0)
            with pytest.raises(SenderFull):
                await sender.store_events("k", two)
            await first
            assert all(await sender.store_events("k", two))
            await sender.close(10)

        run(work)

    def test_a_caller_that_leaves_takes_nothing_along(self, place: Place) -> None:
        async def work() -> None:
            sender = EventSender(place.connections.message_sender(), CODEC)
            leaving = asyncio.create_task(sender.store_events("k", [Outgoing(0, event(1))]))
            await asyncio.sleep(0)
            leaving.cancel()
            (stored,) = await sender.store_events("k", [Outgoing(0, event(2))])
            assert stored is not None
            await sender.close(10)
            assert sender.unacknowledged == 0

        run(work)

    def test_an_answer_is_seen_by_who_waits_and_by_who_comes_later(self, place: Place) -> None:
        async def work() -> None:
            names = place.names
            tail = DecisionTail(place.connections.tail_source((names.billed, names.holds)), place.connections.seals())
            await asyncio.to_thread(tail.start)
            key, partial = AnswerKey(names.billed, 0, 1_000), AnswerKey(names.billed, 1, 7)
            waiting, never = tail.watch(key), tail.watch(partial)
            assert tail.kept(key) is None
            place.answer(1, 7, 0, 2, "e-7")
            place.answer(0, 1_000, 0, 1, "e-1")
            await waiting
            await tail.watch(key)
            assert [CODEC.decode(part)[1]["events"][0]["event_id"] for part in tail.kept(key) or ()] == ["e-1"]
            assert tail.progressed_at(0) <= clock.monotonic()
            assert (never.done(), tail.kept(partial)) == (False, None)
            place.answer(1, 7, 1, 2, "e-8")
            await never
            assert len(tail.kept(partial) or ()) == 2
            assert [of for of, _ in tail.recent(names.billed, 0, b"e-1")] == [key]
            assert tail.recent(names.billed, 0, b"e-9") == []
            await asyncio.to_thread(tail.close)
            assert tail.problem() is not None

        run(work)

    def test_old_answers_are_forgotten_by_age_and_by_bytes(self, place: Place) -> None:
        async def work() -> None:
            source = place.connections.tail_source((place.names.billed,))
            tail = DecisionTail(source, place.connections.seals(), Keeping(size=300))
            await asyncio.to_thread(tail.start)
            for offset in range(2_000, 2_020):
                place.answer(0, offset, 0, 1, "e" * 100)
            await tail.watch(AnswerKey(place.names.billed, 0, 2_019))
            kept = [offset for offset in range(2_000, 2_020) if tail.kept(AnswerKey(place.names.billed, 0, offset))]
            assert kept
            assert kept == list(range(kept[0], 2_020))
            assert kept[0] > 2_010
            assert tail.bytes <= 300
            await asyncio.to_thread(tail.close)

        run(work)

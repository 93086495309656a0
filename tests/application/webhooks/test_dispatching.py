"""Tries under an injected clock: when they are made, how many at once, and that one receiver delays no other."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace

from application.webhooks.dispatching import MOST_TRIES, TRIES_OF_WEBHOOK, Dispatcher
from application.webhooks.schedule import TryResult, after_try
from streams.deliveries.records import Delivery, DeliveryStatus
from tests.application.webhooks.examples import HOUR, NOW, SECOND, a_delivery, refused, taken

Reaction = Callable[[Delivery], Awaitable[TryResult | None]]


class Desk:
    """A dispatcher with a clock of its own; results come back to it as after a write."""

    def __init__(self, react: Reaction) -> None:
        self.now = NOW
        self.react = react
        self.tries: list[tuple[str, int]] = []
        self.ended: dict[str, Delivery] = {}
        self.at_once: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self.dispatcher = Dispatcher(self._try, self._done, lambda: self.now)

    async def _try(self, delivery: Delivery) -> TryResult | None:
        self.tries.append((delivery.delivery_id, self.now))
        self.at_once[delivery.webhook_id] += 1
        self.most[delivery.webhook_id] = max(self.most[delivery.webhook_id], self.at_once[delivery.webhook_id])
        try:
            return await self.react(delivery)
        finally:
            self.at_once[delivery.webhook_id] -= 1

    def _done(self, partition: int, delivery: Delivery, result: TryResult) -> None:
        after = after_try(delivery, result)
        if after.status is DeliveryStatus.PENDING:
            self.dispatcher.offer(partition, after)
        else:
            self.ended[after.delivery_id] = after

    async def turn(self) -> int | None:
        """Everything that is due now, to its end; when the next one is."""
        while True:
            next_at = self.dispatcher.start_due()
            await asyncio.sleep(0)
            if not self.dispatcher.in_flight:
                next_at = self.dispatcher.start_due()
                if not self.dispatcher.in_flight:
                    return next_at


async def take(_delivery: Delivery) -> TryResult | None:
    return taken()


def test_what_is_due_is_tried_and_what_is_not_waits_for_its_time() -> None:
    async def run() -> None:
        desk = Desk(take)
        desk.dispatcher.offer(0, a_delivery("now"))
        desk.dispatcher.offer(0, a_delivery("later", next_at=NOW + SECOND))
        assert await desk.turn() == NOW + SECOND
        desk.now += SECOND
        assert await desk.turn() is None
        assert desk.tries == [("now", NOW), ("later", NOW + SECOND)]

    asyncio.run(run())


def test_a_receiver_that_is_down_for_an_hour_gets_everything_then() -> None:
    async def down(_delivery: Delivery) -> TryResult | None:
        return refused(desk.now) if desk.now < NOW + HOUR else taken(desk.now)

    desk = Desk(down)

    async def run() -> None:
        for number in range(50):
            desk.dispatcher.offer(0, a_delivery(f"msg_{number}", next_at=NOW + number * SECOND))
        while (next_at := await desk.turn()) is not None:
            desk.now = next_at

    asyncio.run(run())
    assert len(desk.ended) == 50
    assert {delivery.status for delivery in desk.ended.values()} == {DeliveryStatus.DELIVERED}
    assert desk.now < NOW + 3 * HOUR
    assert {delivery.tries for delivery in desk.ended.values()} == {6}
    assert desk.most["wh_1"] <= TRIES_OF_WEBHOOK


def test_one_poisonous_message_fails_alone() -> None:
    async def react(delivery: Delivery) -> TryResult | None:
        return refused(desk.now) if delivery.delivery_id == "poison" else taken(desk.now)

    desk = Desk(react)

    async def run() -> None:
        for number in range(20):
            desk.dispatcher.offer(0, a_delivery("poison" if number == 3 else f"msg_{number}"))
        await desk.turn()
        assert len(desk.ended) == 19
        while (next_at := await desk.turn()) is not None:
            desk.now = next_at
        assert desk.ended["poison"].status is DeliveryStatus.FAILED

    asyncio.run(run())


def test_many_receivers_that_hang_delay_no_other() -> None:
    """Each has one try at a time once it has failed; the others' messages are all taken meanwhile."""
    hanging = asyncio.Event()

    async def react(delivery: Delivery) -> TryResult | None:
        if delivery.webhook_id.startswith("bad"):
            await hanging.wait()
        return taken(desk.now)

    desk = Desk(react)

    async def run() -> None:
        for bad in range(20):
            for number in range(100):
                desk.dispatcher.offer(0, a_delivery(f"bad_{bad}_{number}", f"bad_{bad}"))
        for number in range(500):
            desk.dispatcher.offer(0, a_delivery(f"good_{number}", "good"))
        while len(desk.ended) < 500:
            desk.dispatcher.start_due()
            await asyncio.sleep(0)
        assert {desk.most[f"bad_{bad}"] for bad in range(20)} == {TRIES_OF_WEBHOOK}
        assert desk.dispatcher.in_flight == 20 * TRIES_OF_WEBHOOK <= MOST_TRIES
        hanging.set()
        await desk.turn()
        assert len(desk.ended) == 2_500

    asyncio.run(run())


def test_after_a_failure_there_is_one_try_at_a_time_until_one_succeeds() -> None:
    async def react(_delivery: Delivery) -> TryResult | None:
        await asyncio.sleep(0)
        return refused(desk.now) if desk.now == NOW else taken(desk.now)

    desk = Desk(react)

    async def run() -> None:
        desk.dispatcher.offer(0, a_delivery("first"))
        await desk.turn()
        for number in range(20):
            desk.dispatcher.offer(0, a_delivery(f"msg_{number}"))
        await desk.turn()
        assert desk.most["wh_1"] == 1
        desk.now += HOUR
        await desk.turn()
        assert desk.most["wh_1"] > 1

    asyncio.run(run())


def test_what_an_answer_asks_to_wait_every_message_of_the_webhook_waits() -> None:
    async def react(delivery: Delivery) -> TryResult | None:
        return refused(desk.now, 429, 30 * SECOND) if delivery.delivery_id == "msg_1" and desk.now == NOW else taken()

    desk = Desk(react)

    async def run() -> None:
        desk.dispatcher.offer(0, a_delivery("msg_1"))
        await desk.turn()
        desk.dispatcher.offer(0, a_delivery("msg_2"))
        desk.dispatcher.offer(0, a_delivery("other", "wh_2"))
        assert await desk.turn() == NOW + 30 * SECOND
        assert set(desk.ended) == {"other"}
        desk.now += 31 * SECOND
        await desk.turn()
        assert set(desk.ended) == {"other", "msg_1", "msg_2"}

    asyncio.run(run())


def test_a_newer_record_takes_the_place_of_an_earlier_one_and_what_is_withdrawn_is_not_tried() -> None:
    async def run() -> None:
        desk = Desk(take)
        waiting = a_delivery(next_at=NOW + HOUR)
        desk.dispatcher.offer(0, waiting)
        desk.dispatcher.offer(0, replace(waiting, next_at=NOW, revision=2))
        desk.dispatcher.offer(0, a_delivery("gone"))
        desk.dispatcher.withdraw("gone")
        desk.dispatcher.offer(7, a_delivery("elsewhere"))
        desk.dispatcher.leave(7)
        await desk.turn()
        desk.now += 2 * HOUR
        await desk.turn()
        assert desk.tries == [("msg_1", NOW)]

    asyncio.run(run())


def test_a_try_that_cannot_be_made_here_is_made_a_little_later_and_counts_as_none() -> None:
    async def react(_delivery: Delivery) -> TryResult | None:
        if len(desk.tries) == 1:
            raise RuntimeError("a mistake of ours")
        return None if len(desk.tries) == 2 else taken(desk.now)

    desk = Desk(react)

    async def run() -> None:
        desk.dispatcher.offer(0, a_delivery())
        while (next_at := await desk.turn()) is not None:
            desk.now = next_at
        assert [at for _, at in desk.tries] == [NOW, NOW + 5 * SECOND, NOW + 10 * SECOND]
        assert desk.ended["msg_1"].tries == 1

    asyncio.run(run())


def test_an_end_waits_for_the_tries_under_way_and_begins_none() -> None:
    begun, going = asyncio.Event(), asyncio.Event()

    async def react(_delivery: Delivery) -> TryResult | None:
        begun.set()
        await going.wait()
        return taken()

    async def run() -> None:
        desk = Desk(react)
        running = asyncio.create_task(desk.dispatcher.run())
        desk.dispatcher.offer(0, a_delivery("msg_1"))
        await begun.wait()
        ending = asyncio.create_task(desk.dispatcher.end())
        await asyncio.sleep(0)
        desk.dispatcher.offer(0, a_delivery("msg_2"))
        going.set()
        await ending
        await running
        assert (list(desk.ended), desk.tries) == (["msg_1"], [("msg_1", NOW)])

    asyncio.run(run())

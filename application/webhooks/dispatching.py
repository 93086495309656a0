"""Makes the tries that are due: a queue for each webhook, so that one bad receiver delays no other.

A webhook has several tries at once while it takes them, and one at a time after a failure. What an answer asks to wait
(429, Retry-After) all of the webhook's messages wait. Belongs to one event loop; nothing here waits for Kafka.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from application.webhooks.schedule import LONGEST_RETRY_AFTER, Outcome, TryResult
from streams.deliveries.records import Delivery

MOST_TRIES = 256
"""Tries at once, of all webhooks."""
TRIES_OF_WEBHOOK = 8
"""Tries at once of a webhook that takes them."""
_LONGEST_SLEEP = 1.0
_TRY_LATER_MS = 5_000
logger = logging.getLogger(__name__)

Try = Callable[[Delivery], Awaitable[TryResult | None]]
"""Makes one try. None: it could not be made now, for no fault of the receiver."""


@dataclass(slots=True)
class _Queue:
    """One webhook's messages, by when they are due."""

    due: list[tuple[int, str, int]] = field(default_factory=list)
    in_flight: int = 0
    is_failing: bool = False
    paused_until: int = 0

    @property
    def most(self) -> int:
        return 1 if self.is_failing else TRIES_OF_WEBHOOK


@dataclass(slots=True)
class _Pending:
    partition: int
    delivery: Delivery


class Dispatcher:
    """`make_try` makes one; `done` is told the partition, the delivery as it was tried, and the result.

    `now` in ms. `done` leads to a further `offer`, where there is one, once the result is written.
    """

    def __init__(
        self, make_try: Try, done: Callable[[int, Delivery, TryResult], None], now: Callable[[], int]
    ) -> None:  # fmt: skip
        self._make_try = make_try
        self._done = done
        self._now = now
        self._queues: dict[str, _Queue] = {}
        self._pending: dict[str, _Pending] = {}
        self._in_flight: dict[str, asyncio.Task[None]] = {}
        self._news = asyncio.Event()
        self._is_ending = False

    @property
    def in_flight(self) -> int:
        """Tries under way."""
        return len(self._in_flight)

    def offer(self, partition: int, delivery: Delivery) -> None:
        """To be tried at its next_at; it takes the place of an earlier record of the same delivery."""
        self._pending[delivery.delivery_id] = _Pending(partition, delivery)
        if delivery.delivery_id not in self._in_flight:
            self._enqueue(delivery)

    def withdraw(self, delivery_id: str) -> None:
        """Not to be tried any more. A try that is under way goes on."""
        self._pending.pop(delivery_id, None)

    def leave(self, partition: int) -> None:
        """Nothing of this partition is to be begun any more."""
        gone = [name for name, pending in self._pending.items() if pending.partition == partition]
        for name in gone:
            del self._pending[name]

    async def run(self) -> None:
        """Make tries until `end` is called."""
        while not self._is_ending:
            self._news.clear()
            next_at = self.start_due()
            sleep = _LONGEST_SLEEP if next_at is None else (next_at - self._now()) / 1_000
            try:
                async with asyncio.timeout(min(max(sleep, 0.0), _LONGEST_SLEEP)):
                    await self._news.wait()
            except TimeoutError:
                pass

    async def end(self) -> None:
        """Begin no further try, and wait for those that are under way: they end within seconds."""
        self._is_ending = True
        self._news.set()
        if self._in_flight:
            await asyncio.wait(list(self._in_flight.values()))

    def start_due(self) -> int | None:
        """Start every try that is due and has a turn; when the next one is due, ms, None where none waits for its time.

        Webhooks take turns: who had one stands behind the others.
        """
        now, next_at = self._now(), None
        for webhook_id in list(self._queues):
            queue = self._queues[webhook_id]
            began = False
            while (delivery := self._first(queue)) is not None and queue.in_flight < queue.most:
                at = max(delivery.next_at or 0, queue.paused_until)
                if at > now:
                    next_at = at if next_at is None else min(next_at, at)
                    break
                if len(self._in_flight) >= MOST_TRIES or self._is_ending:
                    break
                heapq.heappop(queue.due)
                self._start(queue, delivery)
                began = True
            if began:
                self._queues[webhook_id] = self._queues.pop(webhook_id)
            elif not queue.due and not queue.in_flight and queue.paused_until <= now and not queue.is_failing:
                del self._queues[webhook_id]
        return next_at

    def _enqueue(self, delivery: Delivery) -> None:
        queue = self._queues.setdefault(delivery.webhook_id, _Queue())
        heapq.heappush(queue.due, (delivery.next_at or 0, delivery.delivery_id, delivery.revision))
        self._news.set()

    def _first(self, queue: _Queue) -> Delivery | None:
        """The message that is due first; what was withdrawn or replaced since is passed over."""
        while queue.due:
            _, delivery_id, revision = queue.due[0]
            pending = self._pending.get(delivery_id)
            is_newest = pending is not None and pending.delivery.revision == revision
            if pending is not None and is_newest and delivery_id not in self._in_flight:
                return pending.delivery
            heapq.heappop(queue.due)
        return None

    def _start(self, queue: _Queue, delivery: Delivery) -> None:
        queue.in_flight += 1
        partition = self._pending[delivery.delivery_id].partition
        task = asyncio.create_task(self._tried(queue, partition, delivery))
        self._in_flight[delivery.delivery_id] = task

    async def _tried(self, queue: _Queue, partition: int, delivery: Delivery) -> None:
        result: TryResult | None = None
        try:
            result = await self._make_try(delivery)
        except Exception:
            logger.exception("%s: a try failed within this process", delivery.delivery_id)
        finally:
            queue.in_flight -= 1
            del self._in_flight[delivery.delivery_id]
            self._news.set()
        if result is None:
            self._again_later(delivery)
            return
        queue.is_failing = result.outcome is not Outcome.DELIVERED
        if result.retry_after:
            queue.paused_until = max(queue.paused_until, self._now() + min(result.retry_after, LONGEST_RETRY_AFTER))
        replaced = self._pending.get(delivery.delivery_id)
        if replaced is not None and replaced.delivery.revision == delivery.revision:
            del self._pending[delivery.delivery_id]  # it comes again once its result is written
        self._done(partition, delivery, result)
        if replaced is not None and replaced.delivery.revision != delivery.revision:
            self._enqueue(replaced.delivery)

    def _again_later(self, delivery: Delivery) -> None:
        """It stays as it is, and has its turn a little later."""
        if delivery.delivery_id in self._pending:
            later = self._now() + _TRY_LATER_MS
            queue = self._queues.setdefault(delivery.webhook_id, _Queue())
            queue.paused_until = max(queue.paused_until, later)
            self._enqueue(self._pending[delivery.delivery_id].delivery)

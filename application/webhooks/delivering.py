"""One deliverer: a thread that follows the topics and writes, and an event loop that makes the tries.

All that waits for Kafka is in the thread, all that waits for receivers in the loop; messages and results go over
between them. Any failure ends the process: what was not written is done again by whoever goes on, with the same ids.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from application.access.access import Access
from application.access.authors import Author
from application.access.errors import AccessUnavailable
from application.access.identity import Identity, Role
from application.access.webhooks import disable_webhook, signing_secrets
from application.accounts.plan import AccountPlans
from application.errors import Failed, UseCaseError
from application.pipeline import Pipeline
from application.usage.store import UsageStore
from application.webhooks.announcements import Announcements
from application.webhooks.dispatching import Dispatcher
from application.webhooks.health import OFF_AFTER_MS
from application.webhooks.messages import is_on
from application.webhooks.schedule import Outcome, TryResult
from application.webhooks.sending import HttpSender
from application.webhooks.signing import signed_headers
from application.webhooks.work import DeliveryWork, WorkParts
from sinks.deliveries import TABLE
from streams import clock
from streams.access.records import Webhook
from streams.deliveries.records import Delivery
from streams.log.shared_partitions import Place
from streams.metrics import Metrics

_POLL_SECONDS = 0.2
_COMMIT_SECONDS = 1.0
_ACCESS_SECONDS = 60.0
"""For so long a broker may be away before the process ends."""
_AUTHOR = Author(Identity(Role.OPERATOR, None, None, "creditmeter deliver", "creditmeter deliver"))
_LAST_SUCCESS = (
    f"SELECT toUnixTimestamp64Milli(max(finished_at)) AS at FROM {TABLE} FINAL "  # noqa: S608 -- a name of our own
    "WHERE webhook_id = {webhook:String} AND status = 'delivered'"
)
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DelivererParts:
    """What a deliverer works with. `store` answers what an account's plan is; `now` gives ms."""

    pipeline: Pipeline
    access: Access
    sender: HttpSender
    store: UsageStore
    metrics: Metrics
    session_timeout: float = 15.0
    now: Callable[[], int] = clock.now_ms


class Deliverer:
    """`run` delivers until it is asked to end; see the module."""

    def __init__(self, parts: DelivererParts) -> None:
        self._parts = parts
        self._results: queue.SimpleQueue[tuple[int, Delivery, TryResult]] = queue.SimpleQueue()
        self._ended = threading.Event()
        self._turning_off: set[str] = set()
        self._changes = ThreadPoolExecutor(1, thread_name_prefix="turning off")
        self._dispatcher = Dispatcher(self._try, lambda *result: self._results.put(result), parts.now)

    async def run(self, stop: asyncio.Event, on_ready: Callable[[], None] = lambda: None) -> None:
        """Deliver until `stop` is set; then begin no further try, and end when those under way are written.

        `on_ready` is called once the process has its partitions. Raises what ended it.
        """
        loop = asyncio.get_running_loop()
        work = DeliveryWork(self._work_parts(), _FromThread(loop, self._dispatcher))
        following = loop.run_in_executor(None, self._follow, work, on_ready)
        trying = asyncio.create_task(self._dispatcher.run())
        stopping = asyncio.create_task(stop.wait())
        ends: list[asyncio.Future[Any]] = [following, trying, stopping]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        await self._dispatcher.end()
        self._ended.set()
        try:
            await following
            await trying
        finally:
            self._parts.sender.close()
            self._changes.shutdown(wait=False, cancel_futures=True)

    def _follow(self, work: DeliveryWork, on_ready: Callable[[], None]) -> None:
        """The thread: takes in what comes, writes what came of tries, until the loop has ended."""
        share = self._parts.pipeline.connections.shared_deliveries(work, self._parts.session_timeout)
        committed: dict[Place, int] = {}
        commit_at = clock.monotonic()
        is_ready = False
        while not self._ended.is_set():
            work.process(share.poll(_POLL_SECONDS))
            work.results(self._drained())
            work.tick()
            self._parts.metrics.webhook_waiting.set(work.pending)
            if clock.monotonic() >= commit_at:
                reached, commit_at = work.reached, clock.monotonic() + _COMMIT_SECONDS
                share.commit({place: at for place, at in reached.items() if committed.get(place) != at})
                committed = reached
            if work.has_share and not is_ready:
                is_ready = True
                on_ready()
        work.results(self._drained())
        share.commit(work.reached)
        share.close()

    def _drained(self) -> Iterator[tuple[int, Delivery, TryResult]]:
        while True:
            try:
                yield self._results.get_nowait()
            except queue.Empty:
                return

    async def _try(self, delivery: Delivery) -> TryResult | None:
        """One try, signed with what signs now; None where the webhook is off or not known here yet."""
        access, parts = self._parts.access, self._parts
        webhook = access.state.webhook(delivery.webhook_id)
        if webhook is None or not is_on(webhook):
            return None
        body = delivery.payload.encode()
        headers = signed_headers(signing_secrets(access, webhook), delivery.delivery_id, parts.now(), body)
        result = await parts.sender.send(webhook.url, headers, body)
        if result.outcome is Outcome.GONE and self._has_moved(webhook):
            result = replace(result, outcome=Outcome.FAILED)  # the next try goes to the new address
        parts.metrics.webhook_tries.labels(result.outcome.value).inc()
        if result.attempt.error:
            logger.info(
                "%s for %s: try %d failed: %s", delivery.delivery_id, webhook.webhook_id, delivery.tries + 1,
                result.attempt.error,
            )  # fmt: skip
        return result

    def _has_moved(self, tried: Webhook) -> bool:
        """Whether it has another address by now than the one that was tried."""
        known = self._parts.access.state.webhook(tried.webhook_id)
        return known is not None and known.url != tried.url

    def _work_parts(self) -> WorkParts:
        pipeline, access, metrics = self._parts.pipeline, self._parts.access, self._parts.metrics
        names = pipeline.names
        announcements = Announcements(
            pipeline.input_log, names.requests, pipeline.codec, pipeline.log_id, AccountPlans(self._parts.store).of
        )  # fmt: skip
        return WorkParts(
            names=names, codec=pipeline.codec, seals=pipeline.seals, log=pipeline.log, topic=pipeline.delivery_topic,
            log_id=pipeline.log_id, webhooks=access.state.all_webhooks, find=access.state.webhook,
            turn_off=self._turn_off, now=self._parts.now, read_webhooks=self._read_webhooks,
            announcements=announcements,
            made=lambda event, count: metrics.webhook_messages.labels(event).inc(count),
            stray=lambda topic: metrics.stray_records.labels(topic).inc(),
        )  # fmt: skip

    def _read_webhooks(self) -> None:
        """Asks again for a while where the topic does not answer. Raises AccessUnavailable."""
        deadline = clock.monotonic() + _ACCESS_SECONDS
        while True:
            try:
                return self._parts.access.read_to_end()
            except AccessUnavailable:
                if clock.monotonic() >= deadline:
                    raise
            clock.sleep(_POLL_SECONDS)

    def _turn_off(self, webhook: Webhook, reason: str, *, because_failing: bool) -> None:
        if webhook.webhook_id not in self._turning_off:
            self._turning_off.add(webhook.webhook_id)
            self._changes.submit(self._turned_off, webhook, reason, because_failing=because_failing)

    def _turned_off(self, webhook: Webhook, reason: str, *, because_failing: bool) -> None:
        """Where it cannot be done now, the next failure asks for it again."""
        try:
            if because_failing and webhook.account_id is None and self._succeeded_elsewhere(webhook):
                return
            disable_webhook(self._parts.access, _AUTHOR, webhook.webhook_id, reason)
            logger.warning("%s is off: %s", webhook.webhook_id, reason)
        except UseCaseError as error:
            logger.warning("%s cannot be turned off now: %s", webhook.webhook_id, error)
        finally:
            self._turning_off.discard(webhook.webhook_id)

    def _succeeded_elsewhere(self, webhook: Webhook) -> bool:
        """Whether a message of another partition was taken meanwhile: those of every account are everywhere."""
        try:
            rows = self._parts.store.rows(_LAST_SUCCESS, {"webhook": webhook.webhook_id})
        except Failed:
            return True  # not known now: it stays on
        at = rows[0]["at"] if rows else None
        return at is not None and self._parts.now() - int(at) < OFF_AFTER_MS


class _FromThread:
    """The dispatcher as the thread sees it: what it is told, it is told in its own loop, in order."""

    def __init__(self, loop: asyncio.AbstractEventLoop, dispatcher: Dispatcher) -> None:
        self._loop = loop
        self._dispatcher = dispatcher

    def offer(self, partition: int, delivery: Delivery) -> None:
        self._loop.call_soon_threadsafe(self._dispatcher.offer, partition, delivery)

    def withdraw(self, delivery_id: str) -> None:
        self._loop.call_soon_threadsafe(self._dispatcher.withdraw, delivery_id)

    def leave(self, partition: int) -> None:
        self._loop.call_soon_threadsafe(self._dispatcher.leave, partition)

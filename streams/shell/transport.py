"""Faust's Kafka transport, made exact: committed records are read, and the offsets of processed messages are committed.

Faust's own consumer reads records of aborted transactions, and guesses the offset to commit from acknowledgements: it
acknowledges messages that it drops in a rebalance, and commits nothing more behind some offsets without a record. And
where one partition has more than its share waiting, it may read nothing of any other for a second. And where a broker
that has just come back did not know a topic yet, it would take five minutes to ask again. And it never goes back to
what it fetched and let go, because a rebalance began, before anything was committed. And it takes the offset at which
it begins for one that is committed: a partition that a store has loaded would stay uncommitted until more comes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

from faust.transport.drivers import aiokafka as driver

from streams import clock
from streams.shell.fetching import GATHERED_BYTES, FetchPace

logger = logging.getLogger(__name__)

LOOK = 0.03
"""Seconds between looks at what is fetched while more of some partition is not wanted."""
GOODBYE = 5.0
"""Seconds that a consumer which stops may take to leave its group and close its connections."""
_AT_ONCE = (1, 1_500)
"""As Faust has it: Kafka answers with the first byte, and after so many ms without any."""
SEEK_PATIENCE = 86_400.0
"""Seconds that Faust waits for where partitions begin, which hangs on a store, or on states that are restored. After
them it would say nothing, and never fetch again."""
REQUEST_TIMEOUT = 90.0
"""Seconds for a request to Kafka; Faust has one setting for both."""
ASK_AGAIN = 1.0
"""Seconds between questions about a topic that Kafka did not know."""


class CarriedThrough:
    """The next offset to read of each (topic, partition), as far as the shell has carried it since it was assigned."""

    def __init__(self) -> None:
        self._next: dict[tuple[str, int], int] = {}

    def note(self, topic: str, partition: int, offset: int) -> None:
        self._next[topic, partition] = offset + 1

    def forget(self, topic: str, partition: int) -> None:
        self._next.pop((topic, partition), None)

    def next_offset(self, topic: str, partition: int, start: int | None = None) -> int | None:
        """``start`` where nothing was carried through."""
        return self._next.get((topic, partition), start)


def missing_topics(consumer: Any) -> frozenset[str]:
    """The subscribed topics of which an aiokafka consumer knows no partition by Kafka's last answer."""
    return frozenset(topic for topic in consumer.subscription() if not consumer.partitions_for_topic(topic))


Begins = Callable[[Sequence[tuple[str, int]]], Awaitable[Mapping[tuple[str, int], int]]]
"""Returns the offsets at which to begin partitions that do not begin at the group's own."""


class Hooks(NamedTuple):
    """What is called in a rebalance.

    ``before_revoked``: before the group in flight is waited for. ``before_assigned``: what is known of where these
    (topic, partition) pairs begin is of an earlier assignment.
    """

    before_revoked: Callable[[], None]
    before_assigned: Callable[[Collection[tuple[str, int]]], None]


class Thread(driver.AIOKafkaConsumerThread):
    """The thread of the consumer: it ends in time, and asks for topics that Kafka did not know."""

    pace: FetchPace | None = None
    """How long Kafka gathers what is fetched; None: it always answers at once."""

    async def on_thread_started(self) -> None:
        await super().on_thread_started()
        self.add_future(self._ask_for_missing_topics())

    async def _ask_for_missing_topics(self) -> None:
        """Asks for topics that Kafka did not know until it knows them; aiokafka then joins the group again.

        A broker may answer before it has read its own metadata. A group whose leader has such an answer shares out
        no partition, and with nothing to fetch nothing else would ask.
        """
        consumer, reported = self._ensure_consumer(), frozenset[str]()
        while not self.should_stop:
            if missing_topics(consumer):
                await consumer._client.force_metadata_update()  # noqa: SLF001 - it has no other way
            missing = missing_topics(consumer)
            if missing - reported:
                logger.warning("Kafka does not know %s: asking again until it does", ", ".join(sorted(missing)))
            elif reported and not missing:
                logger.warning("Kafka knows %s", ", ".join(sorted(reported)))
            reported = missing
            await self.sleep(ASK_AGAIN)

    async def on_thread_stop(self) -> None:
        """Ends also where the broker is gone or hangs: what matters has been committed by then.

        Of a broker that is gone aiokafka cancels the fetches that wait to be tried again, and lets their
        CancelledError out; Faust would wait for ever for a thread that ended with it.
        """
        with contextlib.suppress(asyncio.CancelledError, TimeoutError):
            async with asyncio.timeout(GOODBYE):
                await super().on_thread_stop()

    def _log_slow_processing_stream(self, msg: str, *args: Any) -> None:
        """Nothing: it sees a group's first message only, and would call an idle agent a hanging one."""

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._isolation_level = "read_committed"  # noqa: SLF001 - read when it starts; Faust has no setting
        timeout_ms = round(1_000 * REQUEST_TIMEOUT)
        consumer._request_timeout_ms = consumer._client._request_timeout_ms = timeout_ms  # noqa: SLF001
        return consumer

    async def _fetch_records(self, consumer: Any, *args: Any, **kwargs: Any) -> Any:
        """Tells the fetches to come how long Kafka may gather, by what these bring."""
        records = await super()._fetch_records(consumer, *args, **kwargs)
        if self.pace is None:
            return records
        size = sum(len(record.value or b"") for some in records.values() for record in some)
        self.pace.note(size, clock.monotonic())
        wait = self.pace.wait
        least_bytes, most_ms = (GATHERED_BYTES, round(1_000 * wait)) if wait else _AT_ONCE
        fetcher = consumer._fetcher  # noqa: SLF001 - it reads both with each fetch
        fetcher._fetch_min_bytes, fetcher._fetch_max_wait_ms = least_bytes, most_ms  # noqa: SLF001
        return records


class ExactConsumer(driver.Consumer):
    """Faust's consumer, corrected. `exact_transport` gives it what it works with."""

    done: CarriedThrough
    hooks: Hooks
    begins: Begins
    fetch_wait: float

    def _new_consumer_thread(self) -> Thread:
        thread = Thread(self, loop=self.loop, beacon=self.beacon)
        thread.pace = FetchPace(self.fetch_wait) if self.fetch_wait else None
        return thread

    async def _wait_next_records(self, timeout: float) -> Any:  # noqa: ASYNC109 - as Faust's
        """Looks again soon while partitions are crowded (`WaitingQueue`): Faust would take up to a second more."""
        while self._buffered_partitions and not self._get_active_partitions() and self.flow_active:
            if self.should_stop:
                break
            await self.sleep(LOOK)
        return await super()._wait_next_records(LOOK if self._buffered_partitions else timeout)

    def _new_offset(self, tp: Any) -> int | None:
        self._acked[tp].clear()
        self._acked_index[tp].clear()
        return self.done.next_offset(tp.topic, tp.partition)

    async def perform_seek(self) -> None:
        await super().perform_seek()
        self._committed_offset.update(self._behind_start)

    async def seek_to_committed(self) -> Mapping[Any, int]:
        """Goes back also where nothing is committed: aiokafka would stay behind what Faust fetched and let go.

        Where a partition begins further on than the group's own offset, that is committed next.
        """
        offsets = dict(await super().seek_to_committed())
        own = {(tp.topic, tp.partition): tp for tp in self.assignment()}
        self._behind_start: dict[Any, int | None] = {}
        starts = await self.begins(sorted(own))
        unread = []
        for place, tp in own.items():
            if place not in starts and offsets.get(tp):
                continue
            begin = self.done.next_offset(*place, starts.get(place))
            if begin is None:
                unread.append(driver.ensure_aiokafka_TP(tp))
                continue
            await self.seek(tp, begin)  # raises where the partition has gone to somebody else meanwhile
            if begin > (offsets.get(tp) or 0):
                if self.done.next_offset(*place) is None:  # what was carried through during the seek stays noted
                    self.done.note(*place, begin - 1)
                self._acked.setdefault(tp, [])  # Faust commits the partitions that are in here
                self._behind_start[tp] = offsets.get(tp)
            offsets[tp] = begin
        if unread:
            await self._thread.seek_to_beginning(*unread)
        return offsets

    async def on_partitions_revoked(self, revoked: Any) -> None:
        self.hooks.before_revoked()
        await super().on_partitions_revoked(revoked)  # waits for the group in flight and commits it
        for tp in revoked:
            self.done.forget(tp.topic, tp.partition)

    async def on_partitions_assigned(self, assigned: Any, generation_id: int = 0) -> None:
        """Forgets what a seek of before, which waited while the group shared out anew, has noted since."""
        for tp in assigned:
            self.done.forget(tp.topic, tp.partition)
            for kept in (self._acked, self._acked_index, self._committed_offset):
                kept.pop(tp, None)
        self.hooks.before_assigned([(tp.topic, tp.partition) for tp in assigned])
        await super().on_partitions_assigned(assigned, generation_id)


def exact_transport(app: Any, done: CarriedThrough, hooks: Hooks, begins: Begins, fetch_wait: float = 0.0) -> Any:
    """A transport for `app.transport`.

    `begins` is asked wherever Faust would go (back) to the committed offsets, first after an assignment. `fetch_wait`:
    see `ShellSettings`.
    """
    parts = {"done": done, "hooks": hooks, "begins": staticmethod(begins), "fetch_wait": fetch_wait}

    class Transport(driver.Transport):
        Consumer = type("Consumer", (ExactConsumer,), parts)

    return Transport(app.conf.broker_consumer, app, loop=app.loop)

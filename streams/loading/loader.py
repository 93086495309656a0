"""The loader: inserts the records of the output topics into ClickHouse. It waits for a slow store, and skips nothing.

Rows have keys that never change and a version from the source offset, so that rows that come twice count once.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NoReturn

from schemas.batches import Position
from schemas.codec import Codec
from schemas.column_plans import Gathered
from schemas.errors import Undecodable
from sinks.deliveries import DeliveryAt, delivery_insert
from sinks.inserts import Insert, inserts_of, inserts_of_columns
from sinks.sink import Sink, SinkUnavailable
from streams.clock import sleep
from streams.loading.continuity import Continuity, LogTopics
from streams.loading.positions import NOT_KNOWN, Loaded, Positions, SinkPositions, TopicAndPartition, loaded_of
from streams.log.input_log import KafkaInputLog
from streams.log.protocols import LogError, Message
from streams.log.reader import BROKER_AWAY_SECONDS, KafkaReader
from streams.log.seals import SealCheck, stray
from streams.log.topics import TopicNames, check_topics
from streams.metrics import Metrics, MetricsServer
from streams.shell.handler import Groups
from streams.shell.shell import Shell, ShellSettings

logger = logging.getLogger(__name__)

_DELIVERY = "Delivery"
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 10.0
"""Seconds between tries while the store is unavailable: doubled from the first to the longest."""


class ForeignRecord(LogError):
    """A record that counts as the rating worker's cannot be read; loading stops before it."""


class StoppedWaiting(LogError):
    """The process was to stop while the store was away; the rows come again at the next start."""


@dataclass(frozen=True, slots=True)
class LoaderSettings:
    """What a loader needs to know. ``group_wait``, ``fetch_wait`` (s) trade fresh tables for fewer, larger inserts.

    ``busy_wait`` (s): how long rows wait under load for a whole group, in which each costs less (docs/benchmarks.md).
    An insert takes many messages where each holds one event, and few where each holds many: ``group_bytes`` bounds it.
    ``skip_lost``: see `Continuity`.
    """

    bootstrap: str
    names: TopicNames
    scratch: Path
    seals: SealCheck
    codec: Codec = field(default_factory=Codec)
    group_messages: int = 1_024
    group_bytes: int = 4 * 1024 * 1024
    group_wait: float = 0.05
    fetch_wait: float = 0.2
    busy_wait: float = 0.4
    security: Mapping[str, str] = field(default_factory=dict)
    session_timeout: float = 15.0
    metrics_port: int | None = None
    metrics_host: str = "127.0.0.1"
    skip_lost: bool = False


class LoadingHandler:
    """Inserts groups of output batches, one insert a table."""

    def __init__(
        self, sink: Sink, positions: Positions, codec: Codec, seals: SealCheck, metrics: Metrics,
        continuity: Continuity, pause: Callable[[float], None] = sleep, *, deliveries: str = "",
    ) -> None:  # fmt: skip
        """`deliveries`: the name of the topic of what is sent to webhooks, whose records are no output batches."""
        self._sink = sink
        self._positions = positions
        self._continuity = continuity
        self._codec = codec
        self._seals = seals
        self._metrics = metrics
        self._pause = pause
        self._deliveries = deliveries
        self._stopped = threading.Event()
        self._seen: dict[TopicAndPartition, tuple[int, int]] = {}
        self._complete: dict[TopicAndPartition, int] = {}

    def process(self, groups: Groups) -> None:
        """Stores every record of every batch, then how far the store is; returns only when all of it is stored.

        A crash between the two loads the same rows again. Stray records are skipped.

        Raises ForeignRecord, LostPrefix where retention took records before they were loaded, and SinkRejected where
        the store will never take the rows.
        """
        reached: dict[TopicAndPartition, Loaded] = {}
        for topic, messages in groups.items():
            inserts = self._delivery_inserts if topic == self._deliveries else self._inserts
            for insert in inserts(topic, messages):
                self._insert(insert)
            for partition, message in {message.partition: message for message in messages}.items():
                place = topic, partition
                complete = self._complete.get(place, NOT_KNOWN)
                reached[place] = loaded_of(message)._replace(source_offset=complete)
        self._patiently("positions", lambda: self._positions.write(reached))

    def _inserts(self, topic: str, messages: Sequence[Message]) -> list[Insert]:
        """What to insert for the messages of one topic, all of them together: one insert a table."""
        gathered = Gathered()
        for message in self._ours(topic, messages):
            try:
                self._codec.gather(message.value, gathered, partial(self._is_new, (topic, message.partition)))
            except Undecodable as error:
                raise _foreign(topic, message, error) from None
        return [
            *(insert for name, columns in gathered.columns.items() for insert in inserts_of_columns(name, columns)),
            *(insert for name, batches in gathered.others.items() for insert in inserts_of(name, batches)),
        ]

    def _delivery_inserts(self, topic: str, messages: Sequence[Message]) -> list[Insert]:
        """The rows of what was sent to webhooks. What only removes a record leaves its row."""
        deliveries: list[DeliveryAt] = []
        for message in self._ours(topic, messages):
            try:
                name, record = self._codec.decode(message.value)
            except Undecodable as error:
                raise _foreign(topic, message, error) from None
            if name == _DELIVERY:  # the others say how far deliverers are
                deliveries.append(DeliveryAt(message.partition, message.offset, record))
        return [delivery_insert(deliveries)] if deliveries else []

    def _ours(self, topic: str, messages: Sequence[Message]) -> Iterator[Message]:
        """Those that this pipeline wrote; stray ones are logged and counted."""
        for message in messages:
            self._continuity.follow((topic, message.partition), message.offset)
            if topic == self._deliveries and not message.value:
                continue
            if not self._seals.is_ours(topic, message):
                logger.warning("%s", stray(topic, message))
                self._metrics.stray_records.labels(topic).inc()
                continue
            yield message

    def starts(self, places: Sequence[TopicAndPartition]) -> dict[TopicAndPartition, int]:
        """Where the store goes on. Raises LogChanged where the log is not the one that is loaded, LostPrefix."""
        positions: dict[TopicAndPartition, Loaded] = {}
        self._patiently("positions", lambda: positions.update(self._positions.read()))
        begins = self._continuity.begin(places, positions)
        for topic, partition in places:
            loaded = positions.get((topic, partition))
            logger.info("loading %s[%d] from offset %d", topic, partition, begins[topic, partition])
            self._metrics.loaded_offset.labels(topic, str(partition)).set(-1 if loaded is None else loaded.offset)
            self._complete[topic, partition] = NOT_KNOWN if loaded is None else loaded.source_offset
        return begins

    def assign(self, places: Iterable[TopicAndPartition]) -> None:
        """Does nothing: `starts` has checked these places."""

    def release(self, partitions: Iterable[tuple[str, int]]) -> None:
        places = list(partitions)
        self._continuity.release(places)
        for place in places:
            self._seen.pop(place, None)
            self._complete.pop(place, None)

    def abandon(self) -> None:
        self._stopped.set()

    def close(self) -> None:
        self._sink.close()

    def _is_new(self, place: TopicAndPartition, head: Position) -> bool:
        if head.source <= self._seen.get(place, (-1, -1)):
            return False
        self._seen[place] = head.source
        is_last = head.part == head.parts - 1
        self._complete[place] = head.source_offset if is_last else head.source_offset - 1
        return True

    def _insert(self, insert: Insert) -> None:
        self._patiently(f"rows of {insert.table}", lambda: self._sink.insert(*insert))
        self._metrics.loaded_rows.labels(insert.table).inc(insert.rows)

    def _patiently(self, what: str, ask: Callable[[], None]) -> None:
        """Asks the store again, with growing pauses, until it answers. Raises StoppedWaiting, SinkRejected."""
        pause = FIRST_PAUSE
        while True:
            try:
                return ask()
            except SinkUnavailable as error:
                logger.warning("the store does not take %s now (%s): trying again in %.1f s", what, error, pause)
                self._metrics.load_retries.inc()
                if self._stopped.is_set():
                    raise StoppedWaiting(f"stopped while the store did not take {what}: {error}") from error
                self._pause(pause)
                pause = min(2 * pause, LONGEST_PAUSE)


def _foreign(topic: str, message: Message, error: Undecodable) -> ForeignRecord:
    return ForeignRecord(
        f"{topic}[{message.partition}]@{message.offset}: {error.detail}, though the record counts as a worker's: it is "
        "from before the seals, or a newer version wrote it. Upgrade the loader, or see docs/operations.md, Stray "
        "records"
    )


def run_loader(settings: LoaderSettings, sink: Sink, on_ready: Callable[[], None] | None = None) -> NoReturn:
    """Loads until SIGTERM or SIGINT; ends the process with 0, or raises what went wrong. Closes the sink."""
    names = settings.names
    check_topics(settings.bootstrap, names, security=settings.security)
    reader = KafkaReader(settings.bootstrap, security=settings.security, timeout=BROKER_AWAY_SECONDS)
    logs = {topic: KafkaInputLog.over(reader, topic) for topic in names.loaded}
    metrics = Metrics()
    if settings.metrics_port is not None:
        MetricsServer(metrics, host=settings.metrics_host, port=settings.metrics_port)
    shell = Shell(
        ShellSettings(
            settings.bootstrap,
            names.loading_group,
            names.loaded,
            settings.scratch,
            group_messages=settings.group_messages,
            group_bytes=settings.group_bytes,
            group_wait=settings.group_wait,
            fetch_wait=settings.fetch_wait,
            busy_wait=settings.busy_wait,
            security=settings.security,
            session_timeout=settings.session_timeout,
        ),
        LoadingHandler(
            sink,
            SinkPositions(sink),
            settings.codec,
            settings.seals,
            metrics,
            Continuity(LogTopics(logs), skip_lost=settings.skip_lost, compacted={names.deliveries}),
            deliveries=names.deliveries,
        ),
    )
    shell.run(on_ready)

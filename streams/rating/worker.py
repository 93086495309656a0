"""The rating worker: the Faust shell around the rating loop, on real Kafka and RocksDB."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from metering.compiled import MODE
from schemas.codec import Codec
from schemas.price_book import read_book
from streams.checkpoints.automatic import Checkpointer, CheckpointSettings, Turns
from streams.checkpoints.checkpoints import Checkpoints
from streams.checkpoints.restoring import Restorer
from streams.checkpoints.scratch import Scratch
from streams.clock import sleep
from streams.log.input_log import KafkaInputLog
from streams.log.output_log import KafkaOutputLog
from streams.log.reader import BROKER_AWAY_SECONDS
from streams.log.seals import Sealer
from streams.log.topics import TopicNames, check_topics, partition_count
from streams.metrics import Health, Metrics, MetricsServer
from streams.rating.loop import RatingLoop
from streams.rating.outputs import Counts
from streams.rating.partition import Wiring
from streams.shell.handler import Groups, Progress
from streams.shell.shell import Shell, ShellSettings
from streams.state.rocks_folder import RocksFolder, RocksLimits
from streams.state.store import Identity, StateStore

logger = logging.getLogger(__name__)

WAITING_MESSAGES, WAITING_BYTES = 20_000, 32 * 1024 * 1024
"""What may be fetched and wait for the rating loop; a message takes 2 KiB beside its bytes."""


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """What a worker needs to know. ``seals`` is what its outputs are sealed with.

    ``group_messages`` and ``group_bytes`` bound what waits for its partition's turn.
    """

    bootstrap: str
    names: TopicNames
    state_path: Path
    seals: Sealer
    codec: Codec = field(default_factory=Codec)
    group_messages: int = 128
    group_bytes: int = 512 * 1024
    security: Mapping[str, str] = field(default_factory=dict)
    session_timeout: float = 15.0
    metrics_port: int | None = None
    metrics_host: str = "127.0.0.1"
    sync: bool = False
    checkpoints: CheckpointSettings | None = None


class RatingHandler:
    """Hands messages to the rating loop, gives it its turns, and keeps the metrics."""

    def __init__(self, loop: RatingLoop, topic: str, metrics: Metrics, turns: Turns) -> None:
        self._loop = loop
        self._topic = topic
        self._metrics = metrics
        self._turns = turns
        self._warned: set[int] = set()

    def process(self, groups: Groups) -> Progress:
        with self._turns.rating():
            for messages in groups.values():
                self._loop.take(messages)
            self._loop.advance()
        self._note(self._loop.take_counts())
        carried = {(self._topic, partition): stop for partition, stop in self._loop.written().items()}
        blocked = {(self._topic, partition) for partition in self._loop.blocked()}
        return Progress(carried, *self._loop.waiting(), blocked)

    def starts(self, places: Sequence[tuple[str, int]]) -> dict[tuple[str, int], int]:  # noqa: ARG002 -- as the protocol
        return {}

    def assign(self, places: Sequence[tuple[str, int]]) -> None:
        with self._turns.open:
            self._loop.assign(partition for _, partition in places)

    def release(self, partitions: Iterable[tuple[str, int]]) -> None:
        numbers = [partition for _, partition in partitions]
        with self._turns.open:
            self._loop.release(numbers)
        for number in numbers:
            self._metrics.forget_partition(number)

    def abandon(self) -> None:
        self._loop.abandon()

    def close(self) -> None:
        with self._turns.open:
            self._loop.close()

    def _note(self, counts: Counts) -> None:
        if not (counts.events or counts.messages or counts.groups):
            return
        metrics = self._metrics
        for decision, count in counts.decisions.items():
            metrics.events.labels(decision).inc(count)
        for command, count in counts.repeated.items():
            metrics.repeated.labels(command).inc(count)
        for command, count in counts.other_content.items():
            metrics.other_content.labels(command).inc(count)
        for status, count in counts.holds.items():
            metrics.holds.labels(status).inc(count)
        for reason, count in counts.dead_letters.items():
            metrics.dead_letters.labels(reason).inc(count)
        metrics.messages.inc(counts.messages)
        for group in counts.groups:
            metrics.group_messages.observe(group.messages)
            metrics.group_seconds.observe(group.seconds)
        for partition, rater in self._loop.raters.items():
            metrics.applied.labels(str(partition)).set(rater.applied)
            metrics.catch_up.inc(rater.caught_up)
            rater.caught_up = 0
        bare = [name for name in self._loop.without_prices() if name not in self._warned]
        if counts.decisions.get("unpriced") and bare:
            self._warned.update(bare)
            logger.warning(
                "partitions %s decide events without any price book: every line is `unpriced` and costs nothing. "
                "Publish one with `creditmeter prices publish BOOK.yaml`; what is decided already stays unpriced",
                bare,
            )


class Watch:
    """Looks every few seconds, from a thread of its own, at what the rating thread cannot see: lag and size."""

    SECONDS = 5.0

    def __init__(self, loop: RatingLoop, metrics: Metrics, log_: KafkaInputLog) -> None:
        self._loop = loop
        self._metrics = metrics
        self._log = log_
        self._problem: str | None = None

    def start(self) -> None:
        threading.Thread(target=self._run, name="watch", daemon=True).start()

    def health(self) -> Health:
        """Well while the broker answers; what is at hand, by partition, and whether the code is compiled."""
        at_hand = {str(partition): rater.applied for partition, rater in dict(self._loop.raters).items()}
        return self._problem is None, {"applied": at_hand, "problem": self._problem, "code": MODE.word}

    def _run(self) -> None:
        while True:
            try:
                self._look()
                self._problem = None
            except Exception as error:  # noqa: BLE001 - whatever it is, it is no health, and must not end the watch
                self._problem = f"{type(error).__name__}: {error}"
            sleep(self.SECONDS)

    def _look(self) -> None:
        for partition, rater in dict(self._loop.raters).items():
            _, end = self._log.bounds(partition)
            self._metrics.lag.labels(str(partition)).set(max(0, end - 1 - rater.applied))
            size = getattr(rater.store, "size", None)
            if size is not None:
                self._metrics.state_bytes.labels(str(partition)).set(size())


def open_loop(settings: WorkerSettings) -> RatingLoop:
    """A rating loop on real Kafka and RocksDB, after a check that the topics are as they must be.

    Raises LogError (TopicMissing, TopicMismatch, LogUnavailable), CheckpointError.
    """
    return _opened(settings, Metrics(), Turns(), threading.Event())[0]


def _opened(
    settings: WorkerSettings, metrics: Metrics, turns: Turns, leaving: threading.Event
) -> tuple[RatingLoop, Checkpointer | None]:
    """The loop, and what makes its checkpoints where they are wanted."""
    names = settings.names
    log_id = check_topics(settings.bootstrap, names, security=settings.security)[names.requests]
    partitions = partition_count(settings.bootstrap, names.requests, security=settings.security)
    folder = RocksFolder(settings.state_path, RocksLimits(sync=settings.sync))
    input_log = KafkaInputLog(
        settings.bootstrap, names.requests, security=settings.security, timeout=BROKER_AWAY_SECONDS
    )
    wiring = Wiring(
        names,
        partitions,
        settings.codec,
        read_book,
        input_log,
        KafkaOutputLog(
            settings.bootstrap,
            settings.codec.read_position,
            security=settings.security,
            seals=settings.seals,
            timeout=BROKER_AWAY_SECONDS,
        ),
        leaving,
    )
    opener: Callable[[Identity], StateStore] = folder.open
    checkpointer = None
    if settings.checkpoints is not None:
        checkpoints = Checkpoints(settings.checkpoints.url, names.requests, log_id)
        scratch = Scratch(settings.state_path)
        opener = Restorer(checkpoints, folder, scratch, input_log, metrics).open
        checkpointer = Checkpointer(checkpoints, settings.checkpoints, scratch, metrics, turns)

    def open_state(partition: int) -> StateStore:
        return opener(Identity(names.requests, partition, log_id))

    return RatingLoop(wiring, open_state), checkpointer


def run_worker(settings: WorkerSettings, on_ready: Callable[[], None] | None = None) -> NoReturn:
    """Rates until SIGTERM or SIGINT; ends the process with 0, or raises what went wrong.

    ``on_ready`` is called whenever partitions have been assigned, and their states opened and compared with the log.
    """
    names = settings.names
    metrics, turns, leaving = Metrics(), Turns(), threading.Event()
    loop, checkpointer = _opened(settings, metrics, turns, leaving)
    watch = Watch(loop, metrics, KafkaInputLog(settings.bootstrap, names.requests, security=settings.security))
    if settings.metrics_port is not None:
        MetricsServer(metrics, watch.health, host=settings.metrics_host, port=settings.metrics_port)
        watch.start()
    if checkpointer is not None:
        checkpointer.start(lambda: loop.raters)
    shell = Shell(
        ShellSettings(
            settings.bootstrap,
            names.rating_group,
            (names.requests,),
            settings.state_path / "faust",
            group_messages=settings.group_messages,
            group_bytes=settings.group_bytes,
            waiting_messages=WAITING_MESSAGES,
            waiting_bytes=WAITING_BYTES,
            security=settings.security,
            session_timeout=settings.session_timeout,
        ),
        RatingHandler(loop, names.requests, metrics, turns),
        leaving,
    )
    try:
        shell.run(on_ready)
    finally:
        if checkpointer is not None:
            checkpointer.stop()

"""The loader: output topics in, rows in ClickHouse, slower when the store is slow, never skipping.

Rows have keys that never change and a version from the source offset, so that rows that come twice count once.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from schemas.codec import Codec
from schemas.errors import Undecodable
from sinks.rows import to_columns
from sinks.sink import Sink, SinkUnavailable
from streams.clock import sleep
from streams.loading.continuity import Continuity, GroupPositions
from streams.log.protocols import LogError, Message
from streams.log.topics import TopicNames, check_topics, partition_count
from streams.metrics import Metrics, MetricsServer
from streams.shell.shell import Groups, Shell, ShellSettings

log = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 10.0
"""Seconds between tries while the store is unavailable: doubled from the first to the longest."""


class ForeignRecord(LogError):
    """An output topic holds something that the rating worker did not write; loading stops before it."""


class StoppedWaiting(LogError):
    """The process was to stop while the store was away; the rows come again at the next start."""


@dataclass(frozen=True, slots=True)
class LoaderSettings:
    """What a loader needs to know. ``group_wait`` (s) trades how fresh the tables are for fewer, larger inserts.

    An insert takes many messages where each holds one event, and few where each holds many: ``group_bytes`` bounds it.
    """

    bootstrap: str
    names: TopicNames
    scratch: Path
    codec: Codec = field(default_factory=Codec)
    group_messages: int = 1_024
    group_bytes: int = 4 * 1024 * 1024
    group_wait: float = 0.2
    security: Mapping[str, str] = field(default_factory=dict)
    session_timeout: float = 15.0
    metrics_port: int | None = None
    metrics_host: str = "127.0.0.1"


class LoadingHandler:
    """Inserts groups of output batches, one insert a table."""

    def __init__(
        self, sink: Sink, codec: Codec, metrics: Metrics, continuity: Continuity,
        pause: Callable[[float], None] = sleep,
    ) -> None:  # fmt: skip
        self._sink = sink
        self._continuity = continuity
        self._codec = codec
        self._metrics = metrics
        self._pause = pause
        self._stopped = threading.Event()
        self._seen: dict[tuple[str, int], tuple[int, int]] = {}

    def process(self, groups: Groups) -> None:
        """Stores every record of every batch; returns only when all are stored.

        Raises ForeignRecord, LostPrefix where retention took records before they were loaded, and SinkRejected where
        the store will never take the rows.
        """
        for topic, messages in groups.items():
            by_name: dict[str, list[dict[str, Any]]] = {}
            for message in messages:
                self._continuity.follow((topic, message.partition), message.offset)
                name, batch = self._decode(topic, message)
                if self._is_new(topic, message.partition, batch):
                    by_name.setdefault(name, []).append(batch)
            for name, batches in by_name.items():
                self._insert(name, batches)

    def release(self, partitions: Iterable[tuple[str, int]]) -> None:
        places = list(partitions)
        self._continuity.release(places)
        for place in places:
            self._seen.pop(place, None)

    def abandon(self) -> None:
        self._stopped.set()

    def close(self) -> None:
        self._sink.close()

    def _decode(self, topic: str, message: Message) -> tuple[str, dict[str, Any]]:
        try:
            return self._codec.decode(message.value)
        except Undecodable as error:
            raise ForeignRecord(
                f"{topic}[{message.partition}]@{message.offset}: {error.detail}; only a creditmeter worker may write "
                "to this topic: find who else does, then delete the record or load into a new topic prefix"
            ) from None

    def _is_new(self, topic: str, partition: int, batch: dict[str, Any]) -> bool:
        position = (batch["source_offset"], batch["part"])
        if position <= self._seen.get((topic, partition), (-1, -1)):
            return False
        self._seen[topic, partition] = position
        return True

    def _insert(self, name: str, batches: list[dict[str, Any]]) -> None:
        table, columns = to_columns(name, batches)
        if not columns["version"]:  # answers alone, which have no rows
            return
        pause = FIRST_PAUSE
        while True:
            try:
                self._sink.insert(table, columns)
            except SinkUnavailable as error:
                log.warning("the store does not take rows of %s now (%s): trying again in %.1f s", table, error, pause)
                self._metrics.load_retries.inc()
                if self._stopped.is_set():
                    raise StoppedWaiting(f"stopped while the store did not take rows of {table}: {error}") from error
                self._pause(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
            else:
                self._metrics.loaded_rows.labels(table).inc(len(columns["version"]))
                return


def run_loader(settings: LoaderSettings, sink: Sink, on_ready: Callable[[], None] | None = None) -> NoReturn:
    """Loads until SIGTERM or SIGINT; ends the process with 0, or raises what went wrong. Closes the sink."""
    names = settings.names
    check_topics(settings.bootstrap, names, security=settings.security)
    partitions = partition_count(settings.bootstrap, names.requests, security=settings.security)
    continuity = Continuity(
        names.loading_group, GroupPositions(settings.bootstrap, names.loading_group, settings.security)
    )
    continuity.begin([(topic, partition) for topic in names.loaded for partition in range(partitions)])
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
            security=settings.security,
            session_timeout=settings.session_timeout,
        ),
        LoadingHandler(sink, settings.codec, metrics, continuity),
    )
    shell.run(on_ready)

"""The in-memory twin of a pipeline: the same use cases without Kafka, a worker process or a loader.

The log is a `MemoryBroker`. The worker is the stream's own rating loop, which has its turn whenever commands were sent;
what it decides is then inserted into the store, where one is given. For tests, and for trying things.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from application.clickhouse.asking import SECONDS, SqlReader
from application.errors import ErrorCode, Failed
from application.notices import Notices
from application.pipeline import LocalPlaces, Pipeline
from schemas.codec import Codec
from schemas.price_book import read_book
from sinks.deliveries import DeliveryAt, delivery_insert
from sinks.inserts import Insert, inserts_of
from sinks.sink import Sink, SinkRejected
from streams import clock
from streams.loading.positions import Loaded, SinkPositions, loaded_of
from streams.log.memory import MemoryBroker, MemoryInputLog, MemoryOutputLog
from streams.log.memory_connections import MemoryConnections
from streams.log.protocols import Message
from streams.log.topics import TopicNames
from streams.rating.loop import OpenState, RatingLoop
from streams.rating.partition import Wiring
from streams.state.store import MemoryState


class NoStore:
    """SQL where there is no store: every question fails as one to an absent loader does."""

    def answer(self, _sql: str, _output_format: str, _seconds: float = SECONDS) -> bytes:
        raise Failed("no loader answers: this pipeline has no store", ErrorCode.UNAVAILABLE)


class SinkSql:
    """SQL answered by a sink in this process."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def answer(self, sql: str, output_format: str, seconds: float = SECONDS) -> bytes:  # noqa: ARG002 -- the protocol's
        try:
            return self._sink.query_text(sql, output_format)
        except SinkRejected as error:
            raise Failed(str(error)) from error


class MemoryWorker:
    """Worker and loader in one: decides what the log holds, then inserts it. `run` is their turn, one at a time."""

    def __init__(self, connections: MemoryConnections, sink: Sink | None, open_state: OpenState) -> None:
        self._connections = connections
        self._sink = sink
        self._turn = threading.Lock()
        self.is_loading = True
        """Cleared, what is decided is not loaded until a turn after it is set again."""
        names, broker, codec = connections.names, connections.broker, connections.codec
        output_log = MemoryOutputLog(broker, codec.read_position, seals=connections.sealer)
        log = MemoryInputLog(broker, names.requests)
        wiring = Wiring(names, connections.partitions, codec, read_book, log, output_log)
        self._loop = RatingLoop(wiring, open_state)

    def run(self) -> None:
        """Decides and loads everything that is in the log."""
        with self._turn:
            self._rate()
            if self.is_loading:
                self._load()

    def _rate(self) -> None:
        names, broker = self._connections.names, self._connections.broker
        rated = self._connections.offsets.setdefault(names.rating_group, {})
        for partition in range(self._connections.partitions):
            place = names.requests, partition
            waiting = [message for message in broker.records(*place) if message.offset >= rated.get(place, 0)]
            if waiting:
                self._loop.process(waiting)
                rated[place] = waiting[-1].offset + 1

    def _load(self) -> None:
        names, codec = self._connections.names, self._connections.codec
        reached: dict[tuple[str, int], Loaded] = {}
        for topic in names.outputs:
            batches: dict[str, list[dict[str, Any]]] = {}
            for message in self._unloaded(topic):
                name, batch = codec.decode(message.value)
                batches.setdefault(name, []).append(batch)
                reached[topic, message.partition] = loaded_of(message)._replace(source_offset=batch["source_offset"])
            for name, some in batches.items():
                self._insert(inserts_of(name, some))
        records: list[DeliveryAt] = []
        for message in self._unloaded(names.deliveries):
            reached[names.deliveries, message.partition] = loaded_of(message)
            name, fields = codec.decode(message.value) if message.value else ("", {})
            if name == "Delivery":
                records.append(DeliveryAt(message.partition, message.offset, fields))
        if records:
            self._insert([delivery_insert(records)])
        if self._sink is not None and reached:
            SinkPositions(self._sink).write(reached)

    def _unloaded(self, topic: str) -> Iterator[Message]:
        """The messages of a topic that were not loaded before; what was taken from here counts as loaded."""
        loaded = self._connections.offsets.setdefault(self._connections.names.loading_group, {})
        for partition in range(self._connections.partitions):
            place = topic, partition
            for message in self._connections.broker.records(*place):
                if message.offset >= loaded.get(place, 0):
                    loaded[place] = message.offset + 1
                    yield message

    def _insert(self, inserts: Iterable[Insert]) -> None:
        if self._sink is not None:
            for rows in inserts:
                self._sink.insert(*rows)


def in_memory_pipeline(
    folder: Path | None = None, *, partitions: int = 2, sink: Sink | None = None, sql: SqlReader | None = None,
    notices: Notices | None = None, names: TopicNames | None = None, open_state: OpenState | None = None,
) -> Pipeline:  # fmt: skip
    """A pipeline in memory. `folder` takes scratch data; `sink` the rows, which `sql` then reads.

    `open_state` opens the worker's state of a partition where it is not to be in memory. The broker's time is the
    clock's, as Kafka's is.
    """
    names, codec = names or TopicNames("memory"), Codec()
    connections = MemoryConnections(names, codec, partitions, MemoryBroker(clock.now_ms))
    connections.after_sending = MemoryWorker(connections, sink, open_state or _in_memory).run
    folder = folder or Path(".creditmeter-memory")
    reader = sql or (NoStore() if sink is None else SinkSql(sink))
    places = LocalPlaces(folder, folder / "state")
    return Pipeline(names, codec, connections, reader, places, notices=notices)


def _in_memory(_partition: int) -> MemoryState:
    return MemoryState()

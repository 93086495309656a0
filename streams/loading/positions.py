"""The positions of a store: the last record that it has loaded from each partition, kept beside its rows."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, NamedTuple, Protocol

from sinks.sink import Sink
from streams.log.protocols import Message

TABLE = "loaded_positions"
READ = f"SELECT topic, log_partition, log_offset, digest, source_offset FROM {TABLE} FINAL"  # noqa: S608 -- a name of our own

TopicAndPartition = tuple[str, int]
"""Topic and partition."""
NOT_KNOWN = -1
"""The source offset where none is known: no output is loaded, or an earlier version wrote the position."""


class Loaded(NamedTuple):
    """The last record of a partition that is loaded: its offset, and BLAKE2b of its value (16 bytes, hexadecimal).

    `source_offset` is the last input message all of whose outputs of this topic are loaded. Rows up to it are complete
    whenever the position can be read, for they are stored first.
    """

    offset: int
    digest: str
    source_offset: int = NOT_KNOWN


def loaded_of(message: Message) -> Loaded:
    """The position after this record."""
    return Loaded(message.offset, blake2b(message.value, digest_size=16).hexdigest())


class Positions(Protocol):
    """The positions of one store."""

    def read(self) -> dict[TopicAndPartition, Loaded]:
        """By place; absent where nothing is loaded. Raises SinkUnavailable, SinkRejected."""
        ...

    def write(self, positions: Mapping[TopicAndPartition, Loaded]) -> None:
        """Keeps them; the rows must be stored already. Raises SinkUnavailable, SinkRejected."""
        ...


class SinkPositions:
    """The positions in ClickHouse's own table. A later offset wins, whatever order they are written in."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def read(self) -> dict[TopicAndPartition, Loaded]:
        rows = self._sink.query(READ, readonly=False).rows
        return {(topic, partition): Loaded(offset, digest, source) for topic, partition, offset, digest, source in rows}

    def write(self, positions: Mapping[TopicAndPartition, Loaded]) -> None:
        offsets = [loaded.offset for loaded in positions.values()]
        columns: dict[str, list[Any]] = {
            "topic": [topic for topic, _ in positions],
            "log_partition": [partition for _, partition in positions],
            "log_offset": offsets,
            "digest": [loaded.digest for loaded in positions.values()],
            "source_offset": [loaded.source_offset for loaded in positions.values()],
            "version": offsets,
        }
        self._sink.insert(TABLE, columns)

"""The loader in the simulation: the real handler over an in-memory ClickHouse that is killed, emptied and restored.

`MemoryStore` keeps a table's rows as ReplacingMergeTree does: of equal keys the one with the highest version.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, ValuesView
from typing import Any

from schemas.codec import Codec
from streams.loading.continuity import Continuity
from streams.loading.loader import LoadingHandler
from streams.loading.positions import Loaded, TopicAndPartition
from streams.log.memory import MemoryBroker
from streams.log.protocols import Message
from streams.log.seals import Sealer
from streams.log.topics import TopicNames
from streams.metrics import Metrics

KEYS = {
    "billed_rows": ("account_id", "day", "event_id", "line", "occurred_at"),
    "refund_rows": ("account_id", "day", "refund_id", "line"),
    "grant_rows": ("account_id", "day", "grant_id", "credit_type", "status"),
    "dead_letter_rows": ("day", "source_partition", "source_offset", "position"),
    "alert_rows": ("account_id", "day", "source_partition", "source_offset", "position"),
    "hold_rows": ("account_id", "expires_at", "hold_id", "source_offset", "position"),
    "account_rows": ("account_id", "day", "update_id"),
    "current_rows": ("account_id", "kind", "ends", "id"),
    "delivery_rows": ("webhook_id", "day", "created_at", "delivery_id"),
}
"""As the migrations' ORDER BY has them. Which rows of current_rows are inserted depends on how
batches were grouped and loaded again; the newest of each key is always the same."""
Row = dict[str, Any]


class MemoryStore:
    """Rows and positions that outlive loaders. `strike(moment)` is called around every write and may raise."""

    def __init__(self, strike: Callable[[str], None]) -> None:
        self.rows: dict[str, dict[tuple[Any, ...], Row]] = {}
        self.positions: dict[TopicAndPartition, Loaded] = {}
        self.strike = strike

    def insert(self, table: str, columns: Mapping[str, Any]) -> None:
        self.strike("before rows")
        kept = self.rows.setdefault(table, {})
        names = list(columns)
        for values in zip(*(list(columns[name]) for name in names), strict=True):
            row = {name: _plain(value) for name, value in zip(names, values, strict=True)}
            key = tuple(row[name] for name in KEYS[table])
            if key not in kept or row["version"] >= kept[key]["version"]:
                kept[key] = row
        self.strike("after rows")

    def read(self) -> dict[TopicAndPartition, Loaded]:
        return dict(self.positions)

    def write(self, positions: Mapping[TopicAndPartition, Loaded]) -> None:
        self.strike("before positions")
        for place, loaded in positions.items():
            if loaded.offset >= self.positions.get(place, loaded).offset:
                self.positions[place] = loaded
        self.strike("after positions")

    def copy(self) -> MemoryStore:
        """A backup: rows and positions of one moment."""
        other = MemoryStore(self.strike)
        other.rows = {table: dict(rows) for table, rows in self.rows.items()}
        other.positions = dict(self.positions)
        return other

    def execute(self, ddl: str) -> None:
        raise NotImplementedError(ddl)

    def query(self, sql: str, **_: Any) -> Any:
        raise NotImplementedError(sql)

    def query_text(self, sql: str, output_format: str, **_: Any) -> bytes:
        raise NotImplementedError(sql, output_format)

    def close(self) -> None:
        """Nothing to let go of."""


def _plain(value: Any) -> Any:
    """An array as a list: the loader also hands over a dictionary, for its keys, or a view of its values."""
    return list(value) if isinstance(value, (Mapping, ValuesView)) else value


class MemoryTopics:
    """The output topics as the loader checks them."""

    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker

    def bounds(self, place: TopicAndPartition) -> tuple[int, int]:
        return self._broker.bounds(*place)

    def record(self, place: TopicAndPartition, offset: int) -> Message | None:
        return next((message for message in self._broker.records(*place) if message.offset == offset), None)


class SimulatedLoader:
    """One loader process: begins where the store is, and reads every output partition in order."""

    def __init__(
        self, names: TopicNames, partitions: int, codec: Codec, seals: Sealer, broker: MemoryBroker, store: MemoryStore
    ) -> None:
        self._broker = broker
        self._places = [(topic, partition) for topic in names.loaded for partition in range(partitions)]
        continuity = Continuity(MemoryTopics(broker), patience=0)
        self._handler = LoadingHandler(store, store, codec, seals, Metrics(), continuity, pause=lambda _: None)
        self._next = self._handler.starts(self._places)

    def step(self, most: int) -> bool:
        """Loads up to so many records of each partition; whether there were any."""
        groups: dict[str, list[Message]] = {}
        for place in self._places:
            waiting = [message for message in self._broker.records(*place) if message.offset >= self._next[place]][
                :most
            ]
            if waiting:
                groups.setdefault(place[0], []).extend(waiting)
        if groups:
            self._handler.process(groups)
        for topic, messages in groups.items():
            for message in messages:
                self._next[topic, message.partition] = message.offset + 1
        return bool(groups)

"""Compares the rows of ClickHouse with the replay, by ranges of source offsets.

The base tables are read without FINAL: a row that is there twice must be the same twice, and a row that FINAL would
hide, or show in place of the right one, is found too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import date
from typing import Any, Protocol

from replay.audit.findings import Difference, Finding, Note
from schemas.codec import Codec
from sinks.rows import SHAPES, RecordBatches, Shape, to_columns

Row = tuple[Any, ...]
_PLACE = 2
"""The first columns of every row read: source_offset and position, which name a row."""
_SHOWN = 1_000
"""At most so many rows without a source are named for each table; their number is reported too."""
STRETCH_ITEMS = 10_000
STRETCH_BYTES = 16 << 20
"""What is held in memory between two looks at the tables."""


class RowStore(Protocol):
    """Reads ClickHouse for the audit."""

    def rows(self, sql: str) -> list[Row]:
        """The rows of one reading statement: int, str, None and lists of them."""
        ...


class RowAudit:
    """Compares one partition's rows. `horizons`: by batch name, the source offset before which rows are loaded."""

    def __init__(
        self, store: RowStore, codec: Codec, partition: int, first: int, horizons: Mapping[str, int], note: Note
    ) -> None:
        self._store = store
        self._codec = codec
        self._partition = partition
        self._first = first
        self._horizons = horizons
        self._note = note
        self._batches: dict[str, list[dict[str, Any]]] = {name: [] for name in SHAPES}
        self._items = 0
        self._bytes = 0
        self.rows = 0
        self.doubled = 0

    @property
    def is_full(self) -> bool:
        """Whether `compare` should come next, to keep memory bounded."""
        return self._items >= STRETCH_ITEMS or self._bytes >= STRETCH_BYTES

    def add(self, value: bytes) -> None:
        """One output of the replay. Read back from its bytes, as the loader does."""
        name, batch = self._codec.decode(value)
        self._batches[name].append(batch)
        self._items += len(batch[SHAPES[name].items])
        self._bytes += len(value)

    def compare(self, stop: int) -> None:
        """Compares everything since the last call with the rows of source offsets before `stop`, and forgets it."""
        for name, batches in self._batches.items():
            end = min(stop, self._horizons[name])
            if end > self._first:
                self._compare(name, [batch for batch in batches if batch["source_offset"] < end], end)
            batches.clear()
        self._first = max(self._first, stop)
        self._items = self._bytes = 0

    def _compare(self, name: str, batches: list[dict[str, Any]], end: int) -> None:
        shape = SHAPES[name]
        columns, names = _expected(name, batches)
        where = f"source_partition = {self._partition} AND source_offset >= {self._first} AND source_offset < {end}"
        sql = f"SELECT {_selected(shape, names)} FROM {shape.table} WHERE {where} ORDER BY source_offset, position"  # noqa: S608 -- names and numbers of our own
        actual_rows = iter(self._store.rows(sql))
        head = next(actual_rows, None)
        for row in zip(*columns, strict=True):
            while head is not None and head[:_PLACE] < row[:_PLACE]:
                self._tell(Finding.UNEXPECTED, shape, names, head, "no such row comes from the input log")
                head = next(actual_rows, None)
            if head is None or head[:_PLACE] != row[:_PLACE]:
                self._tell(Finding.MISSING, shape, names, row, "the table has no such row")
                continue
            self.rows += 1
            head = self._same(shape, names, row, head, actual_rows)
        while head is not None:
            self._tell(Finding.UNEXPECTED, shape, names, head, "no such row comes from the input log")
            head = next(actual_rows, None)

    def _same(
        self, shape: Shape, names: list[str], row: Row, head: Row | None, actual_rows: Iterator[Row]
    ) -> Row | None:
        """Compares every row found under the name of `row`; returns the first one of another name."""
        times = 0
        while head is not None and head[:_PLACE] == row[:_PLACE]:
            times += 1
            if head != row and not _is_of_before(shape, names, row, head):
                changed = (f"{n} is {b!r}, should be {a!r}" for n, a, b in zip(names, row, head, strict=True) if a != b)
                self._tell(Finding.DIFFERENT, shape, names, row, "; ".join(changed))
            head = next(actual_rows, None)
        self.doubled += times - 1
        return head

    def _tell(self, what: Finding, shape: Shape, names: list[str], row: Row, detail: str) -> None:
        values = dict(zip(names, row, strict=True))
        key = " ".join(f"{name}={values[name]}" for name in KEYS[shape.table] if values[name] is not None)
        self._note(Difference(what, f"{shape.table} {key}", f"{self._partition}@{row[0]}", detail))


def stray_rows(store: RowStore, partitions: int, end_of: Callable[[int], int], note: Note) -> None:
    """Notes rows of input messages that do not exist. `end_of` returns the present end of an input partition."""
    for shape in SHAPES.values():
        sql = f"SELECT source_partition, min(source_offset), max(source_offset) FROM {shape.table} GROUP BY source_partition"  # noqa: S608, E501
        for partition, lowest, highest in store.rows(sql):
            end = end_of(partition) if 0 <= partition < partitions else 0
            if lowest >= 0 and highest < end:
                continue
            where = f"source_partition = {partition} AND (source_offset < 0 OR source_offset >= {end})"
            sql = (
                f"SELECT source_offset, count() FROM {shape.table} WHERE {where} GROUP BY source_offset LIMIT {_SHOWN}"  # noqa: S608
            )
            for offset, count in store.rows(sql):
                detail = f"{count} rows of an input message that there is not"
                note(Difference(Finding.UNEXPECTED, shape.table, f"{partition}@{offset}", detail))


KEYS = {
    "billed_rows": ("account_id", "day", "event_id", "line"),
    "refund_rows": ("account_id", "day", "refund_id", "line"),
    "grant_rows": ("account_id", "day", "grant_id", "status"),
    "dead_letter_rows": ("day", "reason", "account_id", "id", "index"),
    "alert_rows": ("account_id", "day", "kind", "credit_type"),
    "hold_rows": ("account_id", "day", "hold_id", "status"),
    "account_rows": ("account_id", "day", "update_id"),
}
"""The columns that name a row for people, by table."""


_OWN = ("day", "source_partition", "source_offset", "position", "version")
"""Columns that are of no field of the output."""


_LATER = {"refund_rows": "occurred_at"}
"""By table, the column that the version before did not have: its rows hold null there, and stay as they are."""


def _is_of_before(shape: Shape, names: list[str], row: Row, head: Row) -> bool:
    """Whether the row in the table differs only in what the version that loaded it did not know."""
    later = _LATER.get(shape.table)
    if later is None or head[names.index(later)] is not None:
        return False
    return all(a == b for name, a, b in zip(names, row, head, strict=True) if name != later)


def _expected(name: str, batches: list[dict[str, Any]]) -> tuple[list[list[Any]], list[str]]:
    """Columns as the statement gives them back, the row's name first, and their names."""
    _, columns = to_columns(name, RecordBatches(name, batches))
    days: dict[date, str] = {day: day.isoformat() for day in set(columns["day"])}
    columns["day"] = [days[day] for day in columns["day"]]
    if "original" in columns:
        columns["original"] = [value.hex().upper() for value in columns["original"]]
    for field in SHAPES[name].arrays:  # in whatever form the loader hands them over
        columns[field] = [list(value) for value in columns[field]]
    offsets, positions = columns.pop("source_offset"), columns.pop("position")
    del columns["source_partition"]
    return [offsets, positions, *columns.values()], ["source_offset", "position", *columns]


def _selected(shape: Shape, names: list[str]) -> str:
    """The columns in forms that text carries exactly: times as ms, days as text, bytes as hexadecimal."""
    times = {shape.time, *shape.optional_times}
    forms = {"day": "toString(`day`)", "original": "hex(`original`)"}
    forms |= {name: f"toUnixTimestamp64Milli(`{name}`)" for name in times}
    return ", ".join(f"{forms.get(name, f'`{name}`')} AS c{number}" for number, name in enumerate(names))

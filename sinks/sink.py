"""The interface to ClickHouse for the rest of the program: insert columns, read, and change the schema."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, NamedTuple, Protocol, overload

from sinks.parameters import Parameters

Columns = Mapping[str, Sequence[Any]]
"""Rows to insert, by column: every list has the same length.

Times are ms since the epoch (UTC), days are ``date``, a string is text or its bytes, an array is any collection of its
items in order; a column of arrays may be an `ArrayColumn`.
"""


class ArrayColumn(Sequence[list[Any]]):
    """A column of arrays, kept as all their items in one list: nothing is made for each row.

    ``sizes``: how many items each row has.
    """

    __slots__ = ("items", "offsets")

    def __init__(self, sizes: Sequence[int], items: list[Any]) -> None:
        self.offsets = list(accumulate(sizes, initial=0))
        self.items = items

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @overload
    def __getitem__(self, row: int) -> list[Any]: ...
    @overload
    def __getitem__(self, row: slice) -> list[list[Any]]: ...
    def __getitem__(self, row: int | slice) -> list[Any] | list[list[Any]]:
        if isinstance(row, slice):
            return [self[at] for at in range(*row.indices(len(self)))]
        at = range(len(self))[row]
        return self.items[self.offsets[at] : self.offsets[at + 1]]

    def __iter__(self) -> Iterator[list[Any]]:
        starts = iter(self.offsets)
        start = next(starts)
        for stop in starts:
            yield self.items[start:stop]
            start = stop


class SinkUnavailable(Exception):
    """The store cannot take or answer it now (network, memory, too many parts): slow down and try again."""


class SinkRejected(Exception):
    """It will never work as it is: names the table and the column where they are known, and the reason."""

    def __init__(self, reason: str, *, table: str | None = None, column: str | None = None) -> None:
        self.reason = reason
        self.table = table
        self.column = column
        place = f"{table}.{column}" if table and column else table or column
        super().__init__(f"{place}: {reason}" if place else reason)


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one reading statement may take. Beyond it the statement fails; results are never cut silently."""

    rows: int = 1_000_000
    """Rows of the result."""
    bytes: int = 256 * 1024 * 1024
    """Bytes of the result."""
    seconds: int = 60
    """Seconds that it may run."""
    memory: int = 1024 * 1024 * 1024
    """Bytes of memory while it runs. Grouping and sorting go on on the disk from half of it on."""


DEFAULT_LIMITS = Limits()
CUSTOMER_LIMITS = Limits(bytes=64 * 1024 * 1024, seconds=2, memory=512 * 1024 * 1024)
"""What a statement for a customer may take: many of them share the store with the loader and with analysts."""
NONE: Parameters = {}


class Result(NamedTuple):
    """A statement's answer. Values are Python's: int, str, float, None, date, datetime (UTC), list, tuple, dict.

    A string that is not UTF-8 comes as bytes.
    """

    columns: list[str]
    types: list[str]
    rows: list[tuple[Any, ...]]

    def dicts(self) -> list[dict[str, Any]]:
        """The rows, each by column name."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


class Sink(Protocol):
    """A place that keeps rows. Every method raises SinkUnavailable or SinkRejected, and nothing else."""

    def insert(self, table: str, columns: Columns) -> None:
        """Adds the rows; when it returns they are stored. After SinkUnavailable they may be stored or not.

        So the caller inserts the same rows again: equal keys count once in every view.
        """

    def execute(self, ddl: str) -> None:
        """Runs one statement that changes the schema."""

    def query(
        self, sql: str, *, readonly: bool = True, limits: Limits = DEFAULT_LIMITS, parameters: Parameters = NONE
    ) -> Result:
        """Runs one reading statement. ``parameters`` are bound to its placeholders, ``{name:Type}``.

        With ``readonly`` it can be anybody's: it cannot write, change settings, or reach files and addresses.
        """

    def query_text(
        self, sql: str, output_format: str, *, limits: Limits = DEFAULT_LIMITS, parameters: Parameters = NONE
    ) -> bytes:
        """Runs one reading statement, always read-only; returns its result as text in one of ``formats.FORMATS``."""

    def close(self) -> None:
        """Lets go of the store. Closing twice does nothing."""

"""A whole choice of usage as a stream: read by key ranges, at one instant, its rows counted before the first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from application.usage.conditions import Bound, line_conditions, refund_source
from application.usage.cursors import Cursor
from application.usage.history import HistoryQuery, UsageReader
from application.usage.newest import Behind, Table, days_condition
from application.usage.rows import UsageRow
from application.usage.store import TooMuch

AT_ONCE = 2_000
"""Rows that are read, and in memory, at once."""


class RowsMissing(Exception):
    """Another number of rows came than was counted: the answer must not look whole."""


@dataclass(frozen=True, slots=True)
class Export:
    """The rows of a choice. `count` is how many there are; `blocks` reads them, newest first."""

    reader: UsageReader
    query: HistoryQuery
    begun: Cursor
    count: int
    names: dict[str, str]

    def blocks(self) -> Iterator[list[UsageRow]]:
        """The rows, some at a time. Raises RowsMissing, TooMuch, Failed."""
        begun, given = self.begun, 0
        while True:
            rows = self.reader.rows(self.query, begun, AT_ONCE, self.names)
            given += len(rows)
            if rows:
                yield rows
            if len(rows) < AT_ONCE:
                break
            begun = replace(begun, after=rows[-1].key)
        if given != self.count:
            raise RowsMissing(f"{given} rows came, {self.count} were counted")


def export(reader: UsageReader, query: HistoryQuery, names: dict[str, str] | None = None) -> Export:
    """Counts the rows of the choice at the present instant. Raises BadQuery, TooMuch, Failed."""
    query.check()
    begun = reader.begin(query)
    count = 0
    for table, asked in reader.asked(query, begun):
        spans = list(asked.spans())
        if spans:
            count += _counted(reader, table, asked, spans[-1][0], spans[0][1])
    return Export(reader, query, begun, count, names or {})


def _counted(reader: UsageReader, table: Table, asked: Behind, first: int, last: int) -> int:
    """Rows from the day `first` to `last`; what is too much for one statement is counted in halves."""
    bound = Bound()
    if table is Table.LINES:
        conditions = line_conditions(bound, asked.scope, asked.filters, asked.as_of, asked.since)
        source = f"billed_rows FINAL WHERE {conditions} AND {days_condition(bound, first, last)}"
    else:
        source = refund_source(bound, asked.scope, asked.filters_within(first, last), asked.as_of, asked.since)
    try:
        return int(reader.store.rows(f"SELECT count() AS number FROM {source}", bound.parameters)[0]["number"])
    except TooMuch:
        if first == last:
            raise
        middle = (first + last) // 2
        return _counted(reader, table, asked, first, middle) + _counted(reader, table, asked, middle + 1, last)

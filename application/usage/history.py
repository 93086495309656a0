"""The history of usage, newest first: pages of one instant, each as quick as the first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from application.usage.as_of import AsOf, Positions, pinned
from application.usage.conditions import of_refunds
from application.usage.cursors import Cursor, CursorKeys, question_digest
from application.usage.kept_sums import KeptSums
from application.usage.newest import Behind, Table, days_between, newest
from application.usage.query import BadQuery, Filters
from application.usage.rows import UsageRow, line_row, order, refund_row, without_others
from application.usage.scope import UsageScope
from application.usage.store import UsageStore

PAGE = 100
MOST_ROWS = 1_000
"""Rows of a page that may be asked for."""


@dataclass(frozen=True, slots=True)
class HistoryQuery:
    """What is asked for. `refunds`: put them among the lines. `since`: only what came after that instant."""

    scope: UsageScope
    filters: Filters = field(default_factory=Filters)
    refunds: bool = False
    since: AsOf | None = None
    limit: int = PAGE

    def check(self) -> None:
        """Raises BadQuery."""
        self.filters.check()
        if not 1 <= self.limit <= MOST_ROWS:
            raise BadQuery([("limit", f"a number from 1 to {MOST_ROWS:,}")])

    @property
    def tables(self) -> tuple[Table, ...]:
        return (Table.LINES, Table.REFUNDS) if self.refunds else (Table.LINES,)

    @property
    def digest(self) -> bytes:
        """What a cursor is bound to: all but the number of rows a page."""
        since = None if self.since is None else str(self.since)
        return question_digest(self.scope, self.filters, refunds=self.refunds, since=since)


@dataclass(frozen=True, slots=True)
class Page:
    """Rows newest first; `next` is the cursor of the page behind it, None at the end."""

    rows: list[UsageRow]
    as_of: AsOf
    next: str | None


class UsageReader:
    """Reads usage from the store."""

    def __init__(
        self, store: UsageStore, positions: Positions, keys: CursorKeys, sums: KeptSums | None = None
    ) -> None:  # fmt: skip
        self.store = store
        self.positions = positions
        self.sums = sums or KeptSums()
        self._keys = keys

    def at_one_instant(self, scope: UsageScope) -> UsageReader:
        """A reader of which every answer is of the present instant, asked for once: for a page of several answers."""
        return UsageReader(self.store, pinned(self.positions, scope), self._keys, self.sums)

    def page(self, query: HistoryQuery, cursor: str | None = None, names: dict[str, str] | None = None) -> Page:
        """One page. `names`: people's names by actor. Raises BadQuery, BadCursor, TooMuch, Failed."""
        query.check()
        begun = self.begin(query) if cursor is None else self._keys.read(cursor, query.digest)
        rows = self.rows(query, begun, query.limit + 1, names or {})
        if len(rows) <= query.limit:
            return Page(rows, begun.as_of, None)
        rows = rows[: query.limit]
        return Page(rows, begun.as_of, self._keys.written(replace(begun, after=rows[-1].key), query.digest))

    def begin(self, query: HistoryQuery) -> Cursor:
        """Before the newest row, at the present instant. Raises Failed."""
        as_of = self.positions.now(query.scope)
        return Cursor(as_of, None, days_between(self.store, query.tables))

    def rows(self, query: HistoryQuery, begun: Cursor, count: int, names: dict[str, str]) -> list[UsageRow]:
        """Up to `count` rows behind the cursor. Raises TooMuch, Failed."""
        rows: list[UsageRow] = []
        for table, asked in self.asked(query, begun):
            shown = line_row if table is Table.LINES else refund_row
            # Refunds before the last line of a full page are on a later page.
            needed = asked.from_time(rows[-1].at) if len(rows) >= count else asked
            rows += [shown(row, names) for row in newest(self.store, table, needed, count)]
        if query.scope.actor is not None:
            rows = [without_others(row) for row in rows]
        if len(query.tables) == 1:
            return rows  # in order, as they were read
        return sorted(rows, key=lambda row: order(row.key), reverse=True)[:count]

    def asked(self, query: HistoryQuery, begun: Cursor) -> Iterator[tuple[Table, Behind]]:
        """What is asked of each table."""
        for table, (first, last) in zip(query.tables, begun.days, strict=True):
            filters = query.filters if table is Table.LINES else of_refunds(query.filters)
            if filters is not None:
                yield table, Behind(query.scope, filters, begun.as_of, query.since, begun.after, first, last)

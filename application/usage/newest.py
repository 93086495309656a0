"""The newest rows of a table behind a cursor, found in growing spans of days.

An account's rows of one day stand together. So neither the account's age nor the place of a page counts, only what the
page's own days hold; a filter that few rows pass costs more, for the days must be looked through.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from application.usage.as_of import AsOf
from application.usage.conditions import (
    Bound,
    day,
    instant,
    line_conditions,
    line_filters,
    refund_conditions,
    refund_source,
)
from application.usage.fields import SELECTED, TIME
from application.usage.query import Filters
from application.usage.rows import Key, line_key
from application.usage.scope import UsageScope
from application.usage.store import Row, UsageStore
from metering.records import YEAR_2000
from metering.windows import DAY_MS

Days = tuple[int, int]
"""The first and the last day (days since 1970), both included."""
FIRST = YEAR_2000 // DAY_MS
"""The first day that a row can have."""
NEVER = 1 << 30
"""The first day of a table without rows."""
_SPANS = (1, 7, 90)
"""Days looked through one after the other, from the newest on; then all that are left."""


class Table(StrEnum):
    """The tables that history is read from."""

    LINES = "billed_rows"
    REFUNDS = "refund_rows"


@dataclass(frozen=True, slots=True)
class Behind:
    """What is looked for: rows of the instant that pass the filters, behind the key `after` (None: from the newest on).

    `since`: only what came after that instant. `first` and `last`: the days between which rows can be.
    """

    scope: UsageScope
    filters: Filters
    as_of: AsOf
    since: AsOf | None = None
    after: Key | None = None
    first: int = 0
    last: int = field(default=NEVER)

    def spans(self) -> Iterator[tuple[int, int]]:
        """Spans of days, both included, that cover all of them, newest first."""
        filters = self.filters
        first = self.first if filters.from_ms is None else max(self.first, filters.from_ms // DAY_MS)
        last = self.last if filters.to_ms is None else min(self.last, (filters.to_ms - 1) // DAY_MS)
        if self.after is not None:
            last = min(last, self.after[0] // DAY_MS)
        for days in _SPANS:
            if last < first:
                return
            yield max(first, last - days + 1), last
            last -= days
        if first <= last:
            yield first, last

    def from_time(self, at: int) -> Behind:
        """The same, but nothing older than `at` (ms)."""
        from_ms = at if self.filters.from_ms is None else max(at, self.filters.from_ms)
        return replace(self, filters=replace(self.filters, from_ms=from_ms))

    def filters_within(self, first: int, last: int) -> Filters:
        """The filters with their time cut to these days, both included."""
        start, end = first * DAY_MS, (last + 1) * DAY_MS
        from_ms, to_ms = self.filters.from_ms, self.filters.to_ms
        return replace(
            self.filters,
            from_ms=start if from_ms is None else max(start, from_ms),
            to_ms=end if to_ms is None else min(end, to_ms),
        )


def days_between(store: UsageStore, tables: Sequence[Table]) -> tuple[Days, ...]:
    """Between which days rows can be, by table: up to the newest day of any account, which no row has to be read for.

    Without rows the first is after the last. Raises Failed.
    """
    asked = [f"SELECT '{table}' AS name, toInt64(toInt32(max(day))) AS last FROM {table}" for table in tables]
    last = {row["name"]: int(row["last"]) for row in store.rows(" UNION ALL ".join(asked), {})}
    return tuple((FIRST, last[table]) if last[table] >= FIRST else (NEVER, -1) for table in tables)


def days_of(store: UsageStore, table: Table, scope: UsageScope) -> Days:
    """The account's first and last day: found at once, for the table's order begins with them.

    Without rows the first is after the last. Raises Failed.
    """
    bound = Bound()
    number = "toInt64(toInt32({}))"
    if scope.account_id is None:
        least, most = number.format("min(day)"), number.format("max(day)")
        sql = f"SELECT {least} AS first, {most} AS last FROM {table} HAVING count() > 0"
        rows = store.rows(sql, bound.parameters)
        return (int(rows[0]["first"]), int(rows[0]["last"])) if rows else (NEVER, -1)
    account = bound.bind(scope.account_id, "String")
    one = f"SELECT {number.format('day')} AS number FROM {table} WHERE account_id = {account} ORDER BY account_id"
    rows = store.rows(
        f"SELECT * FROM ({one}, day LIMIT 1) UNION ALL SELECT * FROM ({one} DESC, day DESC LIMIT 1)", bound.parameters
    )
    numbers = [int(row["number"]) for row in rows]
    return (min(numbers), max(numbers)) if numbers else (NEVER, -1)


def newest(store: UsageStore, table: Table, asked: Behind, count: int) -> list[Row]:
    """Up to `count` rows, newest first. Raises TooMuch, Failed."""
    within = _line_keys if table is Table.LINES else _refunds
    rows: list[Row] = []
    for first, last in asked.spans():
        rows += within(store, asked, first, last, count - len(rows))
        if len(rows) >= count:
            break
    return _whole(store, [line_key(row) for row in rows]) if rows and table is Table.LINES else rows


def _line_keys(store: UsageStore, asked: Behind, first: int, last: int, count: int) -> list[Row]:
    """Lines by few columns: their keys."""
    bound = Bound()
    conditions = line_conditions(bound, asked.scope, asked.filters, asked.as_of, asked.since)
    place = f"({days_condition(bound, first, last)}) AND ({_behind(bound, asked.after, 'occurred_at', 0)})"
    return store.rows(
        f"""SELECT account_id, event_id, line, {TIME} AS occurred_ms FROM billed_rows FINAL
        WHERE {conditions} AND {place}
        ORDER BY occurred_at DESC, account_id DESC, event_id DESC, line DESC
        LIMIT {bound.bind(count, "Int64")}""",
        bound.parameters,
    )


def _whole(store: UsageStore, keys: list[Key]) -> list[Row]:
    """The rows of these keys, in their order. A row that is there twice is the same twice."""
    bound = Bound()
    accounts = bound.texts(sorted({key[1] for key in keys}))
    events = bound.texts(sorted({key[2] for key in keys}))
    days = days_condition(bound, keys[-1][0] // DAY_MS, keys[0][0] // DAY_MS)
    rows = store.rows(
        f"SELECT {SELECTED} FROM billed_rows WHERE account_id IN {accounts} AND {days} AND event_id IN {events}",
        bound.parameters,
    )
    by_key = {line_key(row): row for row in rows}
    return [by_key[key] for key in keys]


def _refunds(store: UsageStore, asked: Behind, first: int, last: int, count: int) -> list[Row]:
    if asked.scope.account_id is not None and not _line_conditions(asked):
        rows = _refunds_of_any_line(store, asked, first, last, count)
        if rows is not None:
            return rows
    bound = Bound()
    spanned = asked.filters_within(first, last)
    source = refund_source(bound, asked.scope, spanned, asked.as_of, asked.since)
    return store.rows(
        f"""SELECT {SELECTED}, refund_id, reason, refunded, forfeited, remaining_charge, refund_balance, requested_ms
        FROM {source} WHERE {_behind(bound, asked.after, "requested_at", 1)}
        ORDER BY requested_at DESC, account_id DESC, event_id DESC, line DESC, refund_id DESC
        LIMIT {bound.bind(count, "Int64")}""",
        bound.parameters,
    )


def _line_conditions(asked: Behind) -> bool:
    """Whether it is asked for refunds of some lines only."""
    return bool(line_filters(Bound(), asked.scope, asked.filters))


def _refunds_of_any_line(store: UsageStore, asked: Behind, first: int, last: int, count: int) -> list[Row] | None:
    """The refunds first, and then no more than their lines: the last of each event and number before its refund.

    None where the line of one is not in the store: the rows behind it would have to be looked for again.
    """
    bound = Bound()
    spanned = asked.filters_within(first, last)
    conditions = refund_conditions(bound, asked.scope, spanned, asked.as_of, asked.since)
    refunds = store.rows(
        f"""SELECT account_id, event_id, assumeNotNull(line) AS line_number, refund_id, credits AS refunded, forfeited,
            remaining_charge, balance_after AS refund_balance, reason, source_offset AS refund_offset,
            toUnixTimestamp64Milli(requested_at) AS requested_ms, toInt64(toInt32(toDate32(occurred_at))) AS line_day
        FROM refund_rows FINAL WHERE {conditions} AND ({_behind(bound, asked.after, "requested_at", 1)})
        ORDER BY requested_at DESC, account_id DESC, event_id DESC, line DESC, refund_id DESC
        LIMIT {bound.bind(count, "Int64")}""",
        bound.parameters,
    )
    lines = _refunded_lines(store, asked, refunds) if refunds else {}
    rows = []
    for refund in refunds:
        before = [
            line
            for line in lines.get((refund["event_id"], int(refund["line_number"])), ())
            if int(line["source_offset"]) < int(refund["refund_offset"])
        ]
        if not before:
            return None
        rows.append(refund | max(before, key=lambda line: int(line["source_offset"])))
    return rows


def _refunded_lines(store: UsageStore, asked: Behind, refunds: list[Row]) -> dict[tuple[str, int], list[Row]]:
    """Lines by event and number. They are on the days that the refunds say; those of an earlier version say none."""
    bound = Bound()
    days = [None if refund["line_day"] is None else int(refund["line_day"]) for refund in refunds]
    known = [day for day in days if day is not None]
    where = days_condition(bound, min(known), max(known)) if len(known) == len(days) else "1"
    rows = store.rows(
        f"""SELECT {SELECTED} FROM billed_rows WHERE account_id = {bound.bind(asked.scope.account_id or "", "String")}
        AND {where} AND event_id IN {bound.texts(sorted({refund["event_id"] for refund in refunds}))}""",
        bound.parameters,
    )
    lines: dict[tuple[str, int], list[Row]] = {}
    for row in rows:
        lines.setdefault((row["event_id"], int(row["line"])), []).append(row)
    return lines


def days_condition(bound: Bound, first: int, last: int) -> str:
    """Rows of these days, both included."""
    return f"day >= {day(bound, first * DAY_MS)} AND day <= {day(bound, last * DAY_MS)}"


def _behind(bound: Bound, after: Key | None, time: str, kind: int) -> str:
    """The rows of this kind (0 lines, 1 refunds) behind the cursor's, in the order of `rows.Key`."""
    if after is None:
        return "1"
    at, account, event, line, last_kind, refund = after
    ids = f"{bound.bind(account, 'String')}, {bound.bind(event, 'String')}, {bound.bind(line, 'Int64')}"
    if kind == last_kind == 1:
        same = f"(account_id, event_id, toInt64(line), refund_id) < ({ids}, {bound.bind(refund, 'String')})"
    else:
        same = f"(account_id, event_id, toInt64(line)) {'<=' if kind < last_kind else '<'} ({ids})"
    moment = instant(bound, at)
    return f"{time} < {moment} OR ({time} = {moment} AND {same})"

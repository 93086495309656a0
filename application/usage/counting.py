"""How many rows a choice has, up to a bound: for a page that says "10,000+" and does not count millions."""

from __future__ import annotations

from application.usage.conditions import Bound, line_conditions, refund_source
from application.usage.history import HistoryQuery, UsageReader
from application.usage.newest import Table, days_condition

MOST = 10_000


def count_up_to(reader: UsageReader, query: HistoryQuery, most: int = MOST) -> int:
    """The number of rows at the present instant; `most` + 1 where there are more. Raises BadQuery, TooMuch, Failed."""
    query.check()
    begun, count = reader.begin(query), 0
    for table, asked in reader.asked(query, begun):
        for first, last in asked.spans():
            bound = Bound()
            if table is Table.LINES:
                conditions = line_conditions(bound, asked.scope, asked.filters, asked.as_of, asked.since)
                source = f"billed_rows FINAL WHERE {conditions} AND {days_condition(bound, first, last)}"
            else:
                source = refund_source(bound, asked.scope, asked.filters_within(first, last), asked.as_of, asked.since)
            limit = bound.bind(most + 1 - count, "Int64")
            statement = f"SELECT count() AS number FROM (SELECT 1 FROM {source} LIMIT {limit})"
            count += int(reader.store.rows(statement, bound.parameters)[0]["number"])
            if count > most:
                return most + 1
    return count

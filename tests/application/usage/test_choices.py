"""What can be filtered by is what an account has; counts stop where a page says "10,000+"."""

from __future__ import annotations

import re
from datetime import date

import pytest

from application.usage.choices import KEPT_SECONDS, KnownChoices, usage_choices
from application.usage.counting import count_up_to
from application.usage.cursors import CursorKeys
from application.usage.history import HistoryQuery, UsageReader
from application.usage.query import Filters
from application.usage.scope import UsageScope
from application.usage.store import Row, TooMuch, UsageStore
from sinks.parameters import Parameters
from tests.application.usage.conftest import ACCOUNTS, UsageLog

pytestmark = pytest.mark.slow


def test_choices_are_those_of_the_scope(filled: UsageReader, log: UsageLog) -> None:
    for scope in (UsageScope("acme"), UsageScope("acme", "ann"), UsageScope("zenith")):
        rows = [row for row in log.rows("events", scope.account_id) if scope.actor in {None, row["actor"]}]
        choices = usage_choices(filled, scope)
        assert rows
        for name in ("feature", "action", "endpoint", "decision", "credit_type", "actor"):
            assert getattr(choices, name) == tuple(sorted({row[name] for row in rows if row[name] is not None}))


class LimitedStore:
    """Refuses statements over more than a few days. `asked`: how many statements looked at values."""

    def __init__(self, store: UsageStore, most_days: int) -> None:
        self._store = store
        self._most_days = most_days
        self.asked = 0

    def rows(self, sql: str, parameters: Parameters) -> list[Row]:
        if "groupUniqArrayIf" in sql:
            self.asked += 1
            days = [
                date.fromisoformat(value) for value in parameters.values() if re.fullmatch(r"\d{4}-..-..", f"{value}")
            ]
            if len(days) < 2 or (days[1] - days[0]).days >= self._most_days:
                raise TooMuch("the answer takes too much")
        return self._store.rows(sql, parameters)


def test_choices_of_a_history_too_long_for_one_statement_are_the_same(filled: UsageReader) -> None:
    scope = UsageScope("acme")
    limited = LimitedStore(filled.store, 2)
    assert usage_choices(replaced(filled, limited), scope) == usage_choices(filled, scope)
    assert limited.asked > 3
    with pytest.raises(TooMuch):
        usage_choices(replaced(filled, LimitedStore(filled.store, 0)), scope)


def test_choices_are_kept_for_a_minute_and_not_for_too_many(filled: UsageReader) -> None:
    now, counted = 0.0, LimitedStore(filled.store, 100_000)
    reader, known = replaced(filled, counted), KnownChoices(lambda: now, most=2)
    first = known.of(reader, UsageScope("acme"))
    asked = counted.asked
    now = KEPT_SECONDS - 1
    assert known.of(reader, UsageScope("acme")) == first
    assert known.of(reader, UsageScope("acme", "ann")) != first
    assert counted.asked == 2 * asked
    now = KEPT_SECONDS
    assert known.of(reader, UsageScope("acme")) == first
    assert counted.asked == 3 * asked
    known.of(reader, UsageScope("zenith"))
    known.of(reader, UsageScope("acme"))
    assert counted.asked == 4 * asked
    known.of(reader, UsageScope("o'brien"))
    known.of(reader, UsageScope("zenith"))
    known.of(reader, UsageScope("acme"))
    assert counted.asked == 6 * asked
    for times in (7, 8):  # it has no line: the first one is shown as soon as it is there
        assert known.of(reader, UsageScope("nobody")).endpoint == ()
        assert counted.asked == times * asked


def replaced(reader: UsageReader, store: UsageStore) -> UsageReader:
    return UsageReader(store, reader.positions, CursorKeys([b"k"]))


def test_rows_are_counted_up_to_a_bound(filled: UsageReader, log: UsageLog) -> None:
    scope = UsageScope("acme")
    lines = len({(row["event_id"], row["line"], row["occurred_at"]) for row in log.rows("events", "acme")})
    assert count_up_to(filled, HistoryQuery(scope)) == lines
    assert count_up_to(filled, HistoryQuery(scope), most=10) == 11
    assert count_up_to(filled, HistoryQuery(scope), most=lines) == lines
    with_refunds = count_up_to(filled, HistoryQuery(scope, refunds=True))
    assert with_refunds > lines
    assert count_up_to(filled, HistoryQuery(scope, Filters(feature=("no such",)), refunds=True)) == 0


def test_who_paid_before_is_not_told_to_one_actor(filled: UsageReader, log: UsageLog) -> None:
    hidden = 0
    for account in ACCOUNTS:
        for actor in {row["actor"] for row in log.rows("events", account)} - {None}:
            own = {row["event_id"] for row in log.rows("events", account) if row["actor"] == actor}
            lines = [row for row in log.rows("events", account) if row["actor"] == actor]
            hidden += len({row["owner_event_id"] for row in lines} - own - {None})
            rows = filled.page(HistoryQuery(UsageScope(account, actor), limit=1_000)).rows
            assert {row.fields["owner_event_id"] for row in rows} <= {None, *own}
    assert hidden

"""What can be filtered by is what an account has; counts stop where a page says "10,000+"."""

from __future__ import annotations

import pytest

from application.usage.choices import usage_choices
from application.usage.counting import count_up_to
from application.usage.history import HistoryQuery, UsageReader
from application.usage.query import Filters
from application.usage.scope import UsageScope
from tests.application.usage.conftest import ACCOUNTS, UsageLog

pytestmark = pytest.mark.slow


def test_choices_are_those_of_the_scope(filled: UsageReader, log: UsageLog) -> None:
    for scope in (UsageScope("acme"), UsageScope("acme", "ann"), UsageScope("zenith")):
        rows = [row for row in log.rows("events", scope.account_id) if scope.actor in {None, row["actor"]}]
        choices = usage_choices(filled, scope)
        assert rows
        for name in ("feature", "action", "endpoint", "decision", "credit_type", "actor"):
            assert getattr(choices, name) == tuple(sorted({row[name] for row in rows if row[name] is not None}))


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

"""Sums equal what plain Python makes of the same outputs, in every bucket and group."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from application.usage.aggregation import Aggregation, AggregationQuery, aggregate
from application.usage.buckets import Granularity
from application.usage.cursors import CursorKeys
from application.usage.history import UsageReader
from application.usage.measures import Measure, Rate
from application.usage.query import BadQuery, Filters
from application.usage.scope import UsageScope
from tests.application.usage.conftest import ACCOUNTS, UsageLog
from tests.application.usage.model import line_of, passes
from tests.application.usage.statements import Statements
from tests.application.usage.test_history import QUOTES
from tests.metering.meter import DAY, NOON

pytestmark = pytest.mark.slow

ALL = tuple(Measure)
FIELDS = [
    "endpoint", "actor", "feature", "decision", "credit_type", "event_id", "line", "outcome", "attributes.team",
    "attributes.it's", "account_id",
]  # fmt: skip


def asked(filled: UsageReader, query: AggregationQuery) -> Aggregation:
    return aggregate(filled, query)


def field_of(line: dict[str, Any], name: str) -> Any:
    return line["attributes"].get(name[11:]) if name.startswith("attributes.") else line[name]


def modelled(log: UsageLog, query: AggregationQuery) -> dict[tuple[Any, ...], dict[Measure, Any]]:
    """By bucket and group, what plain Python counts; cells that are all 0 are absent."""
    starts = query.bucket_starts()
    lines = log.rows("events", query.scope.account_id)
    cells: dict[tuple[Any, ...], list[dict[str, Any]]] = defaultdict(list)
    given_back: dict[tuple[Any, ...], int] = defaultdict(int)
    for line in lines:
        if passes(line, query.scope, query.filters, line["occurred_at"], line["decision"]):
            bucket = starts[bisect_right(starts, line["occurred_at"]) - 1]
            cells[bucket, *(field_of(line, name) for name in query.group_by)].append(line)
    for refund in log.rows("refunds", query.scope.account_id):
        if refund["status"] == "refunded":
            line = line_of(refund, lines)
            if passes(line, query.scope, query.filters, refund["requested_at"], "refunded"):
                bucket = starts[bisect_right(starts, refund["requested_at"]) - 1]
                fields = [field_of(line | {"decision": "refunded"}, name) for name in query.group_by]
                given_back[bucket, *fields] += refund["credits"]
    return {key: counted(cells.get(key, []), given_back.get(key, 0)) for key in cells.keys() | given_back.keys()}


def counted(lines: list[dict[str, Any]], refunded: int) -> dict[Measure, Any]:
    events = {(line["account_id"], line["event_id"], line["occurred_at"]): line["outcome"] for line in lines}
    outcomes = list(events.values())
    rated = sum(outcome in {"processed", "invalid", "failed"} for outcome in outcomes)
    apart = {name: outcomes.count(name) for name in ("unauthenticated", "rate_limited", "blocked")}
    credits_ = sum(line["credits"] for line in lines)
    return {
        Measure.CREDITS: credits_, Measure.REFUNDED: refunded, Measure.NET: credits_ - refunded,
        Measure.EVENTS: len(events), Measure.LINES: len(lines), Measure.UNITS: sum(line["units"] for line in lines),
        Measure.FREE_REPEATS: sum(line["decision"] == "duplicate" for line in lines),
        Measure.SUCCESS_RATE: Rate(outcomes.count("processed"), rated, apart),
        Measure.FAILURE_RATE: Rate(outcomes.count("invalid") + outcomes.count("failed"), rated, apart),
    }  # fmt: skip


@given(
    account=st.sampled_from([*ACCOUNTS, None]), actor=st.none() | st.sampled_from(["ann", "o'neil"]),
    granularity=st.sampled_from(list(Granularity)), zone=st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kathmandu"]),
    group_by=st.lists(st.sampled_from(FIELDS), max_size=3, unique=True).map(tuple),
    feature=st.just(()) | st.sampled_from([("Identification",), ("Search", *QUOTES)]),
    decision=st.just(()) | st.sampled_from([("charged",), ("refunded", "duplicate")]),
    text=st.none() | st.sampled_from(["jane", *QUOTES]), days=st.integers(1, 60), shift=st.integers(0, 3 * DAY),
)  # fmt: skip
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_question_is_answered_as_plain_python_answers_it(
    filled: UsageReader, log: UsageLog, account: str | None, actor: str | None, granularity: Granularity, zone: str,
    group_by: tuple[str, ...], feature: tuple[str, ...], decision: tuple[str, ...], text: str | None, days: int,
    shift: int,
) -> None:  # fmt: skip
    first = NOON + 10 * DAY + shift
    last = first + min(days * DAY, 3 * DAY if granularity is Granularity.MINUTE else 60 * DAY)
    filters = Filters(first, last, feature=feature, decision=decision, text=text)
    query = AggregationQuery(UsageScope(account, actor), filters, granularity, zone, group_by, ALL)
    expected = modelled(log, query)
    buckets = len(query.bucket_starts())
    groups = {key[1:] for key in expected} if group_by else {()}
    if len(groups) * buckets > 10_000:
        with pytest.raises(BadQuery, match="cells"):
            asked(filled, query)
        return
    answer = asked(filled, query)
    assert len(answer.cells) == len(groups) * buckets
    for cell in answer.cells:
        assert cell.values == expected.get((cell.start, *cell.group.values()), counted([], 0))
    assert [cell.end for cell in answer.cells][-1:] in ([], [last])


@pytest.mark.parametrize(
    ("scope", "group_by", "filters", "joins"),
    [
        (UsageScope("acme"), (), {}, False),
        (UsageScope("acme"), ("credit_type",), {}, False),
        (UsageScope(None), ("account_id", "credit_type"), {"credit_type": ("credit",)}, False),
        (UsageScope("acme"), ("event_id",), {"decision": ("refunded",)}, False),
        (UsageScope("acme", "ann"), ("credit_type",), {}, True),
        (UsageScope("acme"), ("credit_type",), {"text": "jane"}, True),
        (UsageScope("acme"), ("credit_type",), {"feature": ("Identification",)}, True),
        (UsageScope("acme"), ("actor",), {}, True),
    ],
)
def test_lines_are_looked_for_only_where_a_refund_does_not_say_it(
    filled: UsageReader, log: UsageLog, scope: UsageScope, group_by: tuple[str, ...], filters: dict[str, Any],
    joins: bool,
) -> None:  # fmt: skip
    query = AggregationQuery(scope, Filters(**filters), group_by=group_by, measures=(Measure.REFUNDED, Measure.NET))
    store = Statements(filled.store)
    answer = aggregate(UsageReader(store, filled.positions, CursorKeys([b"a key"])), query)
    assert any("JOIN" in sql for sql in store.asked) is joins
    expected = {key[1:]: values for key, values in modelled(log, query).items()}
    assert sum(values[Measure.REFUNDED] for values in expected.values()) > 0
    for cell in answer.cells:
        values = expected.get(tuple(cell.group.values()), counted([], 0))
        assert cell.values == {measure: values[measure] for measure in query.measures}
    assert len(answer.cells) >= len(expected)


def test_without_a_time_all_is_one_cell(filled: UsageReader, log: UsageLog) -> None:
    (cell,) = asked(filled, AggregationQuery(UsageScope("acme"), measures=ALL)).cells
    lines = log.rows("events", "acme")
    assert (cell.start, cell.end, cell.values[Measure.LINES]) == (None, None, len(lines))
    assert cell.values[Measure.CREDITS] == sum(line["credits"] for line in lines)
    (empty,) = asked(filled, AggregationQuery(UsageScope("nobody"), measures=ALL)).cells
    assert empty.values == counted([], 0)


def test_groups_of_odd_names_are_values_and_no_sql(filled: UsageReader) -> None:
    for name in QUOTES:
        query = AggregationQuery(UsageScope("acme"), group_by=(f"attributes.{name}",), measures=(Measure.LINES,))
        assert [cell.group for cell in asked(filled, query).cells] == [{f"attributes.{name}": None}]
        for wrong in (name, f"feature{name}"):
            with pytest.raises(BadQuery, match="group_by"):
                asked(filled, replace(query, group_by=(wrong,)))


def test_mistakes_are_named_all_at_once(filled: UsageReader) -> None:
    query = AggregationQuery(
        UsageScope("acme"), Filters(actor=("\ud800",)), Granularity.DAY, "Mars/Base", ("credits", "attributes."), ()
    )
    with pytest.raises(BadQuery) as raised:
        asked(filled, query)
    fields = [name for name, _ in raised.value.mistakes]
    assert fields == ["actor", "from", "to", "time_zone", "group_by", "group_by", "measures"]
    many = AggregationQuery(UsageScope("acme"), Filters(NOON, NOON + 30 * DAY), Granularity.MINUTE)
    with pytest.raises(BadQuery, match="10,000 cells"):
        asked(filled, many)


def test_rates_are_exact() -> None:
    assert Rate(2, 3, {}).ratio == "0.666667"
    assert Rate(10**18 - 1, 10**18, {}).ratio == "1.000000"
    assert (Rate(0, 5, {}).ratio, Rate(5, 5, {}).ratio, Rate(0, 0, {}).ratio) == ("0.000000", "1.000000", None)

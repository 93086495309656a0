"""The history equals what plain Python makes of the same outputs: pages, filters, refunds, instants."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from application.usage.cursors import BadCursor
from application.usage.history import HistoryQuery, UsageReader
from application.usage.query import BadQuery, Filters
from application.usage.scope import UsageScope
from sinks.embedded import EmbeddedSink
from streams.loading.positions import Loaded, SinkPositions
from streams.log.partitioner import partition_of
from tests.application.usage.conftest import ACCOUNTS, PARTITIONS, UsageLog, emptied, reader, usage_log
from tests.application.usage.model import expected_rows
from tests.metering.meter import DAY, NOON
from tests.sinks.outputs import load

pytestmark = pytest.mark.slow

QUOTES = [
    "' OR '1'='1",
    "'; DROP TABLE billed_rows; --",
    "{p0:String}",
    "\\",
    "\\' OR 1=1 --",
    "/*",
    "\0",
    "🦊",
    "a\tb\nc",
]
VALUES = {
    "actor": ["ann", "bob", "o'neil"], "feature": ["Identification", "Search", "Enrichment"], "action": ["E-mail"],
    "charge": ["lookup", "page", "mail"], "endpoint": ["/v1/ip", "/v1/people"],
    "decision": ["charged", "duplicate", "not_billable", "nothing_found", "refunded"],
    "credit_type": ["credit", "email"], "request_id": ["rq-1"], "event_id": ["e3-0", "e10-1"],
    "subject": ["10.0.0.1", "u-1", "example.com"],
}  # fmt: skip


def walk(filled: UsageReader, query: HistoryQuery) -> list[tuple[Any, ...]]:
    """All rows, page by page."""
    rows: list[tuple[Any, ...]] = []
    cursor = None
    while True:
        page = filled.page(query, cursor)
        rows += [(row.key, row.fields["credits"], row.fields["feature"], row.fields["actor"]) for row in page.rows]
        cursor = page.next
        assert len(page.rows) <= query.limit
        if cursor is None:
            return rows


def filters_of() -> st.SearchStrategy[Filters]:
    times = st.none() | st.integers(NOON - 25 * DAY, NOON + 130 * DAY)
    lists = {
        name: st.just(())
        | st.just(())
        | st.lists(st.sampled_from([*values, *QUOTES]), min_size=1, max_size=3).map(tuple)
        for name, values in VALUES.items()
    }
    texts = st.none() | st.none() | st.sampled_from(["jane", "IP", "v1/p", "o'n", "e1", *QUOTES])
    made = st.builds(Filters, from_ms=times, to_ms=times, text=texts, **lists)
    return made.filter(lambda some: some.from_ms is None or some.to_ms is None or some.from_ms < some.to_ms)


@given(
    filters=filters_of(), account=st.sampled_from(ACCOUNTS), actor=st.none() | st.sampled_from(["ann", "o'neil"]),
    refunds=st.booleans(), limit=st.sampled_from([25, 1_000]),
)  # fmt: skip
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_filters_give_what_plain_python_gives(
    filled: UsageReader, log: UsageLog, filters: Filters, account: str, actor: str | None, refunds: bool, limit: int
) -> None:
    scope = UsageScope(account, actor)
    query = HistoryQuery(scope, filters, refunds, limit=limit)
    assert walk(filled, query) == expected_rows(log, scope, filters, refunds=refunds)


@pytest.mark.parametrize("limit", [11, 1_000])
def test_pages_of_any_size_give_every_row_once(filled: UsageReader, log: UsageLog, limit: int) -> None:
    for account in (*ACCOUNTS[:2], None) if limit > 11 else ACCOUNTS[2:3]:
        scope = UsageScope(account)
        expected = expected_rows(log, scope, Filters(), refunds=True)
        assert len(expected) > 20
        assert walk(filled, HistoryQuery(scope, refunds=True, limit=limit)) == expected


def test_a_row_says_everything(filled: UsageReader, log: UsageLog) -> None:
    page = filled.page(HistoryQuery(UsageScope("acme"), refunds=True, limit=1_000), names={"ann": "Ann Lee"})
    lines = {(line["event_id"], line["line"]): line for line in log.rows("events", "acme")}
    for row in page.rows:
        line = lines[row.fields["event_id"], row.fields["line"]]
        if row.kind == "line":
            assert {name: row.fields[name] for name in line if name in row.fields} == {
                name: value for name, value in line.items() if name in row.fields
            }
            assert not {"source_offset", "source_partition"}.symmetric_difference(line.keys() - row.fields.keys())
            assert row.fields["date"] == line["occurred_at"]
        else:
            assert row.fields["credits"] < 0
            assert (row.fields["decision"], row.fields["feature"]) == ("refunded", line["feature"])
        assert row.fields["user"] == {"ann": "Ann Lee"}.get(line["actor"], line["actor"])
    shown = [(row.fields["description"], row.fields["data_requested"]) for row in page.rows]
    assert ("Jane Doe", "3 results") in shown
    assert ("/v1/ip (rq-1)", "2 emails") in shown
    assert any(data == "x" for _, data in shown)


def test_a_walk_is_of_one_instant_whatever_is_loaded_meanwhile(embedded_store: EmbeddedSink) -> None:
    sink, whole = emptied(embedded_store), usage_log(3, 80)
    offsets = sorted(batch["source_offset"] for _, batch in whole.batches)
    middle = offsets[len(offsets) // 2]
    load(sink, [(name, batch) for name, batch in whole.batches if batch["source_offset"] <= middle])
    some = reader(sink)
    query = HistoryQuery(UsageScope("acme"), refunds=True, limit=30)
    first = some.page(query)
    load(sink, whole.batches)  # late requests among them, older than rows of pages to come
    rows, cursor = list(first.rows), first.next
    while cursor is not None:
        page = some.page(query, cursor)
        assert page.as_of == first.as_of
        rows, cursor = rows + page.rows, page.next
    before = expected_rows(
        whole, query.scope, query.filters, refunds=True, loaded=lambda row: row["source_offset"] <= middle
    )
    assert [row.key for row in rows] == [key for key, *_ in before]

    everything = [key for key, *_ in walk(some, query)]
    later = [key for key, *_ in walk(some, replace(query, since=first.as_of))]
    assert len(later) > 5
    assert sorted([*later, *(key for key, *_ in before)]) == sorted(everything)
    assert walk(some, replace(query, since=some.page(query).as_of)) == []


def test_rows_that_are_not_wholly_loaded_are_not_shown(embedded_store: EmbeddedSink) -> None:
    """An insert of many months, or of a message in parts, is seen in pieces: its position says what counts."""
    sink, whole = emptied(embedded_store), usage_log(3, 80)
    load(sink, whole.batches)
    partition = partition_of("acme", PARTITIONS)
    offsets = sorted({line["source_offset"] for line in whole.rows("events", "acme")})
    complete = offsets[len(offsets) // 2]
    positions = SinkPositions(sink)
    positions.write(
        {("credits.billed", partition): Loaded(9, "00", complete), ("other.billed", partition): Loaded(9, "00", 1)}
    )
    some, query = reader(sink), HistoryQuery(UsageScope("acme"), refunds=True, limit=1_000)
    expected = expected_rows(
        whole, query.scope, query.filters, refunds=True, loaded=lambda row: row["source_offset"] <= complete
    )
    assert walk(some, query) == expected
    assert 0 < len(expected) < len(expected_rows(whole, query.scope, query.filters, refunds=True))


def test_a_cursor_is_of_its_question_alone(filled: UsageReader) -> None:
    query = HistoryQuery(UsageScope("acme"), limit=2)
    cursor = filled.page(query).next
    assert cursor is not None
    others = [
        replace(query, scope=UsageScope("zenith")), replace(query, scope=UsageScope("acme", "ann")),
        replace(query, scope=UsageScope(None)), replace(query, filters=Filters(actor=("ann",))),
        replace(query, refunds=True), replace(query, since=filled.page(query).as_of),
    ]  # fmt: skip
    for other in others:
        with pytest.raises(BadCursor):
            filled.page(other, cursor)
    assert filled.page(replace(query, limit=5), cursor).rows[:2] == filled.page(query, cursor).rows
    for at in range(len(cursor)):
        edited = cursor[:at] + ("A" if cursor[at] != "A" else "B") + cursor[at + 1 :]
        with pytest.raises(BadCursor):
            filled.page(query, edited)
    for wrong in ["", "A", cursor[:-1], cursor + "A", cursor + "=", "é", "'; DROP TABLE billed_rows; --", "A" * 10_000]:
        with pytest.raises(BadCursor):
            filled.page(query, wrong)


def test_wrong_filters_are_named_all_at_once(filled: UsageReader) -> None:
    filters = Filters(from_ms=5, to_ms=4, actor=("x" * 1_025,), endpoint=("a",) * 101, text="\ud800")
    with pytest.raises(BadQuery) as raised:
        filled.page(HistoryQuery(UsageScope("acme"), filters))
    assert [name for name, _ in raised.value.mistakes] == ["from", "to", "actor", "endpoint", "text"]
    for limit in (0, 1_001):
        with pytest.raises(BadQuery):
            filled.page(HistoryQuery(UsageScope("acme"), limit=limit))
    with pytest.raises(BadQuery):
        filled.page(HistoryQuery(UsageScope("acme"), Filters(from_ms=NOON, to_ms=NOON)))


def test_an_account_without_usage_has_an_empty_page(filled: UsageReader) -> None:
    for name in ("nobody", *QUOTES):
        page = filled.page(HistoryQuery(UsageScope(name), refunds=True))
        assert (page.rows, page.next) == ([], None)

"""A sum that goes on from an earlier answer is the sum that is added up anew, whatever was loaded between them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from application.usage.aggregation import AggregationQuery, aggregate
from application.usage.as_of import AsOf, Positions, Reached
from application.usage.buckets import Granularity
from application.usage.cursors import CursorKeys
from application.usage.history import UsageReader
from application.usage.kept_sums import KeepingSums, KeptSum, KeptSums
from application.usage.measures import Measure
from application.usage.query import Filters
from application.usage.scope import UsageScope
from application.usage.store import SinkUsage
from sinks.embedded import EmbeddedSink
from streams import clock
from streams.loading.positions import Loaded, SinkPositions
from streams.log.partitioner import partition_of
from streams.log.topics import TopicNames
from tests.application.usage.conftest import PARTITIONS, PATIENT, UsageLog, emptied, usage_log
from tests.application.usage.statements import Statements
from tests.metering.meter import DAY, NOON
from tests.sinks.outputs import load

NAMES = TopicNames()
STEPS = 3
ALL = tuple(Measure)
PERIOD = Filters(NOON - 30 * DAY, NOON + 130 * DAY)
QUESTIONS = [
    AggregationQuery(UsageScope("acme"), measures=ALL),
    AggregationQuery(UsageScope("acme"), PERIOD, Granularity.MONTH, "UTC", ("feature",), ALL),
    AggregationQuery(UsageScope("acme", "ann"), PERIOD, Granularity.WEEK, "Europe/Berlin", ("owner_event_id",), ALL),
    AggregationQuery(UsageScope(None), PERIOD, Granularity.DAY, "UTC", ("account_id",), ALL),
    AggregationQuery(
        UsageScope(None), Filters(decision=("refunded", "charged")), group_by=("decision", "attributes.team"),
        measures=ALL,
    ),
    AggregationQuery(UsageScope("zenith"), Filters(text="jane"), measures=ALL),
    AggregationQuery(UsageScope("zenith"), measures=(Measure.REFUNDED,)),
]  # fmt: skip


class Loading:
    """A log that is loaded step by step, as a loader does it: rows first, then how far the store is."""

    def __init__(self, sink: EmbeddedSink, log: UsageLog) -> None:
        self._sink = sink
        self._log = log
        self._written = 0

    def step(self, number: int) -> None:
        """Everything up to this step (from 0), and a part of it again: what was loaded before is loaded twice."""
        reached = {}
        for partition, own in self._log.logs.items():
            last = own.next_offset * (number + 1) // STEPS - 1
            first = own.next_offset * number // STEPS
            load(self._sink, [batch for batch in own.batches if first <= batch[1]["source_offset"] <= last])
            load(self._sink, [batch for batch in own.batches if batch[1]["source_offset"] <= last][::3])
            for topic in (NAMES.billed, NAMES.refunds):
                self._written += 1
                reached[topic, partition] = Loaded(self._written, "00", last)
        SinkPositions(self._sink).write(reached)


def reader(store: Statements, sums: KeptSums | None = None) -> UsageReader:
    return UsageReader(store, Positions(store, NAMES, PARTITIONS), CursorKeys([b"a key"]), sums)


@pytest.fixture
def store(embedded_store: EmbeddedSink) -> Iterator[Statements]:
    yield Statements(SinkUsage(emptied(embedded_store), PATIENT))
    emptied(embedded_store)


def check(keeping: UsageReader, store: Statements) -> None:
    """Every question has the answer that somebody gets who never asked before."""
    for question in QUESTIONS:
        assert aggregate(keeping, question) == aggregate(reader(store), question), question


@pytest.mark.slow
def test_sums_that_go_on_are_those_that_are_added_up_anew(embedded_store: EmbeddedSink, store: Statements) -> None:
    log = usage_log(11, 80)
    loading, keeping = Loading(embedded_store, log), reader(store)
    for number in range(STEPS):
        loading.step(number)
        check(keeping, store)
    lines = log.rows("events", "acme")
    (cell,) = aggregate(keeping, QUESTIONS[0]).cells
    assert (cell.values[Measure.LINES], cell.values[Measure.CREDITS]) == (
        len(lines), sum(line["credits"] for line in lines),
    )  # fmt: skip
    emptied(embedded_store)
    check(keeping, store)
    loading = Loading(embedded_store, log)
    loading.step(0)
    check(keeping, store)
    for number in range(1, STEPS):
        loading.step(number)
    check(keeping, store)


@pytest.mark.slow
def test_only_what_came_since_is_read(embedded_store: EmbeddedSink, store: Statements) -> None:
    loading, keeping = Loading(embedded_store, usage_log(11, 80)), reader(store)
    loading.step(0)
    question = replace(QUESTIONS[1], group_by=("credit_type",))

    def read(table: str) -> list[bool]:
        """For each statement over the table, whether it reads all of its rows."""
        store.asked.clear()
        aggregate(keeping, question)
        return ["source_offset >" not in sql for sql in store.asked if f"FROM {table}" in sql and "loaded" not in sql]

    assert read("billed_rows") == [True]
    assert read("billed_rows") == read("refund_rows") == []
    loading.step(1)
    assert read("billed_rows") == [False]
    loading.step(2)
    assert read("refund_rows") == [False]
    for other in (
        replace(question, scope=UsageScope("zenith")), replace(question, scope=UsageScope("acme", "ann")),
        replace(question, filters=replace(PERIOD, actor=("ann",))), replace(question, group_by=("action",)),
        replace(question, granularity=Granularity.WEEK), replace(question, time_zone="Asia/Kathmandu"),
        replace(question, measures=(Measure.LINES,)), replace(question, filters=Filters(NOON, PERIOD.to_ms)),
    ):  # fmt: skip
        question = other
        assert set(read("billed_rows")) == {True}, other


@pytest.mark.slow
def test_where_nothing_was_ever_refunded_lines_are_read_once(embedded_store: EmbeddedSink, store: Statements) -> None:
    """No refund is loaded there, and so no position of refunds."""
    log, keeping = usage_log(11, 80), reader(store)
    own = log.logs[partition_of("acme", PARTITIONS)]
    lines = [(name, batch) for name, batch in own.batches if name == "BilledBatch"]
    load(embedded_store, lines)
    place = NAMES.billed, own.partition
    SinkPositions(embedded_store).write({place: Loaded(1, "00", own.next_offset - 1)})
    fresh = reader(Statements(SinkUsage(embedded_store, PATIENT)))
    for expected in (1, 0):
        store.asked.clear()
        assert aggregate(keeping, QUESTIONS[0]) == aggregate(fresh, QUESTIONS[0])
        assert sum("FROM billed_rows" in sql for sql in store.asked) == expected
    load(embedded_store, own.batches)
    SinkPositions(embedded_store).write({(NAMES.refunds, own.partition): Loaded(1, "00", own.next_offset - 1)})
    check(keeping, store)


@pytest.mark.slow
def test_what_may_still_be_loaded_beside_the_newest_row_is_not_kept(
    embedded_store: EmbeddedSink, store: Statements
) -> None:
    log = usage_log(11, 80)
    load(embedded_store, log.batches[::2])
    keeping = reader(store)
    check(keeping, store)
    load(embedded_store, log.batches)
    check(keeping, store)


def at(lines: int, refunds: int = 0, partition: int = 0) -> AsOf:
    return AsOf({partition: Reached(lines, refunds)})


def counted(number: int, text: str = "") -> KeptSum:
    return KeptSum(at(number), {(0, (text,)): {"line_count": number}}, clock.monotonic())


def test_a_sum_is_kept_for_later_instants_of_the_same_partitions() -> None:
    sums = KeptSums()
    sums.keep(b"q", counted(5))
    assert sums.before(b"other", at(9)) is None
    assert sums.before(b"q", at(5)) == sums.before(b"q", at(9)) == counted(5)
    sums.keep(b"q", counted(3))  # a slower answer of an earlier instant
    assert sums.before(b"q", at(9)) == counted(5)
    assert sums.before(b"q", at(4)) is None  # the store was emptied
    assert sums.before(b"q", at(9)) is None
    sums.keep(b"q", counted(5))
    assert sums.before(b"q", at(9, -1)) is None
    sums.keep(b"q", counted(5))
    assert sums.before(b"q", at(9, 9, partition=1)) is None
    sums.keep(b"q", KeptSum(AsOf({0: Reached(5, 0)}, is_whole=False), {}, clock.monotonic()))
    assert sums.before(b"q", at(9)) is None


def test_the_sums_asked_for_longest_ago_go_first_and_large_ones_are_not_kept() -> None:
    one = counted(5).size
    sums = KeptSums(KeepingSums(size=3 * one + 100, size_of_one=one + 100))
    for name in (b"1", b"2", b"3"):
        sums.keep(name, counted(5))
    assert sums.before(b"1", at(5))
    sums.keep(b"4", counted(5))
    assert [bool(sums.before(name, at(5))) for name in (b"1", b"2", b"3", b"4")] == [True, False, True, True]
    sums.keep(b"5", counted(5, "x" * 30))
    assert sums.before(b"5", at(5)) is None


def test_sums_without_a_cell_take_memory_too() -> None:
    """Anybody can ask for as many times without a row as they like."""
    sums = KeptSums(KeepingSums(size=100_000))
    for number in range(1_000):
        sums.keep(b"%d" % number, KeptSum(at(5), {}, clock.monotonic()))
    assert sums.before(b"999", at(5)) is not None
    assert sum(sums.before(b"%d" % number, at(5)) is not None for number in range(1_000)) <= 100


def test_everything_is_added_up_anew_once_in_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_000.0
    monkeypatch.setattr(clock, "monotonic", lambda: now)
    sums = KeptSums(KeepingSums(seconds=60))
    sums.keep(b"q", counted(5))
    now += 50
    earlier = sums.before(b"q", at(7))
    assert earlier is not None
    later = replace(earlier, as_of=at(7))  # made of the one before it, and as old
    sums.keep(b"q", later)
    now += 11
    assert sums.before(b"q", at(7)) is None
    sums.keep(b"q", later)  # by somebody who had begun before it was dropped
    assert sums.before(b"q", at(7)) is None

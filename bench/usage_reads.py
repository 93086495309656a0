"""Customers' reads over many rows: `python -m bench.usage_reads [--rows N] [--folder DIR] [--accounts-alone]`.

Each question is asked several times, by one client, as the server asks it. Sums are asked as if for the first time, and
again while lines are loaded. As a command of its own it then asks for all sums once more when each month is one part,
as the store makes them within a day, and exports the large account as CSV, once.
"""

from __future__ import annotations

import argparse
import itertools
import os
import resource
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from application.accounts.plan import AccountPlans
from application.accounts.snapshot import account_snapshot
from application.accounts.standing import account_standing
from application.usage.aggregation import AggregationQuery as Query
from application.usage.aggregation import aggregate
from application.usage.as_of import AsOf, Positions, Reached
from application.usage.buckets import Granularity
from application.usage.cursors import CursorKeys
from application.usage.export import export
from application.usage.history import HistoryQuery, UsageReader
from application.usage.kept_sums import KeepingSums, KeptSums
from application.usage.measures import Measure
from application.usage.query import Filters
from application.usage.rows import Key
from application.usage.scope import UsageScope
from application.usage.store import SinkUsage
from bench.machine import cpu_seconds
from bench.usage_rows import BEGIN, YEAR, make_rows
from metering.windows import DAY_MS
from server.api.usage_text import csv_lines
from sinks.current import current_account
from sinks.embedded import EmbeddedSink
from sinks.migrate import migrate
from sinks.sink import Limits
from streams import clock
from streams.loading.positions import Loaded, SinkPositions
from streams.log.topics import TopicNames

ROWS = 10_000_000
AIM_MS = 200.0
"""The p99 that a page of history and a sum should keep to."""
TIMES = 30
NAMES = TopicNames()
CURSORS = CursorKeys([b"bench"])
MESSAGES_BETWEEN = 200
"""Of a hundred lines each, a fifth of which are of the large account."""
VIEW = "SELECT * FROM balances WHERE account_id = {account:String}"


class Asked(NamedTuple):
    """A question that was asked some times; ms of waiting, and of CPU on average, the engine's included."""

    title: str
    p50: float
    p99: float
    cpu: float

    def line(self) -> str:
        return f"{self.title:44} {self.p50:8.1f} {self.p99:8.1f} {self.cpu:8.1f}"


HEAD = f"{'question':44} {'p50 ms':>8} {'p99 ms':>8} {'CPU ms':>8}"


def main() -> None:
    """Makes the rows where the folder has none, and prints p50, p99 and CPU of each question."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--accounts-alone", action="store_true", help="ask only how accounts stand")
    arguments = parser.parse_args()
    with opened(arguments.folder or Path(tempfile.mkdtemp(prefix="creditmeter-usage-")), arguments.rows) as sink:
        print("rows, of the account:", counted(sink))
        reader = reader_of(sink)
        print(HEAD)
        shown(ask_accounts(reader))
        if arguments.accounts_alone:
            return
        shown(ask_history(reader))
        shown(ask_sums(reader))
        began = time.monotonic()
        for table in ("billed_rows", "refund_rows"):
            sink.execute(f"OPTIMIZE TABLE {table} FINAL")
        print(f"each month is one part now, after {time.monotonic() - began:.0f} s")
        shown(ask_sums(reader))
        export_all(reader)


def measure(folder: Path, rows: int) -> list[Asked]:
    """Each question over so many rows, made in the folder; for a run of everything."""
    with opened(folder, rows) as sink:
        reader = reader_of(sink)
        return [*ask_accounts(reader), *ask_history(reader), *ask_sums(reader)]


def report(rows: int, asked: Iterable[Asked]) -> list[str]:
    """For people, with what misses the aim of a page or a sum."""
    late = [each.title for each in asked if each.p99 > AIM_MS and each.title.startswith(("history", "sums"))]
    missed = f"; MISSED by: {', '.join(late)}" if late else ""
    return [
        f"customers' reads over {rows:,} rows, wanted p99 {AIM_MS:.0f} ms{missed}",
        HEAD,
        *(each.line() for each in asked),
    ]


@contextmanager
def opened(folder: Path, rows: int) -> Iterator[EmbeddedSink]:
    """The store, with its rows."""
    sink = EmbeddedSink(folder)
    try:
        migrate(sink)
        loaded = Loaded(1, "", 1 << 40)  # as a loader leaves it: else every question would look for the newest row
        SinkPositions(sink).write({(topic, 0): loaded for topic in (NAMES.billed, NAMES.refunds)})
        if not counted(sink)[0]:
            make_rows(sink, rows)
        yield sink
    finally:
        sink.close()


def counted(sink: EmbeddedSink) -> tuple[int, int]:
    """The lines of all accounts, and of the large one."""
    sql = "SELECT count(), countIf(account_id = 'big') FROM billed_rows"
    ((of_all, of_big),) = sink.query(sql, limits=Limits()).rows
    return of_all, of_big


def reader_of(sink: EmbeddedSink) -> UsageReader:
    store = SinkUsage(sink, Limits(seconds=60))
    return UsageReader(store, Positions(store, NAMES, 1), CURSORS)


def shown(asked: Iterable[Asked]) -> None:
    for each in asked:
        print(each.line(), flush=True)


def ask_accounts(reader: UsageReader) -> Iterator[Asked]:
    """What is asked of one account as it stands now."""
    store, end = reader.store, BEGIN + YEAR
    for name in ("big", "account-777"):
        yield timed(f"{name}: plan", lambda name=name: AccountPlans(store).of(name))
        now = clock.now_ms()
        yield timed(
            f"{name}: balances, settings, grants", lambda name=name, now=now: current_account(store.rows, name, now)
        )
        yield timed(f"{name}: and how far it is loaded", lambda name=name: account_snapshot(store, name, 0))
        yield timed(f"{name}: as GET shows it", lambda name=name: account_standing(reader, UsageScope(name), end))
        yield timed(f"{name}: the view balances", lambda name=name: store.rows(VIEW, {"account": name}), times=10)


def ask_history(reader: UsageReader) -> Iterator[Asked]:
    """Pages of the large account."""
    plain = HistoryQuery(UsageScope("big"))
    yield timed("history: first page", lambda: reader.page(plain))
    yield timed("history: first page with refunds", lambda: reader.page(replace(plain, refunds=True)))
    for name, day in (("middle", 180), ("last", 2)):
        yield timed(f"history: {name} page", lambda day=day: page_behind(reader, plain, BEGIN + day * DAY_MS))
    by_actor = replace(plain, filters=Filters(actor=("user-3",)))
    yield timed("history: one actor of 40", lambda: reader.page(by_actor))
    one = replace(plain, filters=Filters(text="person 999999"))
    yield timed("history: a text of few rows", lambda: reader.page(one), times=5)


def ask_sums(reader: UsageReader) -> Iterator[Asked]:
    """Sums of the large account, with no earlier answer to go on from, and with one."""
    scope, end = UsageScope("big"), BEGIN + YEAR
    month, year = Filters(end - 30 * DAY_MS, end), Filters(BEGIN, end)
    few, whole = (Measure.CREDITS, Measure.LINES), tuple(Measure)

    days = Query(scope, month, Granularity.DAY, "Europe/Berlin", ("feature",), few)
    questions = {
        "30 days by day and feature": days,
        "30 days, every measure, by endpoint": replace(days, time_zone="UTC", group_by=("endpoint",), measures=whole),
        "a year (2 million rows) by month": Query(scope, year, Granularity.MONTH, "UTC", ("feature",), few),
        "a year, every measure, by month": Query(scope, year, Granularity.MONTH, "Europe/Berlin", (), whole),
    }
    keeps_nothing = KeptSums(KeepingSums(size_of_one=-1))
    newest = int(reader.store.rows("SELECT max(source_offset) AS newest FROM billed_rows", {})[0]["newest"])
    first = newest - (TIMES + 2) * MESSAGES_BETWEEN
    for name, question in questions.items():
        anew = UsageReader(reader.store, reader.positions, CURSORS, keeps_nothing)
        yield timed(f"sums: {name}", lambda asked=question, anew=anew: aggregate(anew, asked), times=10)
        positions = Advancing(reader.store, NAMES, 1, itertools.count(first, MESSAGES_BETWEEN))
        again = UsageReader(reader.store, positions, CURSORS)
        yield timed("      again, 20,000 lines later", lambda asked=question, again=again: aggregate(again, asked))


@dataclass(frozen=True, slots=True)
class Advancing(Positions):
    """An instant for each question, some messages after the one before: as beside a loader at work."""

    instants: Iterator[int]

    def now(self, scope: UsageScope) -> AsOf:
        Positions.now(self, scope)  # costs what it costs
        reached = next(self.instants)
        return AsOf({0: Reached(reached, reached)})


def export_all(reader: UsageReader) -> None:
    """The whole account as CSV, as the server streams it: its rows and credits are those of the store."""
    memory, began = peak_mib(), time.perf_counter()
    whole = export(reader, HistoryQuery(UsageScope("big")))
    rows = credits_ = size = 0
    for block in whole.blocks():
        rows += len(block)
        credits_ += sum(row.fields["credits"] for row in block)
        size += len(csv_lines(block))
    seconds = time.perf_counter() - began
    sums = "SELECT count() AS number, sum(credits) AS credits FROM billed_rows FINAL WHERE account_id = 'big'"
    stored = reader.store.rows(sums, {})[0]
    if (rows, credits_) != (int(stored["number"]), int(stored["credits"])):
        raise AssertionError(f"{rows} rows and {credits_} credits were exported; the store has {stored}")
    print(
        f"CSV: {rows:,} rows, {size / 1e6:,.0f} MB, {credits_:,} credits as in the store: {seconds:.0f} s, "
        f"{rows / seconds:,.0f} rows/s; memory grew by {peak_mib() - memory:.0f} MiB"
    )


def peak_mib() -> float:
    """The most memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_024


def page_behind(reader: UsageReader, query: HistoryQuery, at: int) -> None:
    """The page behind an instant, as a cursor there gives it."""
    begun = reader.begin(query)
    key: Key = (at, "big", "", 0, 0, "")
    reader.rows(query, replace(begun, after=key), query.limit + 1, {})


def timed(title: str, ask: Callable[[], object], times: int = TIMES) -> Asked:
    """Asks once to warm up, then so many times."""
    ask()
    walls, cpu = [], _cpu_seconds()
    for _ in range(times):
        began = time.perf_counter()
        ask()
        walls.append((time.perf_counter() - began) * 1_000)
    walls.sort()
    mean = (_cpu_seconds() - cpu) / times * 1_000
    return Asked(title, walls[len(walls) // 2], walls[min(len(walls) - 1, len(walls) * 99 // 100)], mean)


def _cpu_seconds() -> float:
    """Of this process and of the engine's."""
    return cpu_seconds(os.getpid())


if __name__ == "__main__":
    main()

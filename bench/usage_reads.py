"""Customers' reads over many rows: `python -m bench.usage_reads [--rows N] [--folder DIR] [--accounts-alone]`.

Rows are made by SQL in an embedded store: a year of lines, one row in five of one account, one in twenty late, and
refunds of one charged line in two hundred. Beside them are the newest rows of an account for every fifty lines: two
balances, settings, an open grant, and holds that are over, of the large account ten thousand. Each question is asked
several times, by one client, as the server asks it. Sums are asked as if for the first time, and again while lines are
loaded; all of them then once more when each month is one part, as the store makes them within a day. Then the large
account is exported as CSV, once.
"""

from __future__ import annotations

import argparse
import itertools
import os
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

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
from metering.windows import DAY_MS
from server.api.usage_text import csv_lines
from sinks.embedded import EmbeddedSink
from sinks.migrate import migrate
from sinks.rows import LAST_TIME
from sinks.sink import Limits
from streams.loading.positions import Loaded, SinkPositions
from streams.log.topics import TopicNames

BEGIN, YEAR = 1_764_115_200_000, 365 * DAY_MS
AT_ONCE = 1_000_000
TIMES = 30
LINES_OF_ACCOUNT = 50
NAMES = TopicNames()
CURSORS = CursorKeys([b"bench"])
MESSAGES_BETWEEN = 200
"""Of a hundred lines each, a fifth of which are of the large account."""
COLUMNS = """account_id, day, event_id, line, occurred_at, endpoint, channel, outcome, request_id, actor, user_id, ip,
    domain, plan, quantity_names, quantity_values, attribute_names, attribute_values, decision, charge, feature, action,
    credit_type, price_version, units, unit_credits, credits, owner_event_id, window_ends_at, balance_after, grant_ids,
    grant_credits, hold_id, source_partition, source_offset, position, version"""
LINES = """INSERT INTO billed_rows ({columns})
SELECT {columns} FROM (SELECT
    if(number % 5 = 0, 'big', concat('account-', toString(intDiv(number, 5) % 2000))) AS account_id,
    toDate32(occurred_at) AS day, concat('e-', lower(hex(cityHash64(number)))) AS event_id, 0 AS line,
    fromUnixTimestamp64Milli(toInt64({begin} + intDiv(number * {year}, {rows})
        - if(number % 20 = 0, (cityHash64(number, 3) % 1000) * 8640000, 0)), 'UTC') AS occurred_at,
    concat('/v1/endpoint-', toString(cityHash64(number, 1) % 12)) AS endpoint,
    ['api', 'js', 'email'][1 + cityHash64(number, 4) % 3] AS channel,
    ['processed', 'processed', 'processed', 'processed', 'failed', 'invalid', 'blocked'][1 + cityHash64(number, 5) % 7]
        AS outcome,
    concat('rq-', toString(intDiv(number, 3))) AS request_id,
    concat('user-', toString(cityHash64(number, 6) % 40)) AS actor, toString(cityHash64(number, 7) % 100000) AS user_id,
    concat('203.0.113.', toString(cityHash64(number, 8) % 250)) AS ip, NULL AS domain, 'pro' AS plan,
    ['results'] AS quantity_names, [toInt64(cityHash64(number, 9) % 10)] AS quantity_values,
    ['description', 'filter'] AS attribute_names,
    [concat('Person ', toString(cityHash64(number) % 1000000)), toString(cityHash64(number, 10) % 30)]
        AS attribute_values,
    ['charged', 'charged', 'duplicate', 'free'][1 + cityHash64(number, 11) % 4] AS priced,
    if(outcome = 'processed', priced, 'not_billable') AS decision,
    if(outcome = 'processed', concat('charge-', toString(cityHash64(number, 1) % 12)), NULL) AS charge,
    ['Identification', 'Enrichment', 'Search'][1 + cityHash64(number, 1) % 3] AS known_feature,
    if(outcome = 'processed', known_feature, NULL) AS feature,
    if(outcome = 'processed', concat('Action ', toString(cityHash64(number, 1) % 12)), NULL) AS action,
    if(outcome = 'processed', if(cityHash64(number, 1) % 4 = 0, 'email', 'credit'), NULL) AS credit_type,
    'v1' AS price_version, 1 AS units, 20 AS unit_credits, if(decision = 'charged', 20, 0) AS credits,
    if(decision = 'duplicate', 'e-x', NULL) AS owner_event_id, NULL AS window_ends_at,
    if(outcome = 'processed', toInt64(1000000 - number % 1000), NULL) AS balance_after,
    if(decision = 'charged', ['g1'], []) AS grant_ids, if(decision = 'charged', [toInt64(20)], []) AS grant_credits,
    NULL AS hold_id, toInt32(0) AS source_partition, toInt64(intDiv(number, 100)) AS source_offset,
    number % 100 AS position, source_offset AS version
FROM numbers({first}, {count}))"""
REFUNDS = """INSERT INTO refund_rows
(account_id, day, refund_id, event_id, line, charge, status, reject_reason, credits, forfeited, credit_type,
    remaining_charge, balance_after, reason, requested_at, occurred_at, source_partition, source_offset, position,
    version)
SELECT account_id, toDate32(requested_at) AS day, concat('r-', event_id) AS refund_id, event_id, line, charge,
    'refunded' AS status, NULL AS reject_reason, credits, 0 AS forfeited, credit_type, 0 AS remaining_charge,
    balance_after, 'no result' AS reason, occurred_at + INTERVAL 1 DAY AS requested_at, occurred_at, source_partition,
    source_offset + 1 AS source_offset, position, source_offset AS version
FROM billed_rows WHERE decision = 'charged' AND cityHash64(event_id, 77) % 200 = 0"""


ACCOUNTS = (
    """(SELECT 'big' AS account_id UNION ALL SELECT concat('account-', toString(number)) FROM numbers({count}))"""
)
NEWEST_BALANCES = """INSERT INTO latest_balance_rows
SELECT account_id, ['credit', 'email'][kind + 1] AS credit_type, 'billed_rows' AS origin, 1000000 AS balance_after,
    fromUnixTimestamp64Milli(toInt64({end}), 'UTC') AS at, 0 AS source_partition, {turn} AS source_offset,
    0 AS position, {turn} AS version
FROM {accounts} ARRAY JOIN [0, 1] AS kind"""
NEWEST_OF_KIND = """INSERT INTO current_rows
SELECT account_id, fromUnixTimestamp64Milli(toInt64({ends}), 'UTC') AS ends, '{kind}' AS kind,
    concat('{kind}-', toString(place)) AS id, '{status}' AS status, ['credit'] AS credit_types,
    [toInt64(1000000)] AS amounts, emptyArrayString() AS charged_types, emptyArrayInt64() AS charged_amounts,
    1000000 AS balance_after, if('{kind}' = 'settings', 'pro', NULL) AS plan,
    if('{kind}' = 'settings', fromUnixTimestamp64Milli(toInt64({begin}), 'UTC'), NULL) AS plan_started_at,
    NULL AS plan_ends_at, '' AS reason, fromUnixTimestamp64Milli(toInt64({begin}), 'UTC') AS at, 0 AS source_partition,
    {turn} AS source_offset, place AS position, {turn} AS version
FROM {accounts} ARRAY JOIN range(if(account_id = 'big', {of_big}, {of_each})) AS place"""
VIEW = "SELECT * FROM balances WHERE account_id = {account:String}"
TURNS = 3
"""How often every newest row was loaded: of rows with equal keys the highest version counts, merged or not."""


def main() -> None:
    """Makes the rows where the folder has none, and prints p50, p99 and CPU of each question."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--accounts-alone", action="store_true", help="ask only how accounts stand")
    arguments = parser.parse_args()
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="creditmeter-usage-"))
    sink = EmbeddedSink(folder)
    migrate(sink)
    loaded = Loaded(1, "", 1 << 40)  # as a loader leaves it: without it every question would look for the newest row
    SinkPositions(sink).write({(topic, 0): loaded for topic in (NAMES.billed, NAMES.refunds)})
    if not sink.query("SELECT count() FROM billed_rows").rows[0][0]:
        make_rows(sink, arguments.rows)
    counted = "SELECT count(), countIf(account_id = 'big') FROM billed_rows"
    print("rows, of the account:", sink.query(counted, limits=Limits()).rows[0])
    store = SinkUsage(sink, Limits(seconds=60))
    reader = UsageReader(store, Positions(store, NAMES, 1), CURSORS)
    print(f"{'question':44} {'p50 ms':>8} {'p99 ms':>8} {'CPU ms':>8}")
    ask_accounts(reader)
    if not arguments.accounts_alone:
        ask_history(reader)
        ask_sums(reader)
        began = time.monotonic()
        for table in ("billed_rows", "refund_rows"):
            sink.execute(f"OPTIMIZE TABLE {table} FINAL")
        print(f"each month is one part now, after {time.monotonic() - began:.0f} s")
        ask_sums(reader)
        export_all(reader)
    sink.close()


def make_rows(sink: EmbeddedSink, rows: int) -> None:
    """A million at a time, as loads of many groups leave them: several parts a month."""
    for first in range(0, rows, AT_ONCE):
        count = min(AT_ONCE, rows - first)
        sink.execute(LINES.format(columns=COLUMNS, begin=BEGIN, year=YEAR, rows=rows, first=first, count=count))
    sink.execute(REFUNDS)
    make_newest_rows(sink, rows // LINES_OF_ACCOUNT)


def make_newest_rows(sink: EmbeddedSink, count: int) -> None:
    """What the loader keeps beside the lines: a few rows of each of so many accounts and of the large one."""
    end = BEGIN + YEAR
    common = {"accounts": ACCOUNTS.format(count=count), "begin": BEGIN, "end": end}
    for turn in range(1, TURNS + 1):
        sink.execute(NEWEST_BALANCES.format(turn=turn, **common))
        for kind, status, ends, of_big, of_each in (
            ("settings", "allow", LAST_TIME, 1, 1),
            ("grant", "applied", LAST_TIME, 1, 1),
            ("hold", "settled", BEGIN, 10_000, 3),
        ):
            names = {"kind": kind, "status": status, "ends": ends, "of_big": of_big, "of_each": of_each}
            sink.execute(NEWEST_OF_KIND.format(turn=turn, **names, **common))


def ask_accounts(reader: UsageReader) -> None:
    """What is asked of one account as it stands now."""
    store, end = reader.store, BEGIN + YEAR
    for name in ("big", "account-777"):
        timed(f"{name}: plan", lambda name=name: AccountPlans(store).of(name))
        timed(f"{name}: balances, settings, grants", lambda name=name: account_snapshot(store, name, 0))
        timed(f"{name}: as GET shows it", lambda name=name: account_standing(reader, UsageScope(name), end))
        timed(f"{name}: the view balances", lambda name=name: store.rows(VIEW, {"account": name}), times=10)


def ask_history(reader: UsageReader) -> None:
    """Pages of the large account."""
    plain = HistoryQuery(UsageScope("big"))
    timed("history: first page", lambda: reader.page(plain))
    timed("history: first page with refunds", lambda: reader.page(replace(plain, refunds=True)))
    for name, day in (("middle", 180), ("last", 2)):
        timed(f"history: {name} page", lambda day=day: page_behind(reader, plain, BEGIN + day * DAY_MS))
    by_actor = replace(plain, filters=Filters(actor=("user-3",)))
    timed("history: one actor of 40", lambda: reader.page(by_actor))
    one = replace(plain, filters=Filters(text="person 999999"))
    timed("history: a text of few rows", lambda: reader.page(one), times=5)


def ask_sums(reader: UsageReader) -> None:
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
        timed(f"sums: {name}", lambda asked=question, anew=anew: aggregate(anew, asked), times=10)
        positions = Advancing(reader.store, NAMES, 1, itertools.count(first, MESSAGES_BETWEEN))
        again = UsageReader(reader.store, positions, CURSORS)
        timed("      again, 20,000 lines later", lambda asked=question, again=again: aggregate(again, asked))


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


def timed(name: str, ask: Callable[[], object], times: int = TIMES) -> None:
    """Asks once to warm up, then so many times."""
    ask()
    walls, cpu = [], _cpu_seconds()
    for _ in range(times):
        began = time.perf_counter()
        ask()
        walls.append((time.perf_counter() - began) * 1_000)
    walls.sort()
    mean = (_cpu_seconds() - cpu) / times * 1_000
    print(
        f"{name:44} {walls[len(walls) // 2]:8.1f} {walls[min(len(walls) - 1, len(walls) * 99 // 100)]:8.1f} {mean:8.1f}"
    )


def _cpu_seconds() -> float:
    """Of this process and of the engine's."""
    return cpu_seconds(os.getpid())


if __name__ == "__main__":
    main()

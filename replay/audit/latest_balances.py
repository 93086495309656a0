"""Compares the newest rows of balances, which the server and the views read, with the rows that they repeat.

The base tables have been compared with the log. A newest row is right where its table has the same balance at the same
place, and is the newest where its table has none behind it. Rows of a table are stored before the newest of them.
"""

from __future__ import annotations

from collections.abc import Iterable

from replay.audit.findings import Difference, Finding, Note
from replay.audit.rows import Row, RowStore
from replay.audit.scope import Scope
from sinks.inserts import BALANCE, BALANCE_TABLES, CURRENT, PARTS_BITS
from sinks.packed import PACKING
from sinks.rows import PART_SHIFT, SHAPES
from streams.log.topics import TopicNames
from streams.rating.outputs import BATCH_NAME, topics_by_kind

LATEST_BALANCES = "latest_balance_rows"
"""The view that people know these rows by."""
NEVER = "toDateTime64('2299-12-31 23:59:59.999', 3, 'UTC')"
_IS_WRONG = (
    f"(id != concat(credit_types[1], ' ', toString(status)) OR length(credit_types) != 1 OR ends != {NEVER} "
    f"OR packed != {PACKING})"
)
_BALANCES = (
    "(SELECT account_id, credit_types[1] AS credit_type, toString(status) AS origin, balance_after, at, "  # noqa: S608
    f"source_partition, source_offset, position, version, {_IS_WRONG} AS is_wrong FROM {CURRENT} "
    f"WHERE kind = '{BALANCE}')"
)
_TRIES = 5
"""Both tables are read while the loader inserts: a row is different when it is so many times."""
SHOWN = 1_000
"""At most so many rows are named for each table, slice and kind."""
SLICE = 500_000
"""About so many newest rows are compared at once, so that no statement grows with the number of accounts."""


def compare_latest_balances(store: RowStore, names: TopicNames, scopes: Iterable[Scope], note: Note) -> None:
    """Notes each newest row that its table does not have, and each newest row of `scopes` that is missing."""
    all_scopes = list(scopes)
    ((count,),) = store.rows(f"SELECT count() AS c0 FROM {_BALANCES}")  # noqa: S608 -- names of our own
    slices = 1 + count // SLICE
    topics = {BATCH_NAME[kind]: topic for kind, topic in topics_by_kind(names).items()}
    partitions = {scope.partition: scope for scope in all_scopes}
    _note_foreign(store, max(partitions, default=-1) + 1, note)
    for batch, shape in SHAPES.items():
        if shape.table not in BALANCE_TABLES:
            continue
        ends = [
            str(partitions[number].horizons[topics[batch]] if number in partitions else 0)
            for number in range(max(partitions, default=-1) + 1)
        ]
        for number in range(slices):
            within = f"cityHash64(account_id) % {slices} = {number}"
            _compare_with_table(store, shape.table, shape.time, within, note)
            if ends:
                _look_for_newer(store, shape.table, within, ends, note)


def _note_foreign(store: RowStore, partitions: int, note: Note) -> None:
    """Rows that say they repeat a table or a partition that there is not."""
    origins = ", ".join(f"'{table}'" for table in BALANCE_TABLES)
    where = f"toString(origin) NOT IN ({origins}) OR source_partition < 0 OR source_partition >= {partitions}"
    for row in store.rows(f"SELECT {_NAMED} FROM {_BALANCES} WHERE {where} ORDER BY c0, c1, c2 LIMIT {SHOWN}"):  # noqa: S608
        note(Difference(Finding.UNEXPECTED, _place(row), _source(row), "no such table, or no such input partition"))


def _compare_with_table(store: RowStore, table: str, time: str, within: str, note: Note) -> None:
    where = f"origin = '{table}' AND {within}"
    places = f"SELECT account_id, source_partition, source_offset, position FROM {_BALANCES} WHERE {where}"  # noqa: S608
    repeated = (
        f"FROM {table} WHERE {within} AND isNotNull(credit_type) "
        f"AND (account_id, source_partition, source_offset, position) IN ({places})"
    )
    key = "account_id, source_partition, source_offset, position, toString({credit_type})"
    latest_key, table_key = (key.format(credit_type=name) for name in ("credit_type", "assumeNotNull(credit_type)"))
    version = f"toUInt64(source_offset) * {1 << PARTS_BITS} + bitShiftRight(position, {PART_SHIFT})"
    sql = (
        f"SELECT {_NAMED}, ({latest_key}) IN (SELECT {table_key} {repeated}) AS c5 FROM {_BALANCES} "  # noqa: S608
        f"WHERE {where} AND (({latest_key}, balance_after, at) NOT IN "
        f"(SELECT {table_key}, assumeNotNull(balance_after), {time} {repeated}) OR version != {version} "
        f"OR is_wrong) "
        f"ORDER BY c0, c1, c2, c4 LIMIT {SHOWN}"
    )
    for row in lasting(store, sql):
        if row[5]:
            detail = f"its balance, time, version, id or packed text is not that of its row of {table}"
            note(Difference(Finding.DIFFERENT, _place(row), _source(row), detail))
        else:
            note(Difference(Finding.UNEXPECTED, _place(row), _source(row), f"{table} has no row that it repeats"))


def _look_for_newer(store: RowStore, table: str, within: str, ends: list[str], note: Note) -> None:
    """Accounts whose newest row, of what is judged, is not in the table of newest rows."""
    judged = (
        f"source_partition >= 0 AND source_offset >= 0 AND source_offset < [{', '.join(ends)}][source_partition + 1]"
    )
    place = "(source_offset + 1, position, source_partition)"
    sql = (
        f"SELECT account_id AS c0, type AS c1, '{table}' AS c2, tupleElement(newest, 3) AS c3, "  # noqa: S608
        "tupleElement(newest, 1) - 1 AS c4 FROM ("
        "SELECT account_id, type, maxIf(place, is_row = 1) AS newest, maxIf(place, is_row = 0) AS known FROM ("
        f"SELECT account_id, toString(assumeNotNull(credit_type)) AS type, {place} AS place, toUInt8(1) AS is_row "
        f"FROM {table} WHERE {within} AND isNotNull(credit_type) AND {judged} UNION ALL "
        f"SELECT account_id, toString(credit_type) AS type, {place} AS place, toUInt8(0) AS is_row "
        f"FROM {_BALANCES} WHERE origin = '{table}' AND {within}"
        f") GROUP BY account_id, type) WHERE newest > known ORDER BY c0, c1 LIMIT {SHOWN}"
    )
    for row in lasting(store, sql):
        detail = f"the newest row of {table} is not there: a balance read from it is too old"
        note(Difference(Finding.MISSING, _place(row), _source(row), detail))


_NAMED = (
    "account_id AS c0, toString(credit_type) AS c1, toString(origin) AS c2, source_partition AS c3, source_offset AS c4"
)


def lasting(store: RowStore, sql: str) -> list[Row]:
    """The rows that the statement gives every time."""
    rows = store.rows(sql)
    for _ in range(_TRIES - 1):
        if not rows:
            break
        again = set(store.rows(sql))
        rows = [row for row in rows if row in again]
    return rows


def _place(row: Row) -> str:
    return f"{LATEST_BALANCES} account_id={row[0]} credit_type={row[1]} origin={row[2]}"


def _source(row: Row) -> str:
    return f"{row[3]}@{row[4]}"

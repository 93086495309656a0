"""Compares the newest rows of grants, holds and settings, which the server and views read, with those they repeat.

The base tables have been compared with the log. A newest row is right where its table has the same one at the same
place, and none behind it. Rows of a table are stored before the newest of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from replay.audit.findings import Difference, Finding, Note
from replay.audit.latest_balances import NEVER, SHOWN, SLICE, lasting
from replay.audit.rows import Row, RowStore
from replay.audit.scope import Scope
from sinks.inserts import BALANCE, CURRENT, PARTS_BITS
from sinks.packed import PACKING
from sinks.rows import PART_SHIFT
from streams.log.topics import TopicNames
from streams.rating.outputs import BATCH_NAME, topics_by_kind

_PLACE = "(source_offset + 1, position, source_partition)"


class _Repeated(NamedTuple):
    """A base table as `current_rows` repeats it: its batch, and the row's end, id and fields in both tables' words."""

    batch: str
    table: str
    ends: str
    id: str
    fields: str
    repeated: str


_KINDS = {
    "grant": _Repeated(
        "GrantBatch", "grant_rows", f"coalesce(expires_at, {NEVER})", "grant_id",
        "toString(status), [toString(credit_type)], [credits], balance_after, reason, changed_at",
        "toString(status), arrayMap(x -> toString(x), credit_types), amounts, balance_after, reason, at",
    ),
    "hold": _Repeated(
        "HoldBatch", "hold_rows", "expires_at", "hold_id",
        "toString(status), credit_types, credit_amounts, charged_types, charged_amounts, reason, at",
        "toString(status), credit_types, amounts, charged_types, charged_amounts, reason, at",
    ),
    "settings": _Repeated(
        "AccountBatch", "account_rows", NEVER, "''",
        "toString(on_empty), mark_types, mark_amounts, plan, plan_started_at, plan_ends_at, update_id, at",
        "toString(status), credit_types, amounts, plan, plan_started_at, plan_ends_at, reason, at",
    ),
}  # fmt: skip


def compare_current_rows(store: RowStore, names: TopicNames, scopes: Iterable[Scope], note: Note) -> None:
    """Notes each row that its table does not have so, and each newest row of `scopes` that is missing."""
    partitions = {scope.partition: scope for scope in scopes}
    ((count,),) = store.rows(f"SELECT count() AS c0 FROM {CURRENT}")  # noqa: S608 -- names of our own
    slices = 1 + count // SLICE
    topics = {BATCH_NAME[kind]: topic for kind, topic in topics_by_kind(names).items()}
    known = ", ".join(f"'{kind}'" for kind in (*_KINDS, BALANCE))
    foreign = f"SELECT {_NAMED} FROM {CURRENT} WHERE toString(kind) NOT IN ({known}) ORDER BY c0, c1, c2 LIMIT {SHOWN}"  # noqa: S608
    for row in store.rows(foreign):
        note(Difference(Finding.UNEXPECTED, _place(row), _source(row), "there is no such kind of row"))
    for kind, repeated in _KINDS.items():
        horizons = [
            str(partitions[number].horizons[topics[repeated.batch]] if number in partitions else 0)
            for number in range(max(partitions, default=-1) + 1)
        ]
        for number in range(slices):
            _compare(store, kind, f"cityHash64(account_id) % {slices} = {number}", horizons or ["0"], note)


def _compare(store: RowStore, kind: str, within: str, horizons: list[str], note: Note) -> None:
    repeated = _KINDS[kind]
    table = repeated.table
    version = f"toUInt64(source_offset) * {1 << PARTS_BITS} + bitShiftRight(position, {PART_SHIFT})"
    # Of each name: the newest row of the table (is_row), and the row that counts here, by their places.
    both = (
        f"SELECT account_id, {repeated.ends} AS ends, {repeated.id} AS id, {_PLACE} AS place, toUInt64(0) AS version, "  # noqa: S608
        f"toUInt64(0) AS is_wrong, toString(({repeated.fields})) AS content, toUInt8(1) AS is_row "
        f"FROM {table} WHERE {within} UNION ALL "
        f"SELECT account_id, ends, id, {_PLACE} AS place, version, "
        f"toUInt64(version != {version} OR packed != {PACKING}) AS is_wrong, "
        f"toString(({repeated.repeated})) AS content, toUInt8(0) AS is_row "
        f"FROM {CURRENT} WHERE kind = '{kind}' AND {within}"
    )
    named = (
        "SELECT account_id, ends, id, maxIf(place, is_row = 1) AS newest, maxIf(place, is_row = 0) AS known, "  # noqa: S608
        "argMaxIf(content, place, is_row = 1) AS expected, argMaxIf(content, version, is_row = 0) AS actual, "
        f"max(is_wrong) AS has_wrong, greatest(newest, known) AS shown FROM ({both}) GROUP BY account_id, ends, id"
    )
    is_judged = f"tupleElement(newest, 1) <= [{', '.join(horizons)}][tupleElement(newest, 3) + 1]"
    sql = (
        f"SELECT account_id AS c0, '{kind}' AS c1, id AS c2, tupleElement(shown, 3) AS c3, "  # noqa: S608
        "tupleElement(shown, 1) - 1 AS c4, "
        "multiIf(known > newest, 'unexpected', newest > known, 'missing', 'different') AS c5 "
        f"FROM ({named}) WHERE known > newest OR (newest > known AND {is_judged}) "
        f"OR (newest = known AND (expected != actual OR has_wrong > 0)) ORDER BY c0, c1, c2 LIMIT {SHOWN}"
    )
    for row in lasting(store, sql):
        if row[5] == "missing":
            detail = f"the newest row of {table} is not there: what is read from here is too old"
            note(Difference(Finding.MISSING, _place(row), _source(row), detail))
        elif row[5] == "different":
            detail = f"it is not the row of {table} that it repeats"
            note(Difference(Finding.DIFFERENT, _place(row), _source(row), detail))
        else:
            note(Difference(Finding.UNEXPECTED, _place(row), _source(row), f"{table} has no row that it repeats"))


_NAMED = "account_id AS c0, toString(kind) AS c1, id AS c2, source_partition AS c3, source_offset AS c4"


def _place(row: Row) -> str:
    return f"{CURRENT} account_id={row[0]} kind={row[1]} id={row[2]}"


def _source(row: Row) -> str:
    return f"{row[3]}@{row[4]}"

"""Turns a group of output batches into inserts: their rows, and the newest of what they change.

A balance is what the last line, grant or refund says. To find it among all rows of an account takes longer the more it
has; so the last one of each table is inserted once more, into a table that keeps one row for each balance and table. So
is the last row of each grant and hold, and of an account's settings.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate, count
from typing import Any, NamedTuple

from sinks.rows import LAST_TIME, PART_SHIFT, SHAPES, Batches, Record, RecordBatches, Shape, to_columns

CURRENT = "current_rows"
BALANCE = "balance"
"""The kind of its rows that say a balance; the others are those of `_KINDS`."""
BALANCE_TABLES = tuple(shape.table for shape in SHAPES.values() if "balance_after" in shape.fields)
"""The tables whose rows say a balance."""
PARTS_BITS = 20
"""Bits for the part in a version: parts have 512 KiB, and a message that causes a million of them passes no broker."""


class Insert(NamedTuple):
    """Rows for one table, by column; never without rows."""

    table: str
    columns: dict[str, Any]

    @property
    def rows(self) -> int:
        return len(self.columns["version"])


def inserts_of(name: str, batches: Iterable[Record]) -> list[Insert]:
    """As `inserts_of_columns`, for batches that are decoded to records.

    Raises KeyError for a name or an item that is none of ours.
    """
    return inserts_of_columns(name, RecordBatches(name, batches))


def inserts_of_columns(name: str, batches: Batches) -> list[Insert]:
    """What to insert for batches of the record ``name``, in any order: nothing for batches without items.

    Insert all of them, in this order, and all of them again after any doubt.
    """
    table, columns = to_columns(name, batches)
    if not columns["version"]:
        return []
    order, shape = _Order(batches), SHAPES[name]
    newest = _latest_balances(shape, columns, order) if "balance_after" in columns else {}
    if name in _KINDS:
        current = _current(_KINDS[name], shape, columns, order)
        newest = {column: newest.get(column, []) + values for column, values in current.items()}
    return [Insert(table, columns), *([Insert(CURRENT, newest)] if newest else [])]


class _Order:
    """The rows of some batches in the order of their source: which of equal keys is the newest.

    The version orders all batches of a topic's partition. Within one batch the last item counts, whatever else is
    inserted with it: so the same version is the same row.
    """

    def __init__(self, batches: Batches) -> None:
        heads = batches.heads
        starts = list(accumulate(batches.counts, initial=0))
        by_source = sorted(range(len(heads)), key=lambda at: heads[at][1:3])
        self._rows: list[int] | None = None
        if by_source != list(range(len(heads))):
            self._rows = [row for at in by_source for row in range(starts[at], starts[at + 1])]

    def newest(self, *keys: Sequence[Any]) -> dict[Any, int]:
        """By the values of these columns, the row that counts."""
        if self._rows is None:
            return dict(zip(zip(*keys, strict=True), count()))
        rows = self._rows
        return dict(zip(zip(*([key[row] for row in rows] for key in keys), strict=True), rows, strict=True))


def _latest_balances(shape: Shape, columns: Mapping[str, Any], order: _Order) -> dict[str, Any]:
    """The newest row of each account and credit type in these batches; empty where no item has a balance."""
    newest = order.newest(columns["account_id"], columns["credit_type"])
    rows = [row for (_, credit_type), row in newest.items() if credit_type is not None]
    if not rows:
        return {}
    types = _taken(columns["credit_type"], rows)
    balance = {
        "id": [_with_table(name, shape.table) for name in types],
        "status": [shape.table] * len(rows),
        "credit_types": [(name,) for name in types],
        "balance_after": _taken(columns["balance_after"], rows),
    }
    return {**_left_out(balance, len(rows)), **balance, **_common(BALANCE, shape, columns, rows)}


def _with_table(credit_type: str | bytes, table: str) -> str | bytes:
    """A balance's id, as text or as bytes, as the credit type is."""
    return f"{credit_type} {table}" if isinstance(credit_type, str) else credit_type + f" {table}".encode()


def _taken(column: Sequence[Any], rows: list[int]) -> list[Any]:
    return [column[row] for row in rows]


def _source(columns: Mapping[str, Any], rows: list[int]) -> dict[str, list[Any]]:
    """The columns that say where rows are from, and the version of the newest row of something."""
    taken = {name: _taken(columns[name], rows) for name in ("source_partition", "source_offset", "position")}
    versions = [
        (offset << PARTS_BITS) + (position >> PART_SHIFT)
        for offset, position in zip(taken["source_offset"], taken["position"], strict=True)
    ]
    return {**taken, "version": versions}


class _Kind(NamedTuple):
    """One kind of row of `current_rows`."""

    name: str
    keys: tuple[str, ...]
    """The columns that name a row within its table."""
    ends: str | None
    """The column that says when it is over; None: it has no end."""
    same: Mapping[str, str]
    """By column of `current_rows`, the table's own."""
    single: Mapping[str, str] = {}
    """By column of arrays, the table's own, whose values become arrays of one."""


def _current(kind: _Kind, shape: Shape, columns: Mapping[str, Any], order: _Order) -> dict[str, Any]:
    """The newest row of each name in these batches."""
    rows = list(order.newest(*(columns[key] for key in kind.keys)).values())
    own = {
        **{name: _taken(columns[source], rows) for name, source in kind.same.items()},
        **{name: [[value] for value in _taken(columns[source], rows)] for name, source in kind.single.items()},
    }
    if kind.ends is not None:
        own["ends"] = [LAST_TIME if time is None else time for time in _taken(columns[kind.ends], rows)]
    return {**_left_out(own, len(rows)), **own, **_common(kind.name, shape, columns, rows)}


def _left_out(own: Mapping[str, Any], rows: int) -> dict[str, list[Any]]:
    """The columns of `current_rows` that a kind does not have, with what stands there."""
    return {name: [value] * rows for name, value in _NOTHING.items() if name not in own}


def _common(kind: str, shape: Shape, columns: Mapping[str, Any], rows: list[int]) -> dict[str, list[Any]]:
    """The columns that every kind has."""
    return {
        "account_id": _taken(columns["account_id"], rows),
        "kind": [kind] * len(rows),
        "at": _taken(columns[shape.time], rows),
        **_source(columns, rows),
    }


_NOTHING: Record = {
    "ends": LAST_TIME, "id": "", "status": "", "credit_types": (), "amounts": (), "charged_types": (),
    "charged_amounts": (), "balance_after": 0, "plan": None, "plan_started_at": None, "plan_ends_at": None,
    "reason": "",
}  # fmt: skip
"""What a kind's own columns leave out: it has no end and no amounts."""

_KINDS: dict[str, _Kind] = {
    "GrantBatch": _Kind(
        "grant",
        ("account_id", "grant_id"),
        "expires_at",
        {"id": "grant_id", "status": "status", "balance_after": "balance_after", "reason": "reason"},
        {"credit_types": "credit_type", "amounts": "credits"},
    ),
    "HoldBatch": _Kind(
        "hold",
        ("account_id", "expires_at", "hold_id"),
        "expires_at",
        {
            "id": "hold_id", "status": "status", "credit_types": "credit_types", "amounts": "credit_amounts",
            "charged_types": "charged_types", "charged_amounts": "charged_amounts", "reason": "reason",
        },
    ),
    "AccountBatch": _Kind(
        "settings",
        ("account_id",),
        None,
        {
            "status": "on_empty", "credit_types": "mark_types", "amounts": "mark_amounts", "plan": "plan",
            "plan_started_at": "plan_started_at", "plan_ends_at": "plan_ends_at", "reason": "update_id",
        },
    ),
}  # fmt: skip

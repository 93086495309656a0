"""Turns a group of output batches into inserts: their rows, and the newest of what they change.

A balance is what the last line, grant or refund says. To find it among all rows of an account takes longer the more it
has; so the last one of each table is inserted once more, into a table that keeps one row for each balance and table. So
is the last row of each grant and hold, and of an account's settings, into a table of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import itemgetter
from typing import Any, NamedTuple

from sinks.rows import LAST_TIME, PART_SHIFT, SHAPES, Record, Shape, to_columns

LATEST_BALANCES, CURRENT = "latest_balance_rows", "current_rows"
BALANCE_TABLES = tuple(shape.table for shape in SHAPES.values() if "balance_after" in shape.fields)
"""The tables whose rows say a balance."""
PARTS_BITS = 20
"""Bits for the part in a version: parts have 512 KiB, and a message that causes a million of them passes no broker."""


class Insert(NamedTuple):
    """Rows for one table, by column; never without rows."""

    table: str
    columns: dict[str, list[Any]]

    @property
    def rows(self) -> int:
        return len(self.columns["version"])


def inserts_of(name: str, batches: Iterable[Record]) -> list[Insert]:
    """What to insert for batches of the record ``name``, decoded, in any order: nothing for batches without items.

    Insert all of them, in this order, and all of them again after any doubt. Raises KeyError for a name or an item that
    is none of ours.
    """
    batches = list(batches)
    table, columns = to_columns(name, batches)
    if not columns["version"]:
        return []
    return [Insert(table, columns), *newest_of(name, batches)]


def newest_of(name: str, batches: list[Record]) -> list[Insert]:
    """Of the inserts for these batches those that keep the newest of what they change: `CURRENT`, `LATEST_BALANCES`."""
    inserts = []
    if "balance_after" in SHAPES[name].fields and (latest := _latest_balances(name, batches)):
        inserts.append(Insert(LATEST_BALANCES, latest))
    if name in _KINDS and (current := _current(_KINDS[name], SHAPES[name], batches)):
        inserts.append(Insert(CURRENT, {column: [row[column] for row in current] for column in current[0]}))
    return inserts


def _latest_balances(name: str, batches: list[Record]) -> dict[str, list[Any]]:
    """The newest row of each account and credit type in these batches; empty where no item has a balance.

    The version orders all batches of a topic's partition. Within one batch the last item counts, whatever else is
    inserted with it: so the same version is the same row.
    """
    shape = SHAPES[name]
    newest: dict[tuple[str, str], tuple[Record, Record, int]] = {}
    for batch in sorted(batches, key=itemgetter("source_offset", "part")):
        for place, item in enumerate(batch[shape.items]):
            newest[item["account_id"], item["credit_type"]] = item, batch, place
    newest_rows = [(item, batch, place) for item, batch, place in newest.values() if item["credit_type"] is not None]
    if not newest_rows:
        return {}
    return {
        "account_id": [item["account_id"] for item, _, _ in newest_rows],
        "credit_type": [item["credit_type"] for item, _, _ in newest_rows],
        "origin": [shape.table] * len(newest_rows),
        "balance_after": [item["balance_after"] for item, _, _ in newest_rows],
        "at": [min(item[shape.time], LAST_TIME) for item, _, _ in newest_rows],
        "source_partition": [batch["source_partition"] for _, batch, _ in newest_rows],
        "source_offset": [batch["source_offset"] for _, batch, _ in newest_rows],
        "position": [(batch["part"] << PART_SHIFT) + place for _, batch, place in newest_rows],
        "version": [(batch["source_offset"] << PARTS_BITS) + batch["part"] for _, batch, _ in newest_rows],
    }


class _Kind(NamedTuple):
    """One kind of row of `current_rows`: what names it within its table, and the fields that are its own."""

    name: str
    key: Callable[[Record], Any]
    fields: Callable[[Record], Record]


def _current(kind: _Kind, shape: Shape, batches: list[Record]) -> list[Record]:
    """The newest row of each name in these batches, as `_latest_balances` finds them."""
    newest: dict[Any, tuple[Record, Record, int]] = {}
    for batch in sorted(batches, key=itemgetter("source_offset", "part")):
        for place, item in enumerate(batch[shape.items]):
            newest[kind.key(item)] = item, batch, place
    return [
        _NOTHING
        | {
            "account_id": item["account_id"],
            "kind": kind.name,
            "at": min(item[shape.time], LAST_TIME),
            "source_partition": batch["source_partition"],
            "source_offset": batch["source_offset"],
            "position": (batch["part"] << PART_SHIFT) + place,
            "version": (batch["source_offset"] << PARTS_BITS) + batch["part"],
        }
        | kind.fields(item)
        for item, batch, place in newest.values()
    ]


_NOTHING: Record = {
    "ends": LAST_TIME, "id": "", "status": "", "credit_types": (), "amounts": (), "charged_types": (),
    "charged_amounts": (), "balance_after": 0, "plan": None, "plan_started_at": None, "plan_ends_at": None,
    "reason": "",
}  # fmt: skip
"""What a kind's own fields leave out: it has no end and no amounts."""


def _grant(item: Record) -> Record:
    return {
        "ends": _end(item["expires_at"]), "id": item["grant_id"], "status": item["status"],
        "credit_types": [item["credit_type"]], "amounts": [item["credits"]], "balance_after": item["balance_after"],
        "reason": item["reason"],
    }  # fmt: skip


def _hold(item: Record) -> Record:
    return {
        "ends": _end(item["expires_at"]), "id": item["hold_id"], "status": item["status"],
        "credit_types": list(item["credits"]), "amounts": list(item["credits"].values()),
        "charged_types": list(item["charged"]), "charged_amounts": list(item["charged"].values()),
        "reason": item["reason"],
    }  # fmt: skip


def _settings(item: Record) -> Record:
    plan = item["plan"] or {}
    return {
        "status": item["on_empty"], "credit_types": list(item["alert_below"]),
        "amounts": list(item["alert_below"].values()), "plan": plan.get("name"),
        "plan_started_at": _end(plan["started_at"]) if plan else None,
        "plan_ends_at": None if plan.get("ends_at") is None else _end(plan["ends_at"]), "reason": item["update_id"],
    }  # fmt: skip


def _end(time: int | None) -> int:
    return LAST_TIME if time is None else min(time, LAST_TIME)


_KINDS: dict[str, _Kind] = {
    "GrantBatch": _Kind("grant", itemgetter("account_id", "grant_id"), _grant),
    "HoldBatch": _Kind("hold", itemgetter("account_id", "expires_at", "hold_id"), _hold),
    "AccountBatch": _Kind("settings", itemgetter("account_id"), _settings),
}

"""What is inserted for a group of output batches: their own rows, and what counts of each account now.

A balance is what the last line, grant or refund says; a hold is what its last change says. To find it among all rows of
an account takes longer the more it has. So the newest of each is inserted once more, into a table that keeps one row
for each balance, grant, hold and account's settings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import itemgetter
from typing import Any, NamedTuple

from sinks.rows import LAST_TIME, PART_SHIFT, SHAPES, Record, Shape, to_columns

CURRENT = "current_rows"
_PARTS = 20
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
    inserts = [Insert(table, columns)]
    current = [row for kind in _KINDS.get(name, ()) for row in _newest(kind, SHAPES[name], batches)]
    if current:
        inserts.append(Insert(CURRENT, {column: [row[column] for row in current] for column in current[0]}))
    return inserts


class _Kind(NamedTuple):
    """One kind of row of `current_rows`: what names it, None for an item that has none, and its own fields."""

    name: str
    key: Callable[[Record], Any]
    fields: Callable[[Record], Record]


def _newest(kind: _Kind, shape: Shape, batches: list[Record]) -> list[Record]:
    """The newest row of each name in these batches.

    The version orders all batches of a topic's partition. Within one batch the last item counts, whatever else is
    inserted with it: so the same version is the same row.
    """
    newest: dict[Any, tuple[Record, Record, int]] = {}
    key = kind.key
    for batch in sorted(batches, key=itemgetter("source_offset", "part")):
        for place, item in enumerate(batch[shape.items]):
            newest[key(item)] = item, batch, place
    newest.pop(None, None)
    return [
        _NOTHING
        | {
            "account_id": item["account_id"],
            "kind": kind.name,
            "origin": shape.table,
            "at": min(item[shape.time], LAST_TIME),
            "source_partition": batch["source_partition"],
            "source_offset": batch["source_offset"],
            "position": (batch["part"] << PART_SHIFT) + place,
            "version": (batch["source_offset"] << _PARTS) + batch["part"],
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


def _balance_key(item: Record) -> Any:
    return None if item["credit_type"] is None else (item["account_id"], item["credit_type"])


def _balance(item: Record) -> Record:
    amount = item["balance_after"]
    return {
        "id": item["credit_type"], "credit_types": [item["credit_type"]], "amounts": [amount], "balance_after": amount,
    }  # fmt: skip


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


_BALANCE = _Kind("balance", _balance_key, _balance)
_KINDS: dict[str, tuple[_Kind, ...]] = {
    "BilledBatch": (_BALANCE,),
    "RefundBatch": (_BALANCE,),
    "GrantBatch": (_BALANCE, _Kind("grant", itemgetter("account_id", "grant_id"), _grant)),
    "HoldBatch": (_Kind("hold", itemgetter("account_id", "expires_at", "hold_id"), _hold),),
    "AccountBatch": (_Kind("settings", itemgetter("account_id"), _settings),),
}

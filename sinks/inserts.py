"""What is inserted for a group of output batches: their own rows, and the newest row of every balance that they move.

A balance is what the last line, grant or refund says. To find it among all rows of an account takes longer the more it
has; so the last one of each table is inserted once more, into a table that keeps one row for each balance and table.
"""

from __future__ import annotations

from collections.abc import Iterable
from operator import itemgetter
from typing import Any, NamedTuple

from sinks.rows import LAST_TIME, PART_SHIFT, SHAPES, Record, to_columns

LATEST_BALANCES = "latest_balance_rows"
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
    inserts = [Insert(table, columns)]
    if "balance_after" in columns and (latest := _latest_balances(name, batches)):
        inserts.append(Insert(LATEST_BALANCES, latest))
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

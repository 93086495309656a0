"""What ClickHouse has of decisions and holds: asked where the tail of decisions no longer has them. Blocks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from application.ingest.decisions import Decision, Item
from application.usage.fields import SELECTED
from application.usage.store import Row, UsageStore
from metering.windows import DAY_MS
from streams.loading.positions import TABLE
from streams.log.topics import TopicNames

MOST_FIRSTS = 500
"""Repeats of one request whose first is looked up."""
_LINES = f"SELECT {SELECTED} FROM billed_rows FINAL WHERE "  # noqa: S608 -- columns of ours; values are bound
_NUMBERS = ("line", "units", "unit_credits", "credits")
_HOLD = """
SELECT hold_id, account_id, status, is_open, reject_reason, event_id, reason,
    credit_types, credit_amounts, charged_types, charged_amounts,
    toUnixTimestamp64Milli(expires_at) AS expires_ms, source_offset
FROM last_holds WHERE account_id = {account:String} AND hold_id = {hold:String}
ORDER BY source_offset DESC LIMIT 1"""


class RecordedDecisions:
    """Rows of one pipeline's store. Every method raises Failed: UNAVAILABLE where the store does not answer."""

    def __init__(self, store: UsageStore, names: TopicNames) -> None:
        self._store = store
        self._names = names

    def lines(self, account_id: str, event_id: str, partition: int, offset: int) -> list[Row]:
        """The lines of the event that was accepted at this place; empty where none are there."""
        return self._lines(
            "account_id = {account:String} AND event_id = {event:String} AND source_partition = {partition:Int64} "
            "AND source_offset = {offset:Int64} ORDER BY line",
            {"account": account_id, "event": event_id, "partition": partition, "offset": offset},
        )

    def with_first_lines(self, items: Sequence[Item], decisions: Sequence[Decision]) -> list[Decision]:
        """The decisions, each repeat whose first is not at hand with the first's lines as the store has them.

        Looks `MOST_FIRSTS` up at most; the others stay as they are.
        """
        wanted = {
            index: (item.account_id, item.event_id, item.stored.partition, decision.first[0])
            for index, (item, decision) in enumerate(zip(items, decisions, strict=True))
            if decision.first is not None and not decision.lines
        }
        wanted = dict(list(wanted.items())[:MOST_FIRSTS])
        if not wanted:
            return list(decisions)
        lines = self._first_lines(list(wanted.values()))
        return [
            replace(decision, lines=lines.get(wanted[index], ())) if index in wanted else decision
            for index, decision in enumerate(decisions)
        ]

    def _first_lines(self, firsts: Sequence[tuple[str, str, int, int]]) -> dict[tuple[str, str, int, int], list[Row]]:
        rows = self._lines(
            "account_id IN {accounts:Array(String)} AND event_id IN {events:Array(String)} "
            "AND source_offset IN {offsets:Array(Int64)} ORDER BY account_id, event_id, line",
            {
                "accounts": sorted({first[0] for first in firsts}),
                "events": sorted({first[1] for first in firsts}),
                "offsets": sorted({first[3] for first in firsts}),
            },
        )
        lines: dict[tuple[str, str, int, int], list[Row]] = {}
        for row in rows:
            key = row["account_id"], row["event_id"], int(row["source_partition"]), int(row["source_offset"])
            lines.setdefault(key, []).append(row)
        return lines

    def at(self, partition: int, offset: int, may_see: Callable[[str], bool]) -> list[Row]:
        """The lines of the message at a place, of the accounts that may be seen: slow, for a trimmed log."""
        rows = self._lines(
            "source_partition = {partition:Int64} AND source_offset = {offset:Int64} "
            "ORDER BY account_id, event_id, line",
            {"partition": partition, "offset": offset},
        )
        return [row for row in rows if may_see(row["account_id"])]

    def set_aside(self, partition: int, offset: int, index: int | None, recorded_at: int) -> Row | None:
        """Why an item was set aside; None where there is no such dead letter. `recorded_at`: its message's time, ms."""
        rows = self._store.rows(
            "SELECT reason, field, `index` FROM dead_letter_rows FINAL WHERE day = toDate32({day:Int32}) "
            "AND source_partition = {partition:Int64} AND source_offset = {offset:Int64}",
            {"day": recorded_at // DAY_MS, "partition": partition, "offset": offset},
        )
        return next((row for row in rows if row["index"] is None or row["index"] == index), None)

    def is_loaded(self, partition: int, offset: int) -> bool:
        """Whether all lines of the message at a place, if it has any, are in the store."""
        rows = self._store.rows(
            f"SELECT source_offset AS reached FROM {TABLE} FINAL WHERE topic = {{topic:String}} "  # noqa: S608
            "AND log_partition = {partition:Int32}",
            {"topic": self._names.billed, "partition": partition},
        )
        return bool(rows) and int(rows[0]["reached"]) >= offset

    def hold(self, account_id: str, hold_id: str) -> dict[str, Any] | None:
        """A hold as its last loaded change leaves it, with `source_offset` of that; None where there is none."""
        rows = self._store.rows(_HOLD, {"account": account_id, "hold": hold_id})
        if not rows:
            return None
        row = rows[0]
        return {
            "hold_id": row["hold_id"], "account_id": row["account_id"], "status": row["status"],
            "credits": _amounts(row["credit_types"], row["credit_amounts"]),
            "charged": _amounts(row["charged_types"], row["charged_amounts"]),
            "event_id": row["event_id"], "reject_reason": row["reject_reason"], "reason": row["reason"],
            "expires_at": int(row["expires_ms"]), "source_offset": int(row["source_offset"]),
        }  # fmt: skip

    def answers(self) -> bool:
        """Whether the store answers now. Raises Failed where it does not."""
        return bool(self._store.rows("SELECT 1 AS one", {}))

    def _lines(self, condition: str, parameters: dict[str, Any]) -> list[Row]:
        return [_line(row) for row in self._store.rows(_LINES + condition, parameters)]


def _line(row: Row) -> Row:
    """A row with the types of a BilledEvent, as far as it has its fields."""
    ends, balance = row["window_ends_ms"], row["balance_after"]
    return {
        **row,
        **{name: int(row[name]) for name in _NUMBERS},
        "balance_after": None if balance is None else int(balance),
        "window_ends_at": None if ends is None else int(ends),
    }


def _amounts(types: Sequence[str], amounts: Sequence[Any]) -> dict[str, int]:
    return {name: int(amount) for name, amount in zip(types, amounts, strict=True)}

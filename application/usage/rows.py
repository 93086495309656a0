"""A row of the history: a billed line, or the refund of one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from application.usage.query import REFUNDED
from application.usage.store import Row

Key = tuple[int, str, str, int, int, str]
"""What orders rows, newest first: (ms, account, event, line, 0 for a line or 1 for a refund, refund). Unique."""


class RowKind(StrEnum):
    """Which of the two a row is."""

    LINE = "line"
    REFUND = "refund"


@dataclass(frozen=True, slots=True)
class UsageRow:
    """`fields`: the whole row by name, in order; times in ms, credits of a refund negative."""

    kind: RowKind
    key: Key
    fields: dict[str, Any]

    @property
    def at(self) -> int:
        """When it happened, in ms: the request of a line, the refund's own time."""
        return self.key[0]


def line_key(row: Row) -> Key:
    """The key of a line."""
    return (int(row["occurred_ms"]), row["account_id"], row["event_id"], int(row["line"]), 0, "")


def refund_key(row: Row) -> Key:
    """The key of a refunded line."""
    return (int(row["requested_ms"]), row["account_id"], row["event_id"], int(row["line"]), 1, row["refund_id"])


def order(key: Key) -> tuple[int, bytes, bytes, int, int, bytes]:
    """The key as ClickHouse compares it: texts by their bytes."""
    at, account, event, line, kind, refund = key
    return at, account.encode(), event.encode(), line, kind, refund.encode()


def line_row(row: Row, names: dict[str, str]) -> UsageRow:
    """A line's row. `names`: people's names by actor."""
    key = line_key(row)
    return UsageRow(RowKind.LINE, key, _fields(row, names, RowKind.LINE, key[0], int(row["credits"])))


def refund_row(row: Row, names: dict[str, str]) -> UsageRow:
    """A refund's row: what its line was, and what was given back."""
    key = refund_key(row)
    fields = _fields(row, names, RowKind.REFUND, key[0], -int(row["refunded"]))
    fields |= {
        "decision": REFUNDED,
        "balance_after": _optional(row["refund_balance"]),
        "grants_used": [],
        "refund_id": row["refund_id"],
        "reason": row["reason"],
        "forfeited": int(row["forfeited"]),
        "remaining_charge": _optional(row["remaining_charge"]),
    }
    return UsageRow(RowKind.REFUND, key, fields)


def without_others(row: UsageRow) -> UsageRow:
    """The row for somebody who sees one actor's usage alone: which event has paid before may be another actor's."""
    if row.fields["owner_event_id"] in {None, row.fields["event_id"]}:
        return row
    return replace(row, fields=row.fields | {"owner_event_id": None})


TIMES = ("date", "occurred_at", "window_ends_at")
"""The fields that are times, in ms."""


def _fields(row: Row, names: dict[str, str], kind: RowKind, at: int, credits_: int) -> dict[str, Any]:
    """What people look at first, the rest of the BilledEvent, and a refund's own fields, which a line leaves empty.

    One dictionary, since an export makes millions of them.
    """
    actor = row["actor"]
    return {
        "date": at,
        "kind": kind.value,
        "feature": row["feature"],
        "action": row["action"],
        "description": _description(row),
        "credits": credits_,
        "data_requested": _data_requested(row),
        "user": None if actor is None else names.get(actor, actor),
        "account_id": row["account_id"],
        "event_id": row["event_id"],
        "line": int(row["line"]),
        "occurred_at": int(row["occurred_ms"]),
        "endpoint": row["endpoint"],
        "channel": row["channel"],
        "outcome": row["outcome"],
        "request_id": row["request_id"],
        "actor": actor,
        "user_id": row["user_id"],
        "ip": row["ip"],
        "domain": row["domain"],
        "plan": row["plan"],
        "quantities": {name: int(count) for name, count in row["quantities"].items()},
        "attributes": row["attributes"],
        "decision": row["decision"],
        "charge": row["charge"],
        "credit_type": row["credit_type"],
        "price_version": row["price_version"],
        "units": int(row["units"]),
        "unit_credits": int(row["unit_credits"]),
        "owner_event_id": row["owner_event_id"],
        "window_ends_at": _optional(row["window_ends_ms"]),
        "balance_after": _optional(row["balance_after"]),
        "grants_used": [
            {"grant_id": grant, "credits": int(used)}
            for grant, used in zip(row["grant_ids"], row["grant_credits"], strict=True)
        ],
        "hold_id": row["hold_id"],
        "refund_id": None,
        "reason": None,
        "forfeited": None,
        "remaining_charge": None,
    }


def _description(row: Row) -> str:
    """The event's own; else what was called, and the request that it was part of."""
    given: str | None = row["attributes"].get("description")
    if given:
        return given
    endpoint: str = row["endpoint"]
    return endpoint if row["request_id"] is None else f"{endpoint} ({row['request_id']})"


def _data_requested(row: Row) -> str | None:
    """The event's own; else its quantities above 0: `3 emails, 100 results`."""
    given: str | None = row["attributes"].get("data_requested")
    if given:
        return given
    counts = [f"{int(count)} {name}" for name, count in sorted(row["quantities"].items()) if int(count) > 0]
    return ", ".join(counts) or None


def _optional(value: Any) -> int | None:
    return None if value is None else int(value)

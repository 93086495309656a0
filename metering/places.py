"""Places of accepted commands in their partition of the log, which the rows of remembered ids hold (SPEC 4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from metering.store import EVENT, HOLD, Value, account_prefix


class Rows(Protocol):
    """A state, or the store under one."""

    def get(self, key: bytes) -> Value | None: ...


@dataclass(frozen=True, slots=True)
class KeptPlace:
    """An accepted command: its own time (ms), its offset, and its index in a batch of events (None: in none)."""

    at: int
    offset: int
    index: int | None


def event_place(rows: Rows, account_id: str, event_id: str) -> KeptPlace | None:
    """The place of an accepted event whose id is remembered; None for others, or where an earlier version kept none."""
    row = rows.get(EVENT + account_prefix(account_id) + event_id.encode())
    return None if row is None else _place(row[0], row[2:])


def hold_place(rows: Rows, account_id: str, hold_id: str) -> KeptPlace | None:
    """The place of an accepted hold whose id is remembered; None as for `event_place`."""
    row = rows.get(HOLD + account_prefix(account_id) + hold_id.encode())
    return None if row is None else _place(row[0], row[1:])


def _place(at: int, kept: list[Any]) -> KeptPlace | None:
    return None if not kept or kept[0] is None else KeptPlace(at, kept[0], kept[1])

"""The open holds of one account: credits set aside before work is done (SPEC 11).

A hold only reserves amounts: no grant is drawn and no balance moves. *available* of a credit type is its balance less
what open holds still set aside of it. What commands do to holds is in `holding`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from metering.balances import NEVER


@dataclass(slots=True)
class Hold:
    """An open hold. By credit type, in credits: `credits` asked, `remaining` still set aside, `charged` so far.

    `expires_at` is ms by the log's clock; `arrival` counts what has arrived at the account. The maps are replaced and
    never changed, as a packed hold shares them.
    """

    hold_id: str
    credits: Mapping[str, int]
    remaining: Mapping[str, int]
    charged: Mapping[str, int]
    expires_at: int
    arrival: int
    reason: str

    @property
    def order(self) -> tuple[int, int]:
        """Soonest expiry first, then arrival."""
        return (self.expires_at, self.arrival)

    def packed(self) -> list[Any]:
        """The row that `Hold(*row)` reads back."""
        return [
            self.hold_id, self.credits, self.remaining, self.charged, self.expires_at, self.arrival, self.reason,
        ]  # fmt: skip


@dataclass(slots=True)
class OpenHolds:
    """The open holds by id, in order of arrival.

    `set_aside`: credits by credit type that they hold together; a type of which nothing is held is absent.
    `next_expiry`: the soonest `expires_at` (ms), `NEVER` without any.
    """

    by_id: dict[str, Hold] = field(default_factory=dict)
    set_aside: dict[str, int] = field(default_factory=dict)
    next_expiry: int = NEVER

    @classmethod
    def unpacked(cls, rows: list[list[Any]]) -> OpenHolds:
        holds = cls()
        for row in rows:
            holds.add(Hold(*row))
        return holds

    def packed(self) -> list[list[Any]]:
        """The rows that `unpacked` reads back."""
        return [hold.packed() for hold in self.by_id.values()]

    def add(self, hold: Hold) -> None:
        """Opens a hold."""
        self.by_id[hold.hold_id] = hold
        self.next_expiry = min(self.next_expiry, hold.expires_at)
        self._reserve(hold.remaining, 1)

    def close(self, hold: Hold) -> None:
        """Ends a hold; what it still set aside is free again."""
        del self.by_id[hold.hold_id]
        if hold.expires_at <= self.next_expiry:
            self.next_expiry = min((still_open.expires_at for still_open in self.by_id.values()), default=NEVER)
        self._reserve(hold.remaining, -1)

    def draw(self, hold: Hold, charged: Mapping[str, int]) -> None:
        """Takes what an event was charged, by credit type, off what the hold sets aside: to 0 at least."""
        taken = {name: min(amount, hold.remaining.get(name, 0)) for name, amount in charged.items()}
        self._reserve(taken, -1)
        hold.remaining = {name: left - taken.get(name, 0) for name, left in hold.remaining.items()}
        hold.charged = {
            name: hold.charged.get(name, 0) + charged.get(name, 0) for name in dict.fromkeys([*hold.charged, *charged])
        }

    def over(self, recorded_at: int) -> list[Hold]:
        """The open holds with `expires_at` <= `recorded_at` (ms), in order of expiry, then arrival."""
        if self.next_expiry > recorded_at:
            return []
        over = (hold for hold in self.by_id.values() if hold.expires_at <= recorded_at)
        return sorted(over, key=lambda hold: hold.order)

    def open_at(self, hold_id: str, recorded_at: int) -> Hold | None:
        """The hold of that id, if it is still open once the holds that are over at `recorded_at` (ms) have expired."""
        hold = self.by_id.get(hold_id)
        return hold if hold is not None and hold.expires_at > recorded_at else None

    def count_at(self, recorded_at: int) -> int:
        """How many holds are open once those that are over at `recorded_at` (ms) have expired."""
        return len(self.by_id) - len(self.over(recorded_at))

    def set_aside_at(self, credit_type: str, recorded_at: int) -> int:
        """Credits set aside once the holds that are over at `recorded_at` (ms) have expired."""
        total = self.set_aside.get(credit_type, 0)
        if total and self.next_expiry <= recorded_at:
            total -= sum(hold.remaining.get(credit_type, 0) for hold in self.over(recorded_at))
        return total

    def _reserve(self, amounts: Mapping[str, int], sign: int) -> None:
        for name, amount in amounts.items():
            total = self.set_aside.get(name, 0) + sign * amount
            if total:
                self.set_aside[name] = total
            else:
                self.set_aside.pop(name, None)

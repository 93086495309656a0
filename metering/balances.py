"""Credits of one account and credit type: open grants, debt, and how charges and refunds move them.

balance = what is left of open grants - debt. A grant is *open* until its ``expires_at``, used up or not. Debt exists
only where no open grant has anything left, because charges use grants first and grants fill debt first.
"""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass
from typing import Any, Final

from metering.records import MAX_LONG, GrantUse

NEVER: Final = MAX_LONG + 1
"""Sorts after every possible expiry: a grant without one."""


@dataclass(slots=True)
class OpenGrant:
    """A grant that has not expired; ``left`` in credits, times in ms.

    ``drawn_until`` is the latest occurred_at of a line that drew from it: a used-up grant is kept until no such line
    can be refunded any more.
    """

    expires_at: int | None
    arrival: int
    grant_id: str
    left: int
    reason: str
    drawn_until: int

    @property
    def order(self) -> tuple[int, int]:
        """Soonest expiry first, never-expiring last, then arrival."""
        return (NEVER if self.expires_at is None else self.expires_at, self.arrival)

    def packed(self) -> list[Any]:
        return [self.expires_at, self.arrival, self.grant_id, self.left, self.reason, self.drawn_until]


@dataclass(slots=True)
class Balance:
    """Open grants in order of use, debt, and their difference, all in credits."""

    amount: int
    debt: int
    grants: list[OpenGrant]

    @classmethod
    def empty(cls) -> Balance:
        return cls(0, 0, [])

    @classmethod
    def unpacked(cls, packed: list[Any]) -> Balance:
        grants = [OpenGrant(*row) for row in packed[1]]
        return cls(sum(grant.left for grant in grants) - packed[0], packed[0], grants)

    def packed(self) -> list[Any]:
        return [self.debt, [grant.packed() for grant in self.grants]]

    def add(self, grant: OpenGrant) -> None:
        """Applies a new grant: fills debt first, keeps the rest open. ``grant.left`` holds all its credits before."""
        self.amount += grant.left
        filled = min(self.debt, grant.left)
        self.debt -= filled
        grant.left -= filled
        insort(self.grants, grant, key=lambda open_grant: open_grant.order)

    def charge(self, credits_: int, occurred_at: int) -> list[GrantUse]:
        """Takes ``credits_`` from the open grants in order; what they do not cover is debt."""
        self.amount -= credits_
        used: list[GrantUse] = []
        for grant in self.grants:
            if credits_ == 0:
                break
            if grant.left:
                taken = min(grant.left, credits_)
                grant.left -= taken
                credits_ -= taken
                grant.drawn_until = max(grant.drawn_until, occurred_at)
                used.append({"grant_id": grant.grant_id, "credits": taken})
        self.debt += credits_
        return used

    def open_after(self, stream_time: int) -> int:
        """Credits left in the grants that are still open at ``stream_time``."""
        return sum(grant.left for grant in self.grants if grant.expires_at is None or grant.expires_at > stream_time)

    def find(self, grant_id: str) -> OpenGrant | None:
        """The open grant of that id, or None where it is no longer open."""
        return next((grant for grant in self.grants if grant.grant_id == grant_id), None)

    def give_back(self, credits_: int, uses: list[list[Any]]) -> tuple[int, int, list[list[Any]]]:
        """Returns a refund's credits: debt first, then the grants that the line used, last used first.

        ``uses`` are [grant_id, drawn, returned] in order of use. Returns (credits forfeited because their grant is no
        longer open, credits that no grant can take back, the uses with what was returned now).
        """
        filled = min(self.debt, credits_)
        self.debt -= filled
        self.amount += filled
        credits_ -= filled
        forfeited = 0
        after = [list(use) for use in uses]
        for use in after[::-1]:
            room = min(use[1] - use[2], credits_)
            if room == 0:
                continue
            use[2] += room
            credits_ -= room
            grant = self.find(use[0])
            if grant is None:
                forfeited += room
            else:
                grant.left += room
                self.amount += room
        return forfeited, credits_, after

    def forget_used_up(self, floor: int) -> bool:
        """Drops used-up grants without expiry that no refundable line drew from; True where any was."""
        kept = [g for g in self.grants if g.left or g.expires_at is not None or g.drawn_until >= floor]
        dropped = len(kept) < len(self.grants)
        self.grants = kept
        return dropped

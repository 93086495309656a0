"""Holds: credits set aside before work is done, drawn on by events, until settled, released or expired (SPEC 11).

A hold only reserves amounts: no grant is drawn and no balance moves. *available* of a credit type is its balance less
what open holds still set aside of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from metering.balances import NEVER
from metering.records import (
    MAX_LONG,
    Command,
    DeadLetterReason,
    HoldRejectReason,
    HoldStatus,
    Kind,
    OnEmpty,
    Output,
    Record,
    dead_letter,
)

if TYPE_CHECKING:
    from metering.account import Account

MAX_OPEN_HOLDS = 10_000
"""Open holds of one account: they are kept in the account's row."""

_REJECT = OnEmpty.REJECT.value


@dataclass(slots=True)
class Hold:
    """An open hold. By credit type, in credits: `credits` asked, `remaining` still set aside, `charged` so far.

    `expires_at` is ms by the log's clock; `arrival` counts the account's holds. Maps are replaced and never changed, as
    a packed hold shares them.
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
        return [
            self.hold_id, self.credits, self.remaining, self.charged, self.expires_at, self.arrival, self.reason,
        ]  # fmt: skip


@dataclass(slots=True)
class OpenHolds:
    """The open holds of one account by id, in order of arrival.

    `set_aside`: credits by credit type that they hold together; a type of which nothing is held is absent.
    `next_expiry`: the soonest `expires_at` (ms); `NEVER` without any.
    """

    by_id: dict[str, Hold] = field(default_factory=dict)
    set_aside: dict[str, int] = field(default_factory=dict)
    next_expiry: int = NEVER
    arrivals: int = 0

    @classmethod
    def unpacked(cls, rows: list[list[Any]]) -> OpenHolds:
        """What `packed` gave. An arrival beyond all open ones is as good as any: only their order counts."""
        holds = cls()
        for row in rows:
            holds.add(Hold(*row))
        return holds

    def packed(self) -> list[list[Any]]:
        return [hold.packed() for hold in self.by_id.values()]

    def add(self, hold: Hold) -> None:
        """Opens a hold."""
        self.by_id[hold.hold_id] = hold
        self.arrivals = max(self.arrivals, hold.arrival + 1)
        self.next_expiry = min(self.next_expiry, hold.expires_at)
        self._reserve(hold.remaining, 1)

    def close(self, hold: Hold) -> None:
        """Ends a hold; what it still set aside is free again."""
        del self.by_id[hold.hold_id]
        if hold.expires_at <= self.next_expiry:
            self.next_expiry = min((each.expires_at for each in self.by_id.values()), default=NEVER)
        self._reserve(hold.remaining, -1)

    def draw(self, hold: Hold, charged: Mapping[str, int]) -> None:
        """Takes what an event was charged, by credit type, off what the hold sets aside: to 0 at least."""
        taken = {
            name: min(amount, hold.remaining[name]) for name, amount in charged.items() if hold.remaining.get(name)
        }
        self._reserve(taken, -1)
        hold.remaining = {name: left - taken.get(name, 0) for name, left in hold.remaining.items()}
        sums = dict(hold.charged)
        for name, amount in charged.items():
            sums[name] = sums.get(name, 0) + amount
        hold.charged = sums

    def over(self, recorded_at: int) -> list[Hold]:
        """The open holds with `expires_at` <= `recorded_at` (ms), in order of expiry, then arrival."""
        if self.next_expiry > recorded_at:
            return []
        return sorted(
            (hold for hold in self.by_id.values() if hold.expires_at <= recorded_at), key=lambda hold: hold.order
        )

    def open_at(self, hold_id: str | None, recorded_at: int) -> Hold | None:
        """The hold of that id if it is open once holds that are over at `recorded_at` (ms) have expired."""
        hold = self.by_id.get(hold_id) if hold_id is not None else None
        return hold if hold is not None and hold.expires_at > recorded_at else None

    def set_aside_at(self, credit_type: str, recorded_at: int) -> int:
        """Credits of a type set aside once holds that are over at `recorded_at` (ms) have expired."""
        over = sum(hold.remaining.get(credit_type, 0) for hold in self.over(recorded_at))
        return self.set_aside.get(credit_type, 0) - over

    def _reserve(self, amounts: Mapping[str, int], sign: int) -> None:
        for name, amount in amounts.items():
            total = self.set_aside.get(name, 0) + sign * amount
            if total:
                self.set_aside[name] = total
            else:
                self.set_aside.pop(name, None)


def refuse_hold(account: Account, record: Record, recorded_at: int, *, rejected: bool) -> Output | None:
    """The dead letter of a hold that would pass a limit: of open holds, or of what a long holds; else None."""
    holds = account.holds
    if len(holds.by_id) - len(holds.over(recorded_at)) >= MAX_OPEN_HOLDS:
        return dead_letter(DeadLetterReason.INVALID_EVENT, "hold_id", Command.HOLD, record)
    if rejected:
        return None
    for credit_type, amount in record["credits"].items():
        if available_at(account, credit_type, record["held_at"], recorded_at) - amount < -MAX_LONG - 1:
            return dead_letter(DeadLetterReason.INVALID_EVENT, "credits", Command.HOLD, record)
    return None


def is_beyond_available(account: Account, record: Record, recorded_at: int) -> bool:
    """Whether a hold is to be rejected: with `on_empty: reject`, where it asks more than is available of any type."""
    return account.on_empty == _REJECT and any(
        amount > available_at(account, credit_type, record["held_at"], recorded_at)
        for credit_type, amount in record["credits"].items()
    )


def available_at(account: Account, credit_type: str, at: int, recorded_at: int) -> int:
    """Available credits as accepting a command of the time `at`, recorded at `recorded_at`, leaves them (ms)."""
    return account.amount_at(credit_type, at) - account.holds.set_aside_at(credit_type, recorded_at)


def apply_hold(account: Account, record: Record, *, rejected: bool) -> list[Output]:
    """The output of an accepted hold; one that was not rejected is open then."""
    credits_: dict[str, int] = dict(record["credits"])
    remaining = {} if rejected else credits_
    holds = account.holds
    hold = Hold(
        record["hold_id"], credits_, remaining, {}, record["expires_at"], holds.arrivals, record["reason"]
    )
    if not rejected:
        holds.add(hold)
    status = HoldStatus.REJECTED if rejected else HoldStatus.HELD
    reason = HoldRejectReason.INSUFFICIENT_CREDITS if rejected else None
    return [hold_output(account, hold, status, record["held_at"], reject_reason=reason)]


def expire_holds(account: Account, recorded_at: int, at: int) -> list[Output]:
    """Ends the holds that are over by the log's clock; `at` is the own time of the command that was accepted (ms)."""
    outputs = []
    for hold in account.holds.over(recorded_at):
        account.holds.close(hold)
        outputs.append(hold_output(account, hold, HoldStatus.EXPIRED, at))
    return outputs


def draw_on_hold(
    account: Account, hold: Hold, charged: Mapping[str, int], event: Record, *, keeps_hold: bool
) -> Output:
    """What an accepted event does to the open hold that it names; `charged`: credits by credit type, none of them 0."""
    account.holds.draw(hold, charged)
    status = HoldStatus.DRAWN
    if not keeps_hold:
        account.holds.close(hold)
        status = HoldStatus.SETTLED if hold.charged else HoldStatus.RELEASED
    return hold_output(account, hold, status, event["occurred_at"], event_id=event["event_id"])


def hold_output(
    account: Account,
    hold: Hold,
    status: HoldStatus,
    at: int,
    *,
    event_id: str | None = None,
    reject_reason: HoldRejectReason | None = None,
) -> Output:
    record: Record = {
        "hold_id": hold.hold_id,
        "account_id": account.account_id,
        "status": status,
        "credits": hold.credits,
        "charged": hold.charged,
        "available_after": {name: account.available(name) for name in hold.credits},
        "event_id": event_id,
        "reject_reason": reject_reason,
        "expires_at": hold.expires_at,
        "at": at,
        "reason": hold.reason,
    }
    return Output(Kind.HOLD, record)

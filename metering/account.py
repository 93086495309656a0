"""One account: its stream time, settings, balances, and what accepting a command does before the command itself."""

from __future__ import annotations

from typing import Any, Final

from metering.balances import NEVER, Balance, OpenGrant
from metering.holds import Hold, OpenHolds
from metering.records import (
    AlertKind,
    GrantStatus,
    HoldRejectReason,
    HoldStatus,
    Kind,
    OnEmpty,
    Output,
    Record,
)
from metering.store import ACCOUNT, CLAIM, COMMAND_ID, EVENT, HOLD, account_prefix

BEGINNING: Final = -(2**63)
"""The stream time of an account that has accepted nothing yet (ms)."""


class Account:
    """Live state of one account, changed in place by the state machine and written back as one row.

    ``stream_time``: greatest time of any accepted command (ms). ``floor``: no event before it can be accepted any more
    (ms); it only rises, so that a widened accept_window never reaches behind ids that are already forgotten.
    """

    __slots__ = (
        "account_id", "alert_below", "arrivals", "balances", "claim_prefix", "event_prefix", "floor", "hold_prefix",
        "holds", "id_prefix", "key", "next_expiry", "on_empty", "plan", "stream_time", "swept_at",
    )  # fmt: skip

    def __init__(self, account_id: str, packed: list[Any] | None = None) -> None:
        prefix = account_prefix(account_id)
        self.account_id = account_id
        self.key = ACCOUNT + prefix
        self.event_prefix = EVENT + prefix
        self.hold_prefix = HOLD + prefix
        self.claim_prefix = CLAIM + prefix
        self.id_prefix = COMMAND_ID + prefix
        row = packed or [BEGINNING, BEGINNING, BEGINNING, None, OnEmpty.ALLOW.value, {}, 0, {}]
        self.stream_time: int = row[0]
        self.floor: int = row[1]
        self.swept_at: int = row[2]
        self.plan: list[Any] | None = row[3]
        self.on_empty: str = row[4]
        self.alert_below: dict[str, int] = row[5]
        self.arrivals: int = row[6]
        self.balances = {name: Balance.unpacked(packed_balance) for name, packed_balance in row[7].items()}
        self.next_expiry = self._soonest_expiry()
        self.holds = OpenHolds.unpacked(row[8]) if len(row) > 8 else OpenHolds()

    def packed(self) -> list[Any]:
        """The row that `Account` reads back.

        stream_time, floor, swept_at, plan, on_empty, alert_below, arrivals, balances, open holds. A row of the first
        format has no holds.
        """
        balances = {name: balance.packed() for name, balance in self.balances.items()}
        return [
            self.stream_time, self.floor, self.swept_at, self.plan, self.on_empty, self.alert_below, self.arrivals,
            balances, self.holds.packed() if self.holds.by_id else [],
        ]  # fmt: skip

    def horizon(self, accept_window: int, stream_time: int | None = None) -> int:
        """Events before this time (ms) are too late, and their ids forgotten."""
        return max(self.floor, (self.stream_time if stream_time is None else stream_time) - accept_window)

    def balance(self, credit_type: str) -> Balance:
        kept = self.balances.get(credit_type)
        if kept is None:
            kept = self.balances[credit_type] = Balance.empty()
        return kept

    def amount(self, credit_type: str) -> int:
        """The balance in credits; 0 for a credit type never seen."""
        kept = self.balances.get(credit_type)
        return 0 if kept is None else kept.amount

    def debt(self, credit_type: str) -> int:
        """Credits that no grant covered, of one credit type."""
        kept = self.balances.get(credit_type)
        return 0 if kept is None else kept.debt

    def open_grants(self, credit_type: str) -> int:
        """How many grants of the credit type are open, used up or not."""
        kept = self.balances.get(credit_type)
        return 0 if kept is None else len(kept.grants)

    def amount_at(self, credit_type: str, at: int) -> int:
        """The balance as it will be when stream time has reached ``at`` (ms): without the grants over by then."""
        kept = self.balances.get(credit_type)
        if kept is None:
            return 0
        if self.next_expiry > at:  # then no grant is over by then
            return kept.amount
        return kept.open_after(max(at, self.stream_time)) - kept.debt

    def available(self, credit_type: str) -> int:
        """The balance less what open holds set aside, in credits (SPEC 11)."""
        return self.amount(credit_type) - self.holds.set_aside.get(credit_type, 0)

    def available_at(self, credit_type: str, at: int, recorded_at: int) -> int:
        """`available` without the grants and the holds that are over by then.

        As accepting a command of time ``at`` leaves it that is recorded at ``recorded_at`` (ms).
        """
        return self.amount_at(credit_type, at) - self.holds.set_aside_at(credit_type, recorded_at)

    def plan_for(self, occurred_at: int, named: str | None) -> tuple[str | None, int | None]:
        """(name of the plan that counts for an event, start of the plan whose prices may be locked, in ms).

        The account's plan counts while started_at <= occurred_at < ends_at. A plan that the event names overrides its
        name, and where it is another one there is no start to lock to.
        """
        plan = self.plan
        if plan is None or occurred_at < plan[1] or (plan[2] is not None and occurred_at >= plan[2]):
            return named, None
        if named is None or named == plan[0]:
            return plan[0], plan[1]
        return named, None

    def advance(self, at: int, accept_window: int, recorded_at: int) -> list[Output]:
        """What accepting any command does first: moves stream time to its own time ``at`` (never back).

        Then it forfeits the grants that are over by then, and ends the holds that are over by the log's clock, which
        stands at ``recorded_at`` (ms).
        """
        self.stream_time = max(self.stream_time, at)
        self.floor = max(self.floor, self.stream_time - accept_window)
        outputs = self.expire() if self.next_expiry <= self.stream_time else []
        if self.holds.next_expiry <= recorded_at:
            outputs += self.expire_holds(recorded_at, at)
        return outputs

    def expire_holds(self, recorded_at: int, at: int) -> list[Output]:
        """Ends holds with ``expires_at`` <= ``recorded_at``, in order of expiry, then arrival.

        ``at`` is the own time (ms) of the command that was accepted.
        """
        outputs = []
        for hold in self.holds.over(recorded_at):
            self.holds.close(hold)
            outputs.append(self.hold_output(hold, HoldStatus.EXPIRED, at))
        return outputs

    def expire(self) -> list[Output]:
        """Forfeits grants with ``expires_at <= stream_time``, in order of expiry, then arrival."""
        over = [
            (grant.order, credit_type, grant)
            for credit_type, balance in self.balances.items()
            for grant in balance.grants
            if grant.expires_at is not None and grant.expires_at <= self.stream_time
        ]
        outputs: list[Output] = []
        for _, credit_type, grant in sorted(over, key=lambda item: item[0]):
            balance = self.balances[credit_type]
            balance.grants.remove(grant)
            balance.amount -= grant.left
            if grant.left:
                outputs.append(self.grant_output(grant, credit_type, GrantStatus.EXPIRED, grant.left, self.stream_time))
        self.next_expiry = self._soonest_expiry()
        return outputs

    def open_grant(
        self, credit_type: str, grant_id: str, credits_: int, expires_at: int | None, reason: str
    ) -> OpenGrant:
        """Adds a grant in arrival order and fills debt from it; returns the open grant with what is left."""
        grant = OpenGrant(expires_at, self.arrivals, grant_id, credits_, reason, BEGINNING)
        self.arrivals += 1
        self.balance(credit_type).add(grant)
        if expires_at is not None and expires_at < self.next_expiry:
            self.next_expiry = expires_at
        return grant

    def grant_output(
        self, grant: OpenGrant, credit_type: str, status: GrantStatus, credits_: int, changed_at: int
    ) -> Output:
        record: Record = {
            "grant_id": grant.grant_id,
            "account_id": self.account_id,
            "credit_type": credit_type,
            "status": status,
            "credits": credits_,
            "expires_at": grant.expires_at,
            "balance_after": self.amount(credit_type),
            "reason": grant.reason,
            "changed_at": changed_at,
        }
        return Output(Kind.GRANT, record)

    def hold_output(
        self,
        hold: Hold,
        status: HoldStatus,
        at: int,
        *,
        event_id: str | None = None,
        reject_reason: HoldRejectReason | None = None,
    ) -> Output:
        """A change of a hold, made already; ``at`` is the own time (ms) of the command that caused it."""
        record: Record = {
            "hold_id": hold.hold_id,
            "account_id": self.account_id,
            "status": status,
            "credits": dict(hold.credits),
            "charged": dict(hold.charged),
            "available_after": {name: self.available(name) for name in hold.credits},
            "event_id": event_id,
            "reject_reason": reject_reason,
            "expires_at": hold.expires_at,
            "at": at,
            "reason": hold.reason,
        }
        return Output(Kind.HOLD, record)

    def amounts(self) -> dict[str, int]:
        """Every balance by credit type, to compare after a command."""
        return {name: balance.amount for name, balance in self.balances.items()}

    def alerts(self, before: dict[str, int], at: int) -> list[Output]:
        """Crossings between the balances ``before`` a command and now, credit types in order of name."""
        outputs = []
        balances = self.balances
        for credit_type in sorted(balances) if len(balances) > 1 else balances:
            was, now = before.get(credit_type, 0), balances[credit_type].amount
            if now >= was:
                continue
            mark = self.alert_below.get(credit_type)
            if mark is not None and was >= mark > now:
                outputs.append(self._alert(AlertKind.BELOW, credit_type, mark, now, at))
            if was > 0 >= now:
                outputs.append(self._alert(AlertKind.EMPTY, credit_type, None, now, at))
        return outputs

    def _alert(self, kind: AlertKind, credit_type: str, mark: int | None, balance: int, at: int) -> Output:
        record: Record = {
            "account_id": self.account_id,
            "kind": kind,
            "credit_type": credit_type,
            "mark": mark,
            "balance": balance,
            "at": at,
        }
        return Output(Kind.ALERT, record)

    def _soonest_expiry(self) -> int:
        return min(
            (g.expires_at for b in self.balances.values() for g in b.grants if g.expires_at is not None), default=NEVER
        )

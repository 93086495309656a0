"""Refunds: give back what is left of a charge, once, and release its claim when nothing is left."""

from __future__ import annotations

from typing import Any, NamedTuple

from metering.account import Account
from metering.claims import release_claim
from metering.records import (
    MAX_LONG,
    REFUND_GRANT_PREFIX,
    Kind,
    Output,
    Record,
    RefundStatus,
    RejectReason,
)
from metering.state import State
from metering.store import Value

# A charged line as `charging` noted it: [line, charge, credit_type, credits, returned, uses, claim]
LINE, CHARGE, CREDIT_TYPE, CREDITS, RETURNED, USES, CLAIM = range(7)
ChargedLine = list[Any]


class RefundPlan(NamedTuple):
    """The decision about a refund request: the credits to return of each line, or the reason why it is rejected."""

    occurred_at: int
    lines: list[ChargedLine]
    parts: list[tuple[ChargedLine, int]]
    reject_reason: RejectReason | None


def plan_refund(state: State, account: Account, request: Record) -> RefundPlan:
    """Decides a request against what the account still remembers at the request's time; changes nothing."""
    event = state.get(account.event_prefix + request["event_id"].encode())
    stream_time = max(account.stream_time, request["requested_at"])
    if event is None or event[0] < account.horizon(state.accept_window, stream_time):
        return RefundPlan(0, [], [], RejectReason.UNKNOWN_CHARGE)
    lines: list[ChargedLine] = [list(line) for line in event[1]] if len(event) > 1 else []
    wanted = [line for line in lines if request["charge"] is None or line[CHARGE] == request["charge"]]
    amount = request["credits"]
    reason: RejectReason | None = None
    if not wanted:
        reason = RejectReason.NOTHING_CHARGED
    elif amount is not None and request["charge"] is None and len(wanted) > 1:
        reason = RejectReason.CHARGE_REQUIRED
    else:
        left = sum(line[CREDITS] - line[RETURNED] for line in wanted)
        if left == 0 or (amount is not None and amount > left):
            reason = RejectReason.EXCEEDS_CHARGE
    parts = [(line, line[CREDITS] - line[RETURNED] if amount is None else amount) for line in wanted]
    return RefundPlan(event[0], lines, [] if reason else [(line, part) for line, part in parts if part], reason)


def apply_refund(state: State, account: Account, request: Record, plan: RefundPlan) -> list[Output]:
    """Carries out an accepted request whose stream time has moved already; one output a line, or one rejection."""
    if plan.reject_reason is not None:
        return [_rejected(request, plan.reject_reason)]
    outputs = [_refund_line(state, account, request, line, part, plan.occurred_at) for line, part in plan.parts]
    key = account.event_prefix + request["event_id"].encode()
    kept = state.get(key)
    state.put(key, [plan.occurred_at, plan.lines, *(kept[2:] if kept else ())])
    return outputs


def refund_overflows(account: Account, request: Record, plan: RefundPlan) -> bool:
    """Whether the refund would lift a balance beyond what a long holds."""
    returned: dict[str, int] = {}
    for line, part in plan.parts:
        returned[line[CREDIT_TYPE]] = returned.get(line[CREDIT_TYPE], 0) + part
    at = request["requested_at"]
    return any(account.amount_at(name, at) + credits_ > MAX_LONG for name, credits_ in returned.items())


def _refund_line(
    state: State, account: Account, request: Record, line: ChargedLine, part: int, occurred_at: int
) -> Output:
    credit_type: str = line[CREDIT_TYPE]
    balance = account.balance(credit_type)
    forfeited, unplaced, line[USES] = balance.give_back(part, line[USES])
    if unplaced:
        _grant_back(account, credit_type, REFUND_GRANT_PREFIX + request["refund_id"], unplaced, request["reason"])
    line[RETURNED] += part
    remaining = line[CREDITS] - line[RETURNED]
    if remaining == 0 and line[CLAIM] is not None:
        release_claim(state, account, line[CLAIM], request["event_id"], occurred_at)
    record = {
        "refund_id": request["refund_id"],
        "account_id": account.account_id,
        "event_id": request["event_id"],
        "line": line[LINE],
        "charge": line[CHARGE],
        "status": RefundStatus.REFUNDED,
        "reject_reason": None,
        "credits": part,
        "forfeited": forfeited,
        "credit_type": credit_type,
        "remaining_charge": remaining,
        "balance_after": balance.amount,
        "reason": request["reason"],
        "requested_at": request["requested_at"],
        "occurred_at": occurred_at,
    }
    return Output(Kind.REFUND, record)


def _grant_back(account: Account, credit_type: str, grant_id: str, credits_: int, reason: str) -> None:
    """Adds to the refund's own grant: one for a refund and credit type, without expiry and without an output."""
    grant = account.balance(credit_type).find(grant_id)
    if grant is None:
        account.open_grant(credit_type, grant_id, credits_, None, reason)
    else:
        grant.left += credits_
        account.balance(credit_type).amount += credits_


def _rejected(request: Record, reason: RejectReason) -> Output:
    record = {
        "refund_id": request["refund_id"],
        "account_id": request["account_id"],
        "event_id": request["event_id"],
        "line": None,
        "charge": request["charge"],
        "status": RefundStatus.REJECTED,
        "reject_reason": reason,
        "credits": 0,
        "forfeited": 0,
        "credit_type": None,
        "remaining_charge": None,
        "balance_after": None,
        "reason": request["reason"],
        "requested_at": request["requested_at"],
        "occurred_at": None,
    }
    return Output(Kind.REFUND, record)


def left_of_charge(event: Value | None, charge: str) -> int:
    """Credits of one charge that an event's row still lists as paid, refunds taken off; 0 where nothing is listed."""
    lines = event[1] if event is not None and len(event) > 1 else ()
    return sum(line[CREDITS] - line[RETURNED] for line in lines if line[CHARGE] == charge)

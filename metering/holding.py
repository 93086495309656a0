"""Decides holds, expires those that are over, and draws on the hold that an event names (SPEC 11)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from metering.account import Account
from metering.holds import Hold
from metering.records import (
    MAX_LONG,
    Command,
    DeadLetterReason,
    HoldRejectReason,
    HoldStatus,
    OnEmpty,
    Output,
    Record,
    dead_letter,
    repeated,
)
from metering.state import State

MAX_OPEN_HOLDS = 10_000
"""Open holds of one account: its row keeps them, and memory has to stay bounded."""

_REJECT: Final = OnEmpty.REJECT.value


def apply_hold(
    state: State, record: Record, recorded_at: int, offset: int | None, digest: bytes | None
) -> list[Output]:
    """Decides a hold whose fields and time are right: held, or rejected; or a dead letter, or a repeat.

    Order: too late, repeated, too many, beyond a long; then what has expired, its own output, and its expiry where it
    is over on arrival. Dead letters and repeats change no state.
    """
    account = state.account(record["account_id"])
    held_at: int = record["held_at"]
    horizon = account.horizon(state.accept_window)
    if held_at < horizon:
        return [dead_letter(DeadLetterReason.TOO_LATE, None, Command.HOLD, record)]
    hold_id: str = record["hold_id"]
    key = account.hold_prefix + hold_id.encode()
    known = state.get(key)
    if known is not None and (known[0] >= horizon or hold_id in account.holds.by_id):
        return [repeated(Command.HOLD, account.account_id, hold_id, None, digest, known[1:])]
    if account.holds.count_at(recorded_at) >= MAX_OPEN_HOLDS:
        return [dead_letter(DeadLetterReason.INVALID_EVENT, "hold_id", Command.HOLD, record)]
    available = {name: account.available_at(name, held_at, recorded_at) for name in record["credits"]}
    is_rejected = account.on_empty == _REJECT and any(
        amount > available[name] for name, amount in record["credits"].items()
    )
    if not is_rejected and any(available[name] - amount < -MAX_LONG - 1 for name, amount in record["credits"].items()):
        return [dead_letter(DeadLetterReason.INVALID_EVENT, "credits", Command.HOLD, record)]

    state.touch(account.account_id)
    state.put(key, [held_at, offset, None, digest])
    before = account.amounts()
    outputs = account.advance(held_at, state.accept_window, recorded_at)
    outputs.append(_open(account, record, is_rejected=is_rejected))
    if not is_rejected and record["expires_at"] <= recorded_at:
        outputs += account.expire_holds(recorded_at, held_at)
    outputs += account.alerts(before, held_at)
    return outputs


def draw_on_hold(account: Account, hold: Hold, charged: Mapping[str, int], event: Record) -> Output:
    """What an accepted event does to the open hold that it names; `charged`: what it was charged, by credit type."""
    account.holds.draw(hold, charged)
    if event["keeps_hold"]:
        status = HoldStatus.DRAWN
    else:
        account.holds.close(hold)
        status = HoldStatus.SETTLED if hold.charged else HoldStatus.RELEASED
    return account.hold_output(hold, status, event["occurred_at"], event_id=event["event_id"])


def is_beyond_hold(
    account: Account, costs: Mapping[str, int], hold: Hold | None, stream_time: int, recorded_at: int
) -> bool:
    """Whether an event's costs, less what its hold sets aside, exceed what is available of any of their credit types.

    Times (ms) are the stream time that accepting the event leaves, and that of its log record. What was set aside can
    always be charged, even where grants have expired since and less than nothing is available.
    """
    for credit_type, cost in costs.items():
        excess = cost if hold is None else cost - hold.remaining.get(credit_type, 0)
        if excess > 0 and excess > account.available_at(credit_type, stream_time, recorded_at):
            return True
    return False


def takes_beyond_long(
    account: Account, costs: Mapping[str, int], hold: Hold | None, event: Record, stream_time: int, recorded_at: int
) -> bool:
    """Whether charging ``costs`` would take a balance, what is available, or a hold's sum beyond what a long holds."""
    balances = account.balances
    for credit_type, cost in costs.items():
        balance = balances.get(credit_type)
        debt = 0 if balance is None else balance.debt
        # What is set aside may come on top of the debt; with neither near the end of a long nothing is added up.
        if debt + cost > _NEAR_THE_END:
            set_aside = account.holds.set_aside_at(credit_type, recorded_at)
            if hold is not None:
                left = hold.remaining.get(credit_type, 0)
                set_aside -= min(left, cost) if event["keeps_hold"] else left
            if account.amount_at(credit_type, stream_time) - cost - set_aside < -MAX_LONG - 1:
                return True
        if hold is not None and hold.charged.get(credit_type, 0) + cost > MAX_LONG:
            return True
    return False


_NEAR_THE_END: Final = MAX_LONG // 2
"""Credits. Open holds of an account cannot set aside more than 10,000 times 10^12 of a type, far less than this."""


def _open(account: Account, record: Record, *, is_rejected: bool) -> Output:
    credits_: dict[str, int] = dict(record["credits"])
    hold = Hold(record["hold_id"], credits_, credits_, {}, record["expires_at"], account.arrivals, record["reason"])
    if is_rejected:
        reason = HoldRejectReason.INSUFFICIENT_CREDITS
        return account.hold_output(hold, HoldStatus.REJECTED, record["held_at"], reject_reason=reason)
    account.arrivals += 1
    account.holds.add(hold)
    return account.hold_output(hold, HoldStatus.HELD, record["held_at"])

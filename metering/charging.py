"""Request events: which charges apply, what each costs, and what is written down about it.

The order of decisions is the order of this file: fields, time, repeats, outcome, price, each charge, then the balance
and the hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, final

from metering.account import Account
from metering.book import Charge, Version
from metering.claims import Owner, claim_key, make_claim, owner_of
from metering.holding import draw_on_hold, is_beyond_hold, takes_beyond_long
from metering.records import (
    Command,
    DeadLetterReason,
    Decision,
    GrantUse,
    Kind,
    OnEmpty,
    Outcome,
    Output,
    Record,
    blank_line,
    dead_letter,
    repeated,
)
from metering.state import State
from metering.validation import check_event

# Looked up once: on Python 3.11 getting a member of an enum takes as long as calling a function.
_BILLED: Final = Kind.BILLED
_CHARGED: Final = Decision.CHARGED
_DUPLICATE: Final = Decision.DUPLICATE
_PROCESSED: Final = Outcome.PROCESSED.value
_REJECT: Final = OnEmpty.REJECT.value

_BLANK: Final = blank_line()


@final
class Line:
    """One charge for one event as decided, before any balance has moved. ``cost`` in credits; 0 unless it costs.

    A line that is to make a claim has the tail of its key, and the owners found under that key.
    """

    __slots__ = (
        "charge", "claim", "cost", "decision", "owner_event_id", "owners", "unit_credits", "units", "window_ends_at",
    )  # fmt: skip

    def __init__(
        self,
        charge: Charge | None,
        decision: Decision,
        units: int = 0,
        unit_credits: int = 0,
        cost: int = 0,
        owner_event_id: str | None = None,
        window_ends_at: int | None = None,
        claim: bytes | None = None,
        owners: Sequence[Owner] = (),
    ) -> None:
        self.charge = charge
        self.decision = decision
        self.units = units
        self.unit_credits = unit_credits
        self.cost = cost
        self.owner_event_id = owner_event_id
        self.window_ends_at = window_ends_at
        self.claim = claim
        self.owners = owners


NOT_BILLABLE: Final = Line(None, Decision.NOT_BILLABLE)
UNPRICED: Final = Line(None, Decision.UNPRICED)


def apply_request(
    state: State, event: Record, recorded_at: int, offset: int | None, index: int | None, digest: bytes | None
) -> list[Output]:
    """Decides one request event; returns its lines and its hold's change, or one dead letter, or one repeat.

    Dead letters and repeats change no state. Arguments as those of `machine.apply`.
    """
    bad = check_event(event)
    if bad is not None:
        return [dead_letter(DeadLetterReason.INVALID_EVENT, bad, Command.REQUEST, event)]
    occurred_at: int = event["occurred_at"]
    if occurred_at > recorded_at + state.future_skew:
        return [dead_letter(DeadLetterReason.IN_FUTURE, None, Command.REQUEST, event)]
    account = state.account(event["account_id"])
    horizon = account.horizon(state.accept_window)
    if occurred_at < horizon:
        return [dead_letter(DeadLetterReason.TOO_LATE, None, Command.REQUEST, event)]
    event_id: str = event["event_id"]
    key = account.event_prefix + event_id.encode()
    known = state.get(key)
    if known is not None and known[0] >= horizon:
        return [repeated(Command.REQUEST, account.account_id, event_id, index, digest, known[2:])]

    plan, locked_to = account.plan_for(occurred_at, event["plan"])
    version, lines = _decide(state, account, event, plan, locked_to)
    costs = _costs(lines)
    stream_time = max(account.stream_time, occurred_at)
    hold_id = event["hold_id"]
    hold = None if hold_id is None else account.holds.open_at(hold_id, recorded_at)
    if costs and account.on_empty == _REJECT and is_beyond_hold(account, costs, hold, stream_time, recorded_at):
        lines = [_refused(line) if line.cost else line for line in lines]
        costs = {}
    elif costs and takes_beyond_long(account, costs, hold, event, stream_time, recorded_at):
        return [dead_letter(DeadLetterReason.INVALID_EVENT, "quantities", Command.REQUEST, event)]

    state.touch(account.account_id)
    moves_credits = bool(costs) or account.next_expiry <= stream_time
    before = account.amounts() if moves_credits else {}
    outputs = account.advance(occurred_at, state.accept_window, recorded_at)
    charged: list[list[object]] = []
    # Every line begins as the event does, with the fields of a line still empty.
    common = _BLANK | event
    del common["keeps_hold"]
    if hold_id is not None and hold is None:
        common["hold_id"] = None
    common["plan"] = plan
    common["price_version"] = None if version is None else version.version
    for number, line in enumerate(lines):
        used: list[GrantUse] = []
        if line.cost:
            used = _charge(state, account, event, number, line, charged)
        outputs.append(Output(_BILLED, _billed(common, number, line, account, used)))
    state.put(key, [occurred_at, charged, offset, index, digest])
    if hold is not None:
        outputs.append(draw_on_hold(account, hold, costs, event))
    if moves_credits:
        outputs.extend(account.alerts(before, occurred_at))
    return outputs


def _decide(
    state: State, account: Account, event: Record, plan: str | None, locked_to: int | None
) -> tuple[Version | None, list[Line]]:
    """The lines of an accepted event, and the version that priced it."""
    if event["outcome"] != _PROCESSED:
        return None, [NOT_BILLABLE]
    book = state.book
    version = book.version_for(event["occurred_at"], locked_to) if book is not None else None
    if book is None or version is None:
        return None, [UNPRICED]
    pairs = book.matching(version, event["endpoint"], event["channel"], plan, event["attributes"])
    if not pairs:
        return None, [UNPRICED]
    return version, [_price(state, account, event, charge, unit_credits) for charge, unit_credits in pairs]


def _price(state: State, account: Account, event: Record, charge: Charge, unit_credits: int) -> Line:
    quantities: dict[str, int] = event["quantities"]
    units = 1 if charge.per is None else quantities.get(charge.per, 0)
    if units == 0:
        return Line(charge, Decision.NOTHING_FOUND, units, unit_credits)
    if unit_credits == 0:
        return Line(charge, Decision.FREE, units, unit_credits)
    unique = charge.unique
    if unique is None:
        return Line(charge, _CHARGED, units, unit_credits, units * unit_credits)
    tail = claim_key(charge, unique, event)
    if tail is None:
        return Line(charge, Decision.MISSING_SUBJECT, units, unit_credits)
    occurred_at: int = event["occurred_at"]
    owners: Sequence[Owner] = state.get(account.claim_prefix + tail) or ()
    if owners:
        stream_time = max(account.stream_time, occurred_at)
        owner = owner_of(owners, unique.window, occurred_at, account.horizon(state.accept_window, stream_time))
        if owner is not None:
            ends_at = unique.window.ends_at(owner[0])
            return Line(charge, _DUPLICATE, units, unit_credits, 0, owner[1], ends_at)
    ends_at = unique.window.ends_at(occurred_at)
    return Line(charge, _CHARGED, units, unit_credits, units * unit_credits, None, ends_at, tail, owners)


def _costs(lines: list[Line]) -> dict[str, int]:
    """What the event would cost, by credit type."""
    costs: dict[str, int] = {}
    for line in lines:
        if line.cost and line.charge is not None:
            credit_type = line.charge.credit_type
            costs[credit_type] = costs.get(credit_type, 0) + line.cost
    return costs


def _refused(line: Line) -> Line:
    return Line(line.charge, Decision.INSUFFICIENT_CREDITS, line.units, line.unit_credits)


def _charge(
    state: State, account: Account, event: Record, number: int, line: Line, charged: list[list[object]]
) -> list[GrantUse]:
    """Takes the cost from the balance, makes the claim, and notes in ``charged`` what a refund will need."""
    charge = line.charge
    if charge is None:
        raise RuntimeError(f"line {number} of event {event['event_id']!r} costs {line.cost} credits without a charge")
    occurred_at = event["occurred_at"]
    used = account.balance(charge.credit_type).charge(line.cost, occurred_at)
    if line.claim is not None and charge.unique is not None:
        key = account.claim_prefix + line.claim
        # Stream time has moved to this event, so that the floor is the horizon.
        make_claim(state, key, line.owners, event["event_id"], occurred_at, charge.unique.window, account.floor)
    uses = [[use["grant_id"], use["credits"], 0] for use in used]
    charged.append([number, charge.charge, charge.credit_type, line.cost, 0, uses, line.claim])
    return used


def _billed(common: Record, number: int, line: Line, account: Account, used: list[GrantUse]) -> Record:
    record = common.copy()
    record["line"] = number
    record["decision"] = line.decision
    charge = line.charge
    if charge is not None:
        record["charge"] = charge.charge
        record["feature"] = charge.feature
        record["action"] = charge.action
        record["credit_type"] = charge.credit_type
        record["balance_after"] = account.amount(charge.credit_type)
    record["units"] = line.units
    record["unit_credits"] = line.unit_credits
    record["credits"] = line.cost
    if line.window_ends_at is not None:
        record["window_ends_at"] = line.window_ends_at
    if line.owner_event_id is not None:
        record["owner_event_id"] = line.owner_event_id
    record["grants_used"] = used
    return record

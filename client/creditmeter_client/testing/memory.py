"""A small meter in memory, with the promises of the real one that an application can notice, and no others.

Ids are counted once, a first content stays, prices by endpoint, subjects charged once, balances, holds, refunds. No
windows, no plans, no grants that end, no clock.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from creditmeter_client.errors import MeterUnavailable, RequestRefused
from creditmeter_client.results import (
    Decision,
    DecisionStatus,
    Delivery,
    DeliveryStatus,
    Estimate,
    Hold,
    HoldStatus,
    Line,
)
from creditmeter_client.transport import HoldRequest
from creditmeter_client.usage import Command, Event, Outcome, Refund


@dataclass(frozen=True)
class Price:
    """What an endpoint costs. `per`: request, or a quantity's name. `unique`: charged once for these fields' values."""

    credits: int
    per: str = "request"
    credit_type: str = "credit"
    charge: str | None = None
    unique: tuple[str, ...] = ()


@dataclass
class _OpenHold:
    account_id: str
    left: dict[str, int]


class MemoryTransport:
    """A log, its prices and its accounts.

    `prices` by endpoint; an endpoint may have several. An account that is in `balances` is refused what it can't pay;
    any other may run into debt.

    Set `available` to False, and it is away; set `decides` to False, and decisions stay pending.
    """

    def __init__(
        self,
        prices: Mapping[str, Price | Sequence[Price]] | None = None,
        balances: Mapping[str, Mapping[str, int]] | None = None,
    ) -> None:
        self.available = True
        self.decides = True
        self.log: list[Command] = []
        """Every command that was accepted, once, in order."""
        self.received = 0
        """Commands that arrived, repeats included."""
        self._prices = {
            endpoint: (price,) if isinstance(price, Price) else tuple(price)
            for endpoint, price in (prices or {}).items()
        }
        self._rejecting = set(balances or {})
        self._balances = {account: dict(amounts) for account, amounts in (balances or {}).items()}
        self._decisions: dict[tuple[str, str], Decision] = {}
        self._refunds: set[tuple[str, str]] = set()
        self._holds: dict[str, _OpenHold] = {}
        self._claims: dict[tuple[Any, ...], str] = {}
        self._lock = threading.RLock()

    # -- what tests look at

    @property
    def events(self) -> list[Event]:
        """The accepted events, in order."""
        return [command for command in self.log if isinstance(command, Event)]

    def decision(self, event_id: str, account_id: str) -> Decision:
        """What an accepted event cost. Raises KeyError for another."""
        return self._decisions[account_id, event_id]

    def charged(self, account_id: str) -> int:
        """Credits charged so far, refunds not counted."""
        with self._lock:
            return sum(
                line.credits for (account, _), one in self._decisions.items() if account == account_id
                for line in one.lines
            )  # fmt: skip

    def balance(self, account_id: str, credit_type: str = "credit") -> int:
        return self._balances.get(account_id, {}).get(credit_type, 0)

    def grant(self, account_id: str, credits_: int, credit_type: str = "credit") -> None:
        """Gives credits; from then on the account is refused what it can't pay."""
        with self._lock:
            self._rejecting.add(account_id)
            self._add(account_id, credit_type, credits_)

    def open_holds(self) -> list[str]:
        return list(self._holds)

    # -- EventTransport

    def send(self, commands: Sequence[Command]) -> list[Delivery]:
        with self._lock:
            self._be_there()
            return [self._store(command) for command in commands]

    # -- Questions

    def decide(self, events: Sequence[Event], wait: float) -> list[Decision]:  # noqa: ARG002 -- decides at once
        with self._lock:
            self._be_there()
            decisions = []
            for event in events:
                receipt = self._store(event).receipt
                decision = self._decisions[event.account_id, event.event_id]
                undecided = Decision(event.event_id, DecisionStatus.PENDING, receipt=receipt)
                decisions.append(decision if self.decides else undecided)
            return decisions

    def hold(self, hold_id: str, account_id: str, request: HoldRequest, wait: float) -> Hold:  # noqa: ARG002
        with self._lock:
            self._be_there()
            if not self.decides:
                return Hold(hold_id, account_id, HoldStatus.PENDING)
            wanted = dict(request.credits or {}) if request.event is None else self._most(request.event)
            available = {name: self._available(account_id, name) for name in wanted}
            short = any(wanted[name] > available[name] for name in wanted)
            if account_id in self._rejecting and short:
                return Hold(hold_id, account_id, HoldStatus.REJECTED, wanted, wanted, available)
            self._holds[hold_id] = _OpenHold(account_id, wanted)
            return Hold(hold_id, account_id, HoldStatus.HELD, wanted)

    def release(self, account_id: str, hold_id: str) -> None:
        with self._lock:
            self._be_there()
            hold = self._holds.get(hold_id)
            if hold is None or hold.account_id != account_id:
                raise RequestRefused(404, "there is no such hold")
            del self._holds[hold_id]

    def estimate(self, account_id: str, events: Sequence[Event]) -> Estimate:
        with self._lock:
            self._be_there()
            twin = MemoryTransport()
            twin._prices, twin._rejecting = self._prices, self._rejecting
            twin._balances = {account_id: dict(self._balances.get(account_id, {}))}
            twin._claims, twin._decisions = dict(self._claims), dict(self._decisions)
            twin._holds = {name: _OpenHold(hold.account_id, dict(hold.left)) for name, hold in self._holds.items()}
            new = [event for event in events if (event.account_id, event.event_id) not in self._decisions]
            decisions = twin.decide(new, 0.0)
            lines = [line for decision in decisions for line in decision.lines]
            refused = sum(decision.insufficient for decision in decisions)
            amounts = _summed({line.credit_type: line.credits} for line in lines if line.credit_type is not None)
            return Estimate(account_id, amounts, not refused, refused)

    def account(self, account_id: str) -> Mapping[str, Any]:
        with self._lock:
            self._be_there()
            balances = self._balances.get(account_id, {})
            return {"account_id": account_id, "credits": {name: {"balance": n} for name, n in balances.items()}}

    def usage(self, account_id: str, filters: Mapping[str, str]) -> Iterator[Mapping[str, Any]]:
        with self._lock:
            self._be_there()
            rows = [
                {**event.fields, "decision": line.decision, "charge": line.charge, "credits": line.credits}
                for event in reversed(self.events)
                if event.account_id == account_id
                for line in self._decisions[account_id, event.event_id].lines
            ]
        return (row for row in rows if all(str(row.get(name)) == text for name, text in filters.items()))

    def after_fork(self) -> None:
        self._lock = threading.RLock()

    def close(self) -> None:
        """There is nothing to close."""

    # -- deciding

    def _be_there(self) -> None:
        if not self.available:
            raise MeterUnavailable("the in-memory meter was told to be away")

    def _store(self, command: Command) -> Delivery:
        self.received += 1
        if isinstance(command, Refund):
            return self._store_refund(command)
        key = command.account_id, command.event_id
        if key not in self._decisions:
            self._decisions[key] = self._decided(command)
            self.log.append(command)
        return Delivery(DeliveryStatus.STORED, self._decisions[key].receipt)

    def _store_refund(self, refund: Refund) -> Delivery:
        if (refund.account_id, refund.refund_id) not in self._refunds:
            self._refunds.add((refund.account_id, refund.refund_id))
            decision = self._decisions.get((refund.account_id, str(refund.fields["event_id"])))
            for line in decision.lines if decision is not None else ():
                if line.credit_type is not None:
                    self._add(refund.account_id, line.credit_type, line.credits)
            self.log.append(refund)
        return Delivery(DeliveryStatus.STORED, f"memory.0.{len(self.log)}.0")

    def _decided(self, event: Event) -> Decision:
        receipt = f"memory.0.{len(self.log)}.0"
        hold = self._holds.pop(str(event.fields.get("hold_id")), None)
        left = hold.left if hold is not None else {}
        if event.fields.get("outcome") != Outcome.PROCESSED.value:
            return Decision(event.event_id, DecisionStatus.DECIDED, (Line("not_billable"),), receipt)
        prices = self._prices.get(str(event.fields["endpoint"]), ())
        drafts = [self._draft(event, price) for price in prices]
        costs = _summed({line.credit_type or "": line.credits} for line in drafts)
        insufficient = event.account_id in self._rejecting and any(
            cost > self._available(event.account_id, name) + left.get(name, 0) for name, cost in costs.items()
        )
        lines = [self._line(event, line, price, insufficient) for line, price in zip(drafts, prices, strict=True)]
        return Decision(event.event_id, DecisionStatus.DECIDED, tuple(lines) or (Line("unpriced"),), receipt)

    def _draft(self, event: Event, price: Price) -> Line:
        quantities = event.fields.get("quantities", {})
        units = 1 if price.per == "request" else quantities.get(price.per, 0)
        credits_ = units * price.credits
        decision = "charged" if credits_ else ("free" if units else "nothing_found")
        if credits_ and not all(event.fields.get(name) for name in price.unique):
            return Line("missing_subject", price.charge, price.credit_type, units)
        owner = self._claims.get(_claim(event, price)) if price.unique else None
        if owner is not None and credits_:
            decision, credits_ = "duplicate", 0
        return Line(decision, price.charge, price.credit_type, units, credits_, owner_event_id=owner)

    def _line(self, event: Event, line: Line, price: Price, insufficient: bool) -> Line:
        credits_ = line.credits
        if credits_ and insufficient:
            return Line("insufficient_credits", line.charge, line.credit_type, line.units)
        if credits_:
            self._add(event.account_id, price.credit_type, -credits_)
            if price.unique:
                self._claims[_claim(event, price)] = event.event_id
        balance = self.balance(event.account_id, price.credit_type)
        return Line(line.decision, line.charge, line.credit_type, line.units, credits_, balance, line.owner_event_id)

    def _most(self, event: Event) -> dict[str, int]:
        return _summed(
            {line.credit_type or "": line.credits}
            for line in (self._draft(event, price) for price in self._prices.get(str(event.fields["endpoint"]), ()))
            if line.credits
        )

    def _available(self, account_id: str, credit_type: str) -> int:
        held = sum(hold.left.get(credit_type, 0) for hold in self._holds.values() if hold.account_id == account_id)
        return self.balance(account_id, credit_type) - held

    def _add(self, account_id: str, credit_type: str, credits_: int) -> None:
        balances = self._balances.setdefault(account_id, {})
        balances[credit_type] = balances.get(credit_type, 0) + credits_


def _claim(event: Event, price: Price) -> tuple[Any, ...]:
    return (event.account_id, price.charge, *(event.fields.get(name) for name in price.unique))


def _summed(amounts: Any) -> dict[str, int]:
    total: dict[str, int] = {}
    for some in amounts:
        for name, amount in some.items():
            total[name] = total.get(name, 0) + amount
    return total

"""Counting what a job would cost: its commands applied to a copy of an account's present state.

The copy is a layer over the replayed state; neither Kafka nor the worker's state is written to. What stands in memory
does not grow with the job.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

from application.input.ndjson import BadLine, InputCommand
from metering import State, apply
from metering.account import Account
from metering.records import (
    TIME_FIELD,
    Command,
    DeadLetterReason,
    Decision,
    GrantStatus,
    HoldStatus,
    Kind,
    Output,
    RefundStatus,
)
from metering.store import Store, event_key
from replay.account import AccountReplay
from replay.layered_store import LayeredStore
from schemas.price_book import book_id, read_book

_COMMANDS_BETWEEN_WRITES = 2_000
_DEAD_LETTERS_SHOWN = 5
_BALANCE_FIELDS = (
    "before", "held", "granted", "refunded", "charged", "expired", "after", "lowest", "refused",
)  # fmt: skip


class WrongAccount(Exception):
    """A line of the job is for another account than the estimate; the message says which."""


@dataclass(slots=True)
class Split:
    """An amount or a count by where the earlier event stands that is the reason: in the job itself, or before it."""

    in_job: int = 0
    in_history: int = 0

    def add(self, amount: int, *, of_job: bool) -> None:
        """Add to one side."""
        if of_job:
            self.in_job += amount
        else:
            self.in_history += amount


@dataclass(slots=True)
class ChargeTally:
    """One charge (None: no charge applied) in one credit type. `saved` and `refused` in credits."""

    lines: int = 0
    decisions: Counter[str] = field(default_factory=Counter)
    credits: int = 0
    saved: Split = field(default_factory=Split)
    refused: int = 0


@dataclass(slots=True)
class BalanceTally:
    """One credit type, in credits: before + granted + refunded - charged - expired = after.

    `held` is what open holds set aside before the job. `lowest` is the least that a charge of the job left available
    (the balance less open holds, SPEC 11), None where it charges nothing.
    """

    before: int = 0
    held: int = 0
    after: int = 0
    granted: int = 0
    charged: int = 0
    refunded: int = 0
    expired: int = 0
    refused: int = 0
    lowest: int | None = None

    @property
    def suffices(self) -> bool:
        """Whether every charge is covered: nothing is refused, and nothing becomes debt."""
        return not self.refused and (self.lowest is None or self.lowest >= 0)


@dataclass(slots=True)
class Estimate:
    """What a job would cost. Times in ms."""

    on_empty: str
    stream_time: int | None
    commands: Counter[str] = field(default_factory=Counter)
    charges: dict[tuple[str | None, str | None], ChargeTally] = field(default_factory=dict)
    balances: dict[str, BalanceTally] = field(default_factory=dict)
    repeats: Split = field(default_factory=Split)
    refused_events: int = 0
    rejected_refunds: Counter[str] = field(default_factory=Counter)
    rejected_holds: int = 0
    dead_letters: Counter[str] = field(default_factory=Counter)
    first_dead_letters: list[dict[str, Any]] = field(default_factory=list)
    without_id: int = 0
    horizon: int | None = None

    @property
    def suffices(self) -> bool:
        """Whether what is available covers the whole job, its own holds included."""
        return not self.rejected_holds and all(balance.suffices for balance in self.balances.values())

    def balance(self, credit_type: str) -> BalanceTally:
        """The tally of a credit type, new where it is the first time."""
        return self.balances.setdefault(credit_type, BalanceTally())

    def charges_in_order(self) -> list[tuple[tuple[str | None, str | None], ChargeTally]]:
        """By charge and credit type; what no charge was for comes last."""
        return sorted(self.charges.items(), key=lambda item: (item[0][0] is None, item[0][0] or "", item[0][1] or ""))

    def as_plain(self) -> dict[str, Any]:
        """Everything, for programs. Amounts in credits, times in ms."""
        charges = [
            {
                "charge": charge,
                "credit_type": credit_type,
                "lines": tally.lines,
                "decisions": dict(sorted(tally.decisions.items())),
                "credits": tally.credits,
                "saved": asdict(tally.saved),
                "refused": tally.refused,
            }
            for (charge, credit_type), tally in self.charges_in_order()
        ]
        balances = {
            name: {**{field: getattr(balance, field) for field in _BALANCE_FIELDS}, "suffices": balance.suffices}
            for name, balance in sorted(self.balances.items())
        }
        return {
            "on_empty": self.on_empty,
            "suffices": self.suffices,
            "commands": dict(sorted(self.commands.items())),
            "charges": charges,
            "balances": balances,
            "refused_events": self.refused_events,
            "repeats": asdict(self.repeats),
            "rejected_holds": self.rejected_holds,
            "rejected_refunds": dict(sorted(self.rejected_refunds.items())),
            "dead_letters": dict(sorted(self.dead_letters.items())),
            "first_dead_letters": self.first_dead_letters,
            "without_event_id": self.without_id,
            "stream_time": self.stream_time,
            "horizon": self.horizon,
        }


class Estimator:
    """Applies a job's commands, one after another, and counts what they cause. `replay` stands at the log's end."""

    def __init__(self, replay: AccountReplay, upper: Store, now: int) -> None:
        """`upper` is an empty store that takes what the job changes; `now` in ms, for commands without a time."""
        self._account_id = replay.account_id
        self._history = replay.store
        self._state = State(LayeredStore(replay.store, upper), read_book)
        self._now = now
        self._waiting = 0
        account = self._account
        self.result = Estimate(account.on_empty, account.stream_time if account.stream_time >= 0 else None)
        for name, amount in account.amounts().items():
            self.result.balance(name).before = amount
        for name in account.holds.set_aside:
            self.result.balance(name).held = account.holds.set_aside_at(name, now)

    @property
    def has_prices(self) -> bool:
        """Whether a price book is in force."""
        return self._state.book is not None

    def use_book(self, yaml: str) -> None:
        """Puts another book in force, as if it were published now."""
        record = {"book_id": book_id(yaml), "yaml": yaml, "published_at": self._now}
        apply(self._state, Command.PRICE_BOOK, record, self._now)

    def add(self, command: InputCommand | BadLine) -> None:
        """Counts one line of the job. Raises WrongAccount."""
        if isinstance(command, BadLine):
            self.result.commands["unreadable"] += 1
            self._dead_letter(command.reason, command.field, command.line_number)
            return
        self.result.commands[command.name] += 1
        recorded_at = self._completed(command)
        outputs = apply(self._state, command.name, command.record, recorded_at)
        self._count(outputs, command)
        self._waiting += 1
        if self._waiting >= _COMMANDS_BETWEEN_WRITES:
            self._state.store.write(self._state.changes())
            self._state.commit()
            self._waiting = 0

    def finish(self) -> Estimate:
        """The whole estimate."""
        account = self._account
        for name, amount in account.amounts().items():
            self.result.balance(name).after = amount
        if account.stream_time >= 0:
            self.result.horizon = account.horizon(self._state.accept_window)
        return self.result

    @property
    def _account(self) -> Account:
        return self._state.account(self._account_id)

    def _completed(self, command: InputCommand) -> int:
        """Fills in what a line may leave out (account, time, a request's id); returns its recorded_at."""
        record = command.record
        payer = record.setdefault("account_id", self._account_id)
        if payer != self._account_id:
            raise WrongAccount(
                f"line {command.line_number} is for the account {payer!r}, the estimate for {self._account_id!r}: "
                "estimate each account's commands by themselves"
            )
        if command.name == Command.REQUEST and "event_id" not in record:
            record["event_id"] = f"(line {command.line_number} of the estimate)"
            self.result.without_id += 1
        time_field = TIME_FIELD[Command(command.name)]
        if time_field in record:
            return command.recorded_at
        record[time_field] = self._now
        return command.recorded_at or self._now

    def _count(self, outputs: list[Output], command: InputCommand) -> None:
        is_refused = False
        for kind, record in outputs:
            if kind is Kind.BILLED:
                is_refused |= self._count_line(record)
            elif kind is Kind.GRANT:
                tally = self.result.balance(record["credit_type"])
                if record["status"] == GrantStatus.APPLIED:
                    tally.granted += record["credits"]
                else:
                    tally.expired += record["credits"]
            elif kind is Kind.REFUND:
                self._count_refund(record)
            elif kind is Kind.HOLD:
                self.result.rejected_holds += record["status"] == HoldStatus.REJECTED
            elif kind is Kind.REPEATED:
                of_job = command.name == Command.REQUEST and self._is_of_job(record["id"])
                self.result.repeats.add(1, of_job=of_job)
            elif kind is Kind.DEAD_LETTER:
                self._dead_letter(record["reason"], record["field"], command.line_number)
        self.result.refused_events += is_refused

    def _count_line(self, line: dict[str, Any]) -> bool:
        """Counts one line; returns whether it was refused for lack of credits."""
        key = line["charge"], line["credit_type"]
        tally = self.result.charges.get(key)
        if tally is None:
            tally = self.result.charges[key] = ChargeTally()
        decision = line["decision"]
        tally.lines += 1
        tally.decisions[decision] += 1
        if decision is Decision.CHARGED:
            tally.credits += line["credits"]
            balance = self.result.balance(line["credit_type"])
            balance.charged += line["credits"]
            available = line["balance_after"] - self._account.holds.set_aside.get(line["credit_type"], 0)
            if balance.lowest is None or available < balance.lowest:
                balance.lowest = available
        elif decision is Decision.DUPLICATE:
            saved = line["units"] * line["unit_credits"]
            tally.saved.add(saved, of_job=self._is_of_job(line["owner_event_id"]))
        elif decision is Decision.INSUFFICIENT_CREDITS:
            cost = line["units"] * line["unit_credits"]
            tally.refused += cost
            self.result.balance(line["credit_type"]).refused += cost
            return True
        return False

    def _count_refund(self, refund: dict[str, Any]) -> None:
        if refund["status"] == RefundStatus.REFUNDED:
            self.result.balance(refund["credit_type"]).refunded += refund["credits"] - refund["forfeited"]
        else:
            self.result.rejected_refunds[refund["reject_reason"]] += 1

    def _dead_letter(self, reason: DeadLetterReason, name: str | None, line_number: int) -> None:
        self.result.dead_letters[reason] += 1
        if len(self.result.first_dead_letters) < _DEAD_LETTERS_SHOWN:
            self.result.first_dead_letters.append({"line_number": line_number, "reason": reason, "field": name})

    def _is_of_job(self, event_id: str) -> bool:
        """Whether the accepted event of this id came with the job; one whose id is forgotten came before it."""
        key = event_key(self._account.account_id, event_id)
        now = self._state.get(key)
        before = None if now is None else self._history.get(key)
        return now is not None and (before is None or before[0] != now[0])

"""The result of a re-rating for one account: its rows, and the commands that correct what was charged too much.

Too much is given back as a refund of the line while the state machine would accept one, else as an adjustment grant:
one for an account, charge, credit type and UTC day. Nothing can be taken afterwards: what was charged too little is
set off against what was charged too much, within a charge or within the credit type (`Netting`), and what is left of
it is reported as not collected.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

from metering.records import MAX_GRANT, Command, Record
from metering.state import State
from metering.windows import DAY_MS, format_day
from replay.rerating.ids import Adjustment, charge_key, day_of, refund_id
from replay.rerating.ledger import Ledger, LedgerEvent, LedgerLine
from replay.rerating.partition import Rerate


class Netting(StrEnum):
    """What is set off against each other within one account and credit type before anything is given back."""

    CHARGE = "charge"
    ACCOUNT = "account"


@dataclass(slots=True)
class Row:
    """One charge and credit type of one account. Credits are net of refunds; `was` also of adjustment grants.

    `events` cost something on either side, `changed` of them not the same on both.
    """

    account_id: str
    charge: str
    credit_type: str
    events: int = 0
    changed: int = 0
    was: int = 0
    would_be: int = 0

    @property
    def difference(self) -> int:
        return self.would_be - self.was


class Correction(NamedTuple):
    """A command to be sent, what it corrects, and the events: one for a refund, all of a day for a grant."""

    command: Command
    record: Record
    charge: str
    credit_type: str
    events: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "type": "correction", "command": str(self.command), "charge": self.charge, "credit_type": self.credit_type,
            "events": list(self.events), "record": self.record,
        }  # fmt: skip


class Overlap(NamedTuple):
    """Adjustment grants of an earlier re-rating whose events lie partly in this one's range: start and end (ms)."""

    start: int
    end: int


@dataclass(slots=True)
class _Pot:
    """What is set off against each other. Credits: too much that a refund can return, too much else, too little."""

    refundable: int = 0
    beyond: int = 0
    too_little: int = 0
    given: int = 0

    @property
    def owed(self) -> int:
        """To be given back; below 0 it is what was charged too little."""
        return self.refundable + self.beyond - self.too_little - self.given


@dataclass(slots=True)
class _Bucket:
    """The lines of one charge on one day that no refund can reach any more."""

    credits: int = 0
    events: list[str] = field(default_factory=list)


class AccountCorrections:
    """The outcome for one account. `at` (ms) is when corrections are asked for: `corrections` may be taken once."""

    def __init__(
        self, asked: Rerate, ledger: Ledger, actual: State, account_id: str, netting: Netting, at: int
    ) -> None:
        self.account_id = account_id
        self.overlaps: set[Overlap] = set()
        self._asked = asked
        self._ledger = ledger
        self._netting = netting
        self._at = at
        account = actual.account(account_id)
        self._horizon = account.horizon(actual.accept_window, max(account.stream_time, at))
        self._rows: dict[tuple[str, str], Row] = {}
        self._pots: dict[tuple[str, str], _Pot] = {}
        self._given: dict[tuple[str, str, int], list[int]] = {}
        self._sum_up()

    @property
    def rows(self) -> list[Row]:
        """By charge and credit type, in order of name."""
        return [self._rows[key] for key in sorted(self._rows)]

    @property
    def not_collected(self) -> dict[str, int]:
        """Credits charged too little and not set off, by credit type."""
        owed: dict[str, int] = {}
        for (_, credit_type), pot in self._pots.items():
            if pot.owed < 0:
                owed[credit_type] = owed.get(credit_type, 0) - pot.owed
        return owed

    def corrections(self) -> Iterator[Correction]:
        """Refunds and grants by time of their events, oldest first. Each day's grants stand behind its refunds."""
        refunds = {key: min(max(pot.owed, 0), pot.refundable) for key, pot in self._pots.items()}
        grants = {key: max(pot.owed, 0) - refunds[key] for key, pot in self._pots.items()}
        buckets: dict[tuple[str, str], _Bucket] = {}
        day = 0
        for event in self._ledger.events(self.account_id):
            if day_of(event.occurred_at) != day:
                yield from self._grants(day, buckets, grants)
                day, buckets = day_of(event.occurred_at), {}
            for line in event.lines:
                pot = self._pot_key(line.charge, line.credit_type)
                if line.over <= 0:
                    continue
                if event.occurred_at < self._horizon:
                    bucket = buckets.setdefault((line.charge, line.credit_type), _Bucket())
                    bucket.credits += line.over
                    bucket.events.append(event.event_id)
                elif refunds[pot]:
                    credits_ = min(line.over, refunds[pot])
                    refunds[pot] -= credits_
                    yield self._refund(event, line, credits_)
        yield from self._grants(day, buckets, grants)

    def _sum_up(self) -> None:
        for event in self._ledger.events(self.account_id):
            for line in event.lines:
                key = (line.charge, line.credit_type)
                row = self._rows.setdefault(key, Row(self.account_id, *key))
                row.events += 1
                row.changed += line.over != 0
                row.was += line.was - line.returned
                row.would_be += line.would - line.would_returned
                pot = self._pots.setdefault(self._pot_key(*key), _Pot())
                if line.over < 0:
                    pot.too_little -= line.over
                elif event.occurred_at < self._horizon:
                    pot.beyond += line.over
                else:
                    pot.refundable += line.over
        keys = {(charge_key(*key), key[1]): key for key in self._rows}
        for given in self._ledger.given(self.account_id):
            key_or_none = keys.get((given.charge_key, given.credit_type))
            if key_or_none is None or given.end <= self._asked.start or given.start >= self._asked.end:
                continue
            if given.start < self._asked.start or given.end > self._asked.end:
                self.overlaps.add(Overlap(given.start, given.end))
                continue
            self._rows[key_or_none].was -= given.credits
            self._pots[self._pot_key(*key_or_none)].given += given.credits
            self._given.setdefault((*key_or_none, day_of(given.start)), []).append(given.credits)

    def _pot_key(self, charge: str, credit_type: str) -> tuple[str, str]:
        return (charge if self._netting is Netting.CHARGE else "", credit_type)

    def _refund(self, event: LedgerEvent, line: LedgerLine, credits_: int) -> Correction:
        plan = self._asked.plan_id
        net, would = line.was - line.returned, line.would - line.would_returned
        said = f"{line.charge} of event {event.event_id} cost {net} and should have cost {would}"
        record = {
            "refund_id": refund_id(plan, event.event_id, event.occurred_at, line.charge, line.corrections),
            "account_id": self.account_id,
            "event_id": event.event_id,
            "charge": line.charge,
            "credits": credits_,
            "reason": f"re-rating {plan}: {said}",
            "requested_at": self._at,
        }
        return Correction(Command.REFUND, record, line.charge, line.credit_type, (event.event_id,))

    def _grants(
        self, day: int, buckets: dict[tuple[str, str], _Bucket], left: dict[tuple[str, str], int]
    ) -> Iterator[Correction]:
        asked = self._asked
        for (charge, credit_type), bucket in buckets.items():
            given = self._given.get((charge, credit_type, day), [])
            pot = self._pot_key(charge, credit_type)
            owed = min(bucket.credits - sum(given), left[pot])
            number = len(given)
            stretch = max(day, asked.start), min(day + DAY_MS, asked.end)
            adjustment = Adjustment(asked.plan_id, *stretch, charge_key(charge, credit_type))
            while owed > 0:
                credits_ = min(owed, MAX_GRANT)
                owed -= credits_
                left[pot] -= credits_
                record = {
                    "grant_id": adjustment.grant_id(number),
                    "account_id": self.account_id,
                    "credit_type": credit_type,
                    "credits": credits_,
                    "granted_at": self._at,
                    "expires_at": None,
                    "reason": self._reason(charge, day, bucket.events),
                }
                number += 1
                yield Correction(Command.GRANT, record, charge, credit_type, tuple(bucket.events))

    def _reason(self, charge: str, day: int, events: list[str]) -> str:
        shown = format_day(day)
        which = f"event {events[0]}" if len(events) == 1 else f"{len(events)} events"
        return f"re-rating {self._asked.plan_id}: {charge} of {shown} was charged too much ({which})"

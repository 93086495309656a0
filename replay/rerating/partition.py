"""Replays one partition's log twice, as it is and with other prices for some time: what the bill would have been.

The *actual* side is the books of the log, decided as the worker decides them. The *shadow* side takes the same
commands, but every event in the range is decided with the new book. Four rules keep the two comparable:

- An event is accepted where the log accepted it: limits stay those of the log, and time goes the same on both sides.
- An event that was refused for lack of credits stays refused (its work was not done), and one that was served is
  charged, whatever the balance would have been. Beyond the range balances decide on each side for themselves.
- A refund of some credits gives back as many on the shadow side, at most what is left there; one that left nothing of
  its line leaves nothing there either. One that was rejected gives back nothing there either.
- Corrections of re-ratings are no part of what would have been: on the shadow side they only move time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from metering import Book, Sweeper
from metering.records import Command, Decision, HoldStatus, Kind, OnEmpty, Outcome, Output, Record
from metering.refunds import left_of_charge
from metering.state import State
from metering.store import Store
from replay.account import ReplaySource
from replay.commands import ReplayedCommand, commands_of
from replay.rerating.ids import is_correction, parse_grant_id, plan_id
from replay.rerating.ledger import Ledger, LedgerEvent, LedgerLine
from replay.rerating.tallies import Tallies, compare
from streams.log.protocols import LostPrefix, Message
from streams.rating.deciding import apply_one
from streams.rating.partition import SWEEP_ROWS_PER_MESSAGE

COMMIT_MESSAGES = 256
COMMIT_COMMANDS = 20_000
_REPORT_EVERY = 64

ProgressCallback = Callable[[int, int], None]
"""Called with (partition, next offset) as the replay goes on."""


@dataclass(frozen=True, slots=True)
class Rerate:
    """What is re-rated: `book` for events from `start` to before `end` (ms), of these accounts (None: of all)."""

    book_id: str
    book: Book
    start: int
    end: int
    accounts: frozenset[str] | None = None

    @property
    def plan_id(self) -> str:
        return plan_id(self.book_id, self.start, self.end)


@dataclass(frozen=True, slots=True)
class Stores:
    """Three empty stores: the state of each side, and the ledger's rows."""

    actual: Store
    shadow: Store
    ledger: Store


class PartitionRerating:
    """Re-rates one partition, once: `run`, then `ledger` holds every line in the range, and `actual` the state."""

    def __init__(
        self, source: ReplaySource, asked: Rerate, partition: int, stores: Stores,
        progress: ProgressCallback = lambda _partition, _offset: None,
    ) -> None:  # fmt: skip
        self._source = source
        self._asked = asked
        self._partition = partition
        self._stores = stores
        self._progress = progress
        self.actual = State(stores.actual, source.read_book)
        self._shadow = State(stores.shadow, source.read_book)
        self._sweepers = (Sweeper(self.actual), Sweeper(self._shadow))
        self.ledger = Ledger(stores.ledger)
        self.tallies = Tallies()
        self._messages = self._commands_taken = 0  # since the last commit

    def run(self, stop: int) -> None:
        """Replays everything before offset `stop`. Raises LogError, LostPrefix where the log's beginning is gone."""
        kept, _ = self._source.input_log.bounds(self._partition)
        if kept and stop:
            place = f"{self._source.names.requests}[{self._partition}]"
            raise LostPrefix(
                f"{place}: the log begins at {kept}; what is deleted cannot be re-rated, nor what depends on it"
            )
        for message in self._source.input_log.read(self._partition, 0, stop):
            for step in filter(self._is_asked_for, commands_of(self._source.codec, message)):
                self._take(step)
                self._commands_taken += 1
            self._messages += 1
            if self._messages >= COMMIT_MESSAGES or self._commands_taken >= COMMIT_COMMANDS:
                self._commit()
            if message.offset % _REPORT_EVERY == 0:
                self._progress(self._partition, message.offset + 1)
        self._commit()
        self._progress(self._partition, stop)

    def _is_asked_for(self, step: ReplayedCommand) -> bool:
        accounts = self._asked.accounts
        return accounts is None or step.command == Command.PRICE_BOOK or step.record.get("account_id") in accounts

    def _take(self, step: ReplayedCommand) -> None:
        message, command, record = step.message, step.command, step.record
        outputs = apply_one(self._source.partitions, self.actual, command, record, message, step.index, step.digest)
        if any(kind in (Kind.DEAD_LETTER, Kind.REPEATED) for kind, _ in outputs):
            return  # it changed nothing; a second application would come to the same
        if command == Command.REQUEST:
            self._take_event(step, outputs)
        elif command == Command.REFUND:
            self._take_refund(message, record, outputs)
        elif command == Command.GRANT and (adjustment := parse_grant_id(record["grant_id"])) is not None:
            self.ledger.note_given(record["account_id"], adjustment, record["credit_type"], record["credits"])
            self._move_time(message, record["account_id"], record["granted_at"])
        elif command == Command.HOLD:
            self._take_hold(message, record, outputs)
        else:
            self._apply_to_shadow(message, command, record)

    def _take_event(self, step: ReplayedCommand, outputs: list[Output]) -> None:
        message, event = step.message, step.record
        was = _billed(outputs)
        account_id, event_id, occurred_at = event["account_id"], event["event_id"], event["occurred_at"]
        self.ledger.pass_on_id(account_id, event_id)
        if not self._asked.start <= occurred_at < self._asked.end:
            would = _billed(self._apply_to_shadow(message, Command.REQUEST, event))
            compare(was, would, self.tallies.after)
            return
        self.tallies.events += 1
        if any(line["decision"] == Decision.INSUFFICIENT_CREDITS for line in was):
            self.tallies.kept_refusals += 1
            # Known from now on, and nothing else: as the event of a request that failed would be.
            self._apply_to_shadow(message, Command.REQUEST, event | {"outcome": Outcome.FAILED.value})
            return
        would = self._decided_anew(message, event)
        compare(was, would, self.tallies.decisions)
        lines = _lines(was, would)
        if lines:
            self.ledger.put(account_id, LedgerEvent(event_id, occurred_at, lines), (message.offset, step.index or 0))

    def _decided_anew(self, message: Message, event: Record) -> list[Record]:
        """The lines of a served event under the new book, on the shadow side."""
        shadow = self._shadow
        account = shadow.account(event["account_id"])
        book, on_empty = shadow.book, account.on_empty
        shadow.book, account.on_empty = self._asked.book, OnEmpty.ALLOW.value
        try:
            return _billed(self._apply_to_shadow(message, Command.REQUEST, event))
        finally:
            shadow.book, account.on_empty = book, on_empty

    def _take_refund(self, message: Message, record: Record, outputs: list[Output]) -> None:
        account_id, event_id = record["account_id"], record["event_id"]
        done = [output for kind, output in outputs if kind is Kind.REFUND and output["status"] == "refunded"]
        self.ledger.note_refunds(account_id, event_id, done, shadow=False)
        if is_correction(record["refund_id"]):
            self.ledger.note_correction(account_id, event_id, record["charge"])
        if not done or is_correction(record["refund_id"]):
            self._move_time(message, account_id, record["requested_at"])
            return
        outputs = self._apply_to_shadow(message, Command.REFUND, self._as_far_as_possible(record, done))
        done = [output for kind, output in outputs if kind is Kind.REFUND and output["status"] == "refunded"]
        self.ledger.note_refunds(account_id, event_id, done, shadow=True)

    def _as_far_as_possible(self, request: Record, done: list[Record]) -> Record:
        """The request as somebody who saw the shadow's bill would have made it."""
        if request["credits"] is None:
            return request
        line = done[0]  # some credits are of one line
        request = request | {"charge": line["charge"]}
        left = self._left_in_shadow(request)
        if line["remaining_charge"] == 0 or not left:
            return request | {"credits": None}
        return request | {"credits": min(left, request["credits"])}

    def _left_in_shadow(self, request: Record) -> int:
        return left_of_charge(self._shadow.event(request["account_id"], request["event_id"]), request["charge"])

    def _apply_to_shadow(self, message: Message, command: str, record: Record) -> list[Output]:
        return apply_one(self._source.partitions, self._shadow, command, record, message)

    def _take_hold(self, message: Message, record: Record, outputs: list[Output]) -> None:
        """A hold that was held stays held on the shadow side, whatever is available there: its work was done."""
        account = self._shadow.account(record["account_id"])
        was_held = any(kind is Kind.HOLD and output["status"] == HoldStatus.HELD for kind, output in outputs)
        on_empty = account.on_empty
        account.on_empty = OnEmpty.ALLOW.value if was_held else on_empty
        try:
            self._apply_to_shadow(message, Command.HOLD, record)
        finally:
            account.on_empty = on_empty

    def _move_time(self, message: Message, account_id: str, at: int) -> None:
        """Moves the shadow side's time as accepting a command does, so that both sides accept the same events."""
        shadow = self._shadow
        shadow.touch(account_id)
        shadow.account(account_id).advance(at, shadow.accept_window, message.timestamp)

    def _commit(self) -> None:
        stores = (self._stores.actual, self._stores.shadow)
        for state, store, sweeper in zip((self.actual, self._shadow), stores, self._sweepers, strict=True):
            sweeper.sweep(self._messages * SWEEP_ROWS_PER_MESSAGE)
            store.write(state.changes())
            state.commit()
        self.ledger.commit()
        self._messages = self._commands_taken = 0


def _billed(outputs: list[Output]) -> list[Record]:
    return [record for kind, record in outputs if kind is Kind.BILLED]


def _lines(was: list[Record], would: list[Record]) -> list[LedgerLine]:
    """The lines that cost something on either side."""
    lines: dict[tuple[str, str], LedgerLine] = {}
    for records, is_shadow in ((was, False), (would, True)):
        for record in records:
            if record["credits"]:
                key = (record["charge"], record["credit_type"])
                line = lines.setdefault(key, LedgerLine(*key))
                if is_shadow:
                    line.would = record["credits"]
                else:
                    line.was = record["credits"]
    return list(lines.values())

"""What became of an item that has a receipt: stored, decided, loaded (SERVER.md 2.2).

Reads the one message that the receipt names, then the tail of decisions, then ClickHouse; of a repeat that is older
than the tail, its answer in `credits.billed`. Never replays the log.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from application.errors import ErrorCode, Failed
from application.ingest.decisions import Answered, Decision, Decisions, DecisionStatus, Item
from application.ingest.receipts import Receipt
from application.ingest.recorded import RecordedDecisions
from application.pipeline import Pipeline
from metering.records import ID_FIELD, Command
from schemas.errors import Undecodable
from streams.log.event_sender import Stored, value_digest
from streams.log.protocols import LogChanged, LostPrefix, Message


class UnknownItem(Failed):
    """There is no such item in the log, or it is of an account that may not be seen: which, is not told."""

    code = ErrorCode.NOT_FOUND

    def __init__(self) -> None:
        super().__init__("no item of this log has that receipt, or this key may not see it")


class OtherLog(Failed):
    """The receipt is of another log than the present one: it was made again since, or it is another pipeline's."""

    code = ErrorCode.NOT_FOUND


class DigestState(StrEnum):
    """Whether the message has the digest that the receipt names."""

    AGREES = "agrees"
    DIFFERS = "differs"
    UNKNOWN = "unknown"
    """The message is no longer in the log."""


@dataclass(frozen=True, slots=True)
class ReceiptState:
    """What is known of an item. `decision` None: nobody knows here; `loaded` None: ClickHouse does not answer.

    `is_trimmed`: the log no longer reaches back to the item, so that ClickHouse's rows are all there is. `recorded_at`
    (ms) is the log's time of its message. Of another command than an event, `command` and `item_id` say which.
    """

    receipt: Receipt
    account_id: str
    item_id: str | None
    command: Command
    digest: DigestState
    decision: Decision | None
    loaded: bool | None
    recorded_at: int | None = None
    is_trimmed: bool = False


@dataclass(frozen=True, slots=True)
class FoundItem:
    """An item read from the log."""

    message: Message
    command: Command
    record: Mapping[str, Any]

    @property
    def item_id(self) -> str:
        """The item's own id."""
        return str(self.record[ID_FIELD[self.command]])


class ReceiptLookup:
    """Answers for receipts of one pipeline. `item`, `trimmed` and `completed` block; `with_tail` does not."""

    def __init__(self, pipeline: Pipeline, decisions: Decisions, recorded: RecordedDecisions | None) -> None:
        self._pipeline = pipeline
        self._decisions = decisions
        self._recorded = recorded

    def item(self, receipt: Receipt, may_see: Callable[[str], bool]) -> FoundItem | None:
        """The item of a receipt; None where the log no longer reaches back. Raises UnknownItem, OtherLog, LogError."""
        pipeline = self._pipeline
        if not receipt.is_of(pipeline.log_id):
            raise OtherLog(
                f"the receipt is of the log {receipt.log_id}; this one is {pipeline.log_id}: it was made again since, "
                "or the receipt is another pipeline's"
            )
        if receipt.partition >= pipeline.partitions:
            raise UnknownItem
        try:
            read = pipeline.input_log.read(receipt.partition, receipt.offset, receipt.offset + 1)
            message = next(iter(read), None)
        except LostPrefix:
            return None
        except LogChanged:  # the log ends before it
            raise UnknownItem from None
        return self._visible(message, receipt, may_see)

    def _visible(self, message: Message | None, receipt: Receipt, may_see: Callable[[str], bool]) -> FoundItem:
        if message is None:
            raise UnknownItem
        try:
            commands = self._pipeline.codec.decode_commands(message.value)
        except Undecodable:
            raise UnknownItem from None
        if receipt.index >= len(commands.records) or commands.word == Command.PRICE_BOOK:
            raise UnknownItem
        record = commands.records[receipt.index]
        if not may_see(record["account_id"]):
            raise UnknownItem
        return FoundItem(message, Command(commands.word), record)

    def with_tail(self, receipt: Receipt, item: FoundItem) -> ReceiptState:
        """The item's state as far as the tail knows it."""
        message, account_id = item.message, str(item.record["account_id"])
        agrees = value_digest(message.value) == receipt.digest
        digest = DigestState.AGREES if agrees else DigestState.DIFFERS
        stored = Stored(receipt.partition, receipt.offset, receipt.index, receipt.digest)
        if item.command is Command.REQUEST:
            decision: Decision | None = self._decisions.known([Item(stored, account_id, item.item_id)])[0]
        else:
            decision = _of_command(self._decisions.answer_of(stored), item)
        if decision is not None and decision.status is DecisionStatus.PENDING:
            decision = None
        return ReceiptState(receipt, account_id, item.item_id, item.command, digest, decision, None, message.timestamp)

    def completed(self, state: ReceiptState, item: FoundItem) -> ReceiptState:
        """The state with what ClickHouse has; a store that does not answer leaves `loaded` None."""
        if self._recorded is None:
            return state
        try:
            return self._with_rows(state, item)
        except Failed as error:
            if error.code is not ErrorCode.UNAVAILABLE:
                raise
            return state

    def trimmed(self, receipt: Receipt, may_see: Callable[[str], bool]) -> ReceiptState:
        """What ClickHouse has of an item that the log no longer holds. Raises UnknownItem, Failed."""
        rows = [] if self._recorded is None else self._recorded.at(receipt.partition, receipt.offset, may_see)
        events = list(dict.fromkeys((row["account_id"], row["event_id"]) for row in rows))
        if not events:
            raise UnknownItem
        # Rows have no index: of several events of one message nobody can say which it was.
        account_id, event_id = events[0]
        is_one = len(events) == 1
        decision = Decision(DecisionStatus.DECIDED, rows) if is_one else None
        return ReceiptState(
            receipt, account_id, event_id if is_one else None, Command.REQUEST, DigestState.UNKNOWN, decision,
            loaded=True, is_trimmed=True,
        )  # fmt: skip

    def _with_rows(self, state: ReceiptState, item: FoundItem) -> ReceiptState:
        recorded = self._recorded
        if recorded is None:
            return state
        receipt, message = state.receipt, item.message
        is_loaded = recorded.is_loaded(receipt.partition, receipt.offset)
        if item.command is Command.REQUEST and not (is_loaded and state.decision is not None):
            lines = recorded.lines(state.account_id, item.item_id, receipt.partition, receipt.offset)
            if lines:  # also where a loader of before has noted no position
                return replace(state, decision=state.decision or Decision(DecisionStatus.DECIDED, lines), loaded=True)
        if state.decision is not None:
            return replace(state, loaded=is_loaded)
        index = receipt.index if item.command is Command.REQUEST else None
        letter = recorded.set_aside(receipt.partition, receipt.offset, index, message.timestamp)
        if letter is not None:
            decision = Decision(DecisionStatus.SET_ASIDE, reason=letter["reason"], field=letter["field"])
            return replace(state, decision=decision, loaded=True)
        return replace(state, decision=self._answered_before(state, item) if is_loaded else None, loaded=is_loaded)

    def _answered_before(self, state: ReceiptState, item: FoundItem) -> Decision | None:
        """The decision by the item's answer in `credits.billed`, read from the time of its message on."""
        receipt = state.receipt
        try:
            answer = self._pipeline.results.answers(receipt.partition, [receipt.offset]).get(receipt.offset)
        except LostPrefix:
            return None
        if answer is None:
            return None
        answered = Answered(*answer)
        if item.command is not Command.REQUEST:
            return _of_command(answered, item)
        decision = answered.decisions().of(receipt.index, state.account_id, item.item_id)
        if decision.first is None or self._recorded is None:
            return None if decision.status is DecisionStatus.PENDING else decision
        lines = self._recorded.lines(state.account_id, item.item_id, receipt.partition, decision.first[0])
        return replace(decision, lines=lines)


def _of_command(answered: Answered | None, item: FoundItem) -> Decision | None:
    """What became of another command than an event: applied, a repeat, or set aside."""
    if answered is None:
        return None
    if any(entry["id"] == item.item_id for entry in answered.applied):
        return Decision(DecisionStatus.DECIDED)
    for entry in answered.repeated:
        first = None if entry["first_offset"] is None else (entry["first_offset"], entry["first_index"] or 0)
        return Decision(DecisionStatus.REPEATED, same_content=entry["same_content"], first=first)
    for entry in answered.set_aside:
        return Decision(DecisionStatus.SET_ASIDE, reason=entry["reason"], field=entry["field"])
    return None

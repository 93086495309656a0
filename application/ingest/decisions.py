"""What was decided about items of the log, as the tail of decisions tells it: awaited, never guessed, never polled."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

from metering.records import Command
from schemas.codec import Codec
from streams import clock
from streams.log.decision_tail import AnswerKey, DecisionTail
from streams.log.event_sender import Stored
from streams.log.topics import TopicNames

_ENDING_SECONDS = 3.0


class DecisionStatus(StrEnum):
    """What is known of an item; the set is closed."""

    DECIDED = "decided"
    REPEATED = "repeated"
    SET_ASIDE = "set_aside"
    PENDING = "pending"


class Item(NamedTuple):
    """An event in the log, by its place and its ids."""

    stored: Stored
    account_id: str
    event_id: str


@dataclass(frozen=True, slots=True)
class Decision:
    """What became of one event. `lines`: of `decided` its own, of `repeated` the first's as far as they are known.

    `first`: of a repeat, (offset, index) of the event that was accepted, in the same partition; None: not kept.
    """

    status: DecisionStatus
    lines: Sequence[Mapping[str, Any]] = ()
    same_content: bool | None = None
    first: tuple[int, int] | None = None
    reason: str | None = None
    field: str | None = None


PENDING = Decision(DecisionStatus.PENDING)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a wait lasts: `seconds` in all, and `still` without any answer of the item's partition."""

    seconds: float
    still: float = 2.0


@dataclass(slots=True)
class Answered:
    """A whole answer of `credits.billed`, decoded: the arrays of its BilledBatch."""

    lines: list[dict[str, Any]] = field(default_factory=list)
    repeated: list[dict[str, Any]] = field(default_factory=list)
    set_aside: list[dict[str, Any]] = field(default_factory=list)
    applied: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def read(cls, codec: Codec, parts: Iterable[bytes]) -> Answered:
        """Decode the parts of an answer."""
        answered = cls()
        for part in parts:
            _, batch = codec.decode(part)
            answered.lines += batch["events"]
            answered.repeated += batch["repeated"]
            answered.set_aside += batch["set_aside"]
            answered.applied += batch["applied"]
        return answered

    def decisions(self) -> EventDecisions:
        """To be asked event by event."""
        return EventDecisions(self)


class EventDecisions:
    """The decisions of one message's events."""

    def __init__(self, answered: Answered) -> None:
        self._repeated = {entry["index"]: entry for entry in answered.repeated}
        self._set_aside = {entry["index"]: entry for entry in answered.set_aside}
        self._lines: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for line in answered.lines:
            self._lines.setdefault((line["account_id"], line["event_id"]), []).append(line)

    def of(self, index: int, account_id: str, event_id: str) -> Decision:
        """One event's decision; PENDING where the answer says nothing of it."""
        if (entry := self._set_aside.get(index) or self._set_aside.get(None)) is not None:
            return Decision(DecisionStatus.SET_ASIDE, reason=entry["reason"], field=entry["field"])
        if (entry := self._repeated.get(index)) is not None:
            offset, first_index = entry["first_offset"], entry["first_index"]
            first = None if offset is None or first_index is None else (offset, first_index)
            return Decision(DecisionStatus.REPEATED, same_content=entry["same_content"], first=first)
        lines = self._lines.get((account_id, event_id))
        return PENDING if lines is None else Decision(DecisionStatus.DECIDED, lines)


class Decisions:
    """The decisions of one pipeline as they come. Belongs to the event loop of its tail."""

    def __init__(self, tail: DecisionTail, codec: Codec, names: TopicNames) -> None:
        self._tail = tail
        self._codec = codec
        self._names = names
        self._ending: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def end(self) -> None:
        """The server is to end: waits last no longer than a moment from now."""
        if not self._ending.done():
            self._ending.set_result(None)

    def problem(self) -> str | None:
        """Why no decision comes; None: all is well."""
        return self._tail.problem()

    async def wait(self, items: Sequence[Item], patience: Patience) -> list[Decision]:
        """What became of each item, in their order; PENDING for what was not decided in time.

        A repeat has the first's lines where those came in the last minute.
        """
        keys = {self._key(item.stored): None for item in items}
        await self.wait_for(list(keys), patience)
        return self.known(items)

    def known(self, items: Sequence[Item]) -> list[Decision]:
        """What the tail has of each item now."""
        decoded: dict[AnswerKey, EventDecisions | None] = {}
        return [self._decision(item, decoded) for item in items]

    async def wait_for(self, keys: Iterable[AnswerKey], patience: Patience) -> None:
        """Return when all of these answers are kept, or patience ends."""
        waiting = {self._tail.watch(key): key for key in keys}
        try:
            await self._wait(waiting, patience)
        finally:
            for future, key in waiting.items():
                self._tail.unwatch(key, future)

    async def wait_long(self, topic: str, partition: int, offset: int) -> None:
        """Return when this answer is kept, however long it takes. Cancel it to give up."""
        key = AnswerKey(topic, partition, offset)
        future = self._tail.watch(key)
        try:
            await future
        finally:
            self._tail.unwatch(key, future)

    async def ended(self) -> None:
        """Return when the server is to end."""
        await asyncio.shield(self._ending)

    def changes_of_hold(self, stored: Stored) -> list[dict[str, Any]] | None:
        """The hold changes that a message caused, where they are kept."""
        parts = self._tail.kept(AnswerKey(self._names.holds, stored.partition, stored.offset))
        if parts is None:
            return None
        return [change for part in parts for change in self._codec.decode(part)[1]["holds"]]

    def recent_changes(self, partition: int, hold_id: str) -> list[tuple[int, dict[str, Any]]]:
        """(source offset, change) of a hold's changes of the last minute, oldest first; of any account's hold."""
        answers = self._tail.recent(self._names.holds, partition, hold_id.encode())
        return [
            (key.offset, change)
            for key, parts in answers
            for part in parts
            for change in self._codec.decode(part)[1]["holds"]
            if change["hold_id"] == hold_id
        ]

    def answer_of(self, stored: Stored) -> Answered | None:
        """The whole answer to a message, where it is kept."""
        parts = self._tail.kept(self._key(stored))
        return None if parts is None else Answered.read(self._codec, parts)

    async def wait_for_command(self, stored: Stored, patience: Patience) -> Answered | None:
        """The answer to a message with one other command; None where it was not decided in time.

        Of a hold that was accepted its change is waited for, too: the two come in different topics.
        """
        began = clock.monotonic()
        await self.wait_for([self._key(stored)], patience)
        answered = self.answer_of(stored)
        if answered is not None and any(applied["command"] == Command.HOLD for applied in answered.applied):
            left = max(0.0, patience.seconds - (clock.monotonic() - began))
            await self.wait_for_holds(stored, Patience(left, patience.still))
            if self.changes_of_hold(stored) is None:
                return None
        return answered

    async def wait_for_holds(self, stored: Stored, patience: Patience) -> None:
        """Return when the hold changes that a message caused are kept, or patience ends."""
        await self.wait_for([AnswerKey(self._names.holds, stored.partition, stored.offset)], patience)

    def _key(self, stored: Stored) -> AnswerKey:
        return AnswerKey(self._names.billed, stored.partition, stored.offset)

    def _decision(self, item: Item, decoded: dict[AnswerKey, EventDecisions | None]) -> Decision:
        events = self._events(self._key(item.stored), decoded)
        decision = PENDING if events is None else events.of(item.stored.index, item.account_id, item.event_id)
        if decision.first is None:
            return decision
        key = AnswerKey(self._names.billed, item.stored.partition, decision.first[0])
        events = self._events(key, decoded)
        if events is None:
            return decision
        first = events.of(decision.first[1], item.account_id, item.event_id)
        return Decision(DecisionStatus.REPEATED, first.lines, decision.same_content, decision.first)

    def _events(self, key: AnswerKey, decoded: dict[AnswerKey, EventDecisions | None]) -> EventDecisions | None:
        if key not in decoded:
            parts = self._tail.kept(key)
            decoded[key] = None if parts is None else Answered.read(self._codec, parts).decisions()
        return decoded[key]

    async def _wait(self, waiting: Mapping[asyncio.Future[None], AnswerKey], patience: Patience) -> None:
        began = clock.monotonic()
        deadline = began + patience.seconds
        left = {future for future in waiting if not future.done()}
        is_ending = False
        while left:
            now = clock.monotonic()
            if self._ending.done() and not is_ending:
                is_ending, deadline = True, min(deadline, now + _ENDING_SECONDS)
            limits = {
                future: max(began, self._tail.progressed_at(waiting[future].partition)) + patience.still
                for future in left
            }
            left = {future for future in left if min(limits[future], deadline) > now}
            if not left:
                return
            seconds = min(deadline, *(limits[future] for future in left)) - now
            also = set() if is_ending else {self._ending}
            await asyncio.wait({*left, *also}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            left = {future for future in left if not future.done()}

"""Waits until a command is decided, then reads what it caused from the output topics.

Every message but a price book is answered in `credits.billed` (SPEC 4), so that its decision is seen there as soon as
it is made, whether it has lines or was a repeat, set aside or applied. Where there is no answer (a price book, a worker
of the version before, a topic that was trimmed) the offset of the rating group decides: a worker acknowledges an input
message only after everything that it caused is in the output topics.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from metering.records import Command
from schemas.batches import read_head
from schemas.catalog import ANSWERS, BATCHES
from schemas.errors import Undecodable
from streams import clock
from streams.log.protocols import InputLog, LogError, LostPrefix, TimedLog
from streams.log.source_position import NO_OUTPUT, source_position

if TYPE_CHECKING:
    from schemas.codec import Codec
    from streams.log.topics import TopicNames

Caused = dict[str, list[dict[str, Any]]]
"""By output topic, the records that one input message caused there, in order. Topics without any are left out."""

_PAUSE = 0.01
_PAUSE_FOR_PROGRESS = 0.1
_OTHER_TOPICS_SECONDS = 1.0
_CLOCKS_DIFFER_MS = 10_000
_LOOK_BACK = 16
_LOOK_BACK_FACTOR = 8


class Answer(NamedTuple):
    """What became of one input message, as `credits.billed` answers it (SPEC 4): the arrays of its BilledBatch."""

    lines: list[dict[str, Any]]
    repeated: list[dict[str, Any]]
    set_aside: list[dict[str, Any]]
    applied: list[dict[str, Any]]


class NotDecided(LogError):
    """No worker has decided the command in time. It is in the log and loses nothing by the wait."""


class CommittedOffsets(Protocol):
    """How far the worker is."""

    def committed(self, topics: Sequence[str], partitions: int) -> Mapping[tuple[str, int], int]:
        """By topic and partition, the next offset that the group has not acknowledged."""
        ...


class Results:
    """The outputs of one pipeline, looked up by the input message that caused them."""

    def __init__(
        self,
        names: TopicNames,
        partitions: int,
        codec: Codec,
        input_log: InputLog,
        outputs: Mapping[str, TimedLog],
        group: CommittedOffsets,
    ) -> None:
        """`outputs`: each output topic's log, by its name; `group`: the rating group's."""
        self._input = input_log
        self._names = names
        self._partitions = partitions
        self._codec = codec
        self._outputs = outputs
        self._group = group

    def wait(
        self, partition: int, offset: int, timeout: float, remark: Callable[[str], None] = lambda _text: None
    ) -> Caused:
        """Everything that the message at (partition, offset) caused, once it is decided; empty for a repeat.

        `timeout` in seconds. Raises NotDecided, LogError.
        """
        self.wait_until_decided({partition: offset}, timeout, remark)
        return self.caused_by(partition, [offset]).get(offset, {})

    def wait_until_decided(
        self, offsets: Mapping[int, int], timeout: float, remark: Callable[[str], None] = lambda _text: None
    ) -> None:
        """Return when the message at the offset of each partition is decided, with all before it.

        Raises NotDecided, LogError.
        """
        deadline = clock.monotonic() + timeout
        tails = {partition: self._tail(partition, offset) for partition, offset in offsets.items()}
        asked_at: float | None = None
        while True:
            tails = {partition: tail for partition, tail in tails.items() if not tail.is_answered()}
            if not tails:
                return
            now = clock.monotonic()
            if asked_at is None or now >= asked_at + _PAUSE_FOR_PROGRESS:
                asked_at, rated = now, self.rated()
                tails = {number: tail for number, tail in tails.items() if rated.get(number, 0) <= offsets[number]}
                if not tails:
                    return
            if now >= deadline:
                raise NotDecided(self._undecided({partition: offsets[partition] for partition in tails}, timeout))
            remark("waiting for the worker")
            clock.sleep(_PAUSE)

    def rated(self) -> dict[int, int]:
        """By partition, the next offset that the worker has not passed; absent where it has none. Raises LogError."""
        topic = self._names.requests
        offsets = self._group.committed((topic,), self._partitions)
        return {partition: offset for (_, partition), offset in offsets.items()}

    def caused_by(self, partition: int, offsets: Collection[int]) -> dict[int, Caused]:
        """What is in the output topics of these input messages, by their offset; those without any are left out.

        Reads the topics from the time of the first of them to the outputs of the last. Topics are written side by side:
        what a command that was applied or set aside must have caused in its own is waited for, a second at most, while
        alerts and expiries are those that are there. Raises LostPrefix where the log no longer holds the first,
        LogError.
        """
        return self.answers_and_outputs(partition, offsets)[1]

    def answers_and_outputs(
        self, partition: int, offsets: Collection[int]
    ) -> tuple[dict[int, Answer], dict[int, Caused]]:
        """Both `answers` and `caused_by` of these input messages, read in one go. Waits and raises as `caused_by`."""
        if not offsets:
            return {}, {}
        since = self._recorded_at(partition, min(offsets))
        deadline = clock.monotonic() + _OTHER_TOPICS_SECONDS
        while True:
            caused: dict[int, Caused] = {}
            answers = self._answers(partition, offsets, since)
            for offset, answer in answers.items():
                if answer.lines:
                    caused[offset] = {self._names.billed: answer.lines}
            for topic in self._names.outputs:
                if topic != self._names.billed:
                    for offset, records in self._in_topic(topic, partition, frozenset(offsets), since).items():
                        caused.setdefault(offset, {})[topic] = records
            lacking = any(self._topics_of(answer) - caused.get(at, {}).keys() for at, answer in answers.items())
            if not lacking or clock.monotonic() >= deadline:
                return answers, caused
            clock.sleep(_PAUSE)

    def answers(self, partition: int, offsets: Collection[int]) -> dict[int, Answer]:
        """The answers to these input messages, by their offset; those without any are left out. Raises as `caused_by`.

        An answer that an older worker wrote has lines alone.
        """
        if not offsets:
            return {}
        return self._answers(partition, offsets, self._recorded_at(partition, min(offsets)))

    def answer_parts(self, partition: int, offsets: Collection[int]) -> Iterator[tuple[int, Answer]]:
        """The same in order with their offsets, each part of an answer by itself: for any number of messages."""
        if offsets:
            since = self._recorded_at(partition, min(offsets))
            for offset, batch in self._batches(self._names.billed, partition, frozenset(offsets), since):
                yield offset, _answer(batch)

    def _answers(self, partition: int, offsets: Collection[int], since: int) -> dict[int, Answer]:
        answers: dict[int, Answer] = {}
        for offset, batch in self._batches(self._names.billed, partition, frozenset(offsets), since):
            answer = answers.setdefault(offset, Answer([], [], [], []))
            for array, items in zip(answer, _answer(batch), strict=True):
                array.extend(items)
        return answers

    def _topics_of(self, answer: Answer) -> set[str]:
        """The topics that must hold something of an answered message."""
        names = self._names
        topics = {
            Command.HOLD: names.holds,
            Command.REFUND: names.refunds,
            Command.GRANT: names.grants,
            Command.ACCOUNT: names.accounts,
        }
        return {topics[Command(applied["command"])] for applied in answer.applied} | (
            {names.dead_letters} if answer.set_aside else set()
        )

    def _tail(self, partition: int, offset: int) -> _Tail:
        log = self._outputs[self._names.billed]
        start = self._start(log, partition, offset, self._recorded_at(partition, offset))
        return _Tail(log, partition, start, offset)

    def _recorded_at(self, partition: int, offset: int) -> int:
        for message in self._input.read(partition, offset, offset + 1):
            return message.timestamp
        raise LostPrefix(f"{self._names.requests}[{partition}]@{offset}: there is no record at this offset")

    def _undecided(self, behind: Mapping[int, int], timeout: float) -> str:
        places = ", ".join(
            f"{self._names.requests}[{partition}]@{offset}" for partition, offset in sorted(behind.items())
        )
        return (
            f"Not decided within {timeout:g} s: no worker has reached {places}. The command is in the log there and "
            "will be decided when a worker runs; sending it again with the same id is safe. `creditmeter status` "
            "shows what runs"
        )

    def _in_topic(
        self, topic: str, partition: int, offsets: frozenset[int], since: int
    ) -> dict[int, list[dict[str, Any]]]:
        records: dict[int, list[dict[str, Any]]] = {}
        for offset, batch in self._batches(topic, partition, offsets, since):
            name = next(name for name in BATCHES.values() if name in batch)
            records.setdefault(offset, []).extend(batch[name])
        return records

    def _batches(
        self, topic: str, partition: int, offsets: frozenset[int], since: int
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        """(source offset, batch) of each wanted one. Offsets only rise for a reader: it stops behind the last."""
        log = self._outputs[topic]
        start = self._start(log, partition, min(offsets), since)
        latest, seen = max(offsets), NO_OUTPUT
        for message in log.read(partition, start, log.bounds(partition)[1]):
            position = source_position(message)
            if position <= seen:
                continue  # a worker that had lost its partition sent it again: every reader skips it
            if position[0] > latest:
                break
            seen = position
            if position[0] in offsets:
                yield position[0], self._codec.decode(message.value)[1]

    @staticmethod
    def _start(log: TimedLog, partition: int, earliest: int, since: int) -> int:
        """An offset that is not behind the first output of the message at `earliest`, recorded at `since` (ms).

        An output is written after its input. The topics' leaders may have clocks that differ: so the records before
        the place that the time gives must be outputs of earlier messages; else it is looked for further back.
        """
        low = log.bounds(partition)[0]
        start = max(low, log.offset_at(partition, since - _CLOCKS_DIFFER_MS))
        length = _LOOK_BACK
        while start > low:
            first = max(low, start - length)
            if (
                max((source_position(message)[0] for message in log.read(partition, first, start)), default=-1)
                < earliest
            ):
                break
            start, length = first, length * _LOOK_BACK_FACTOR
        return start


def _answer(batch: Mapping[str, Any]) -> Answer:
    return Answer(*(batch[name] for name in (BATCHES["BilledBatch"], *ANSWERS)))


class _Tail:
    """Follows one partition of `credits.billed` until the answer to one input message is there, or a later one."""

    def __init__(self, log: InputLog, partition: int, start: int, offset: int) -> None:
        """``start`` is not behind the first output of the message at ``offset`` of the input log."""
        self._log = log
        self._partition = partition
        self._next = start
        self._offset = offset

    def is_answered(self) -> bool:
        """Whether it is there by now; reads on from where the last call ended. Raises LogError."""
        end = self._log.bounds(self._partition)[1]
        for message in self._log.read(self._partition, self._next, end):
            try:
                head = read_head(message.value)
            except Undecodable:
                continue
            is_last = head.part == head.parts - 1
            if head.source_offset > self._offset or (head.source_offset == self._offset and is_last):
                return True
        self._next = max(end, self._next)
        return False

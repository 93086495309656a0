"""One partition of the input log, rated: decide each message on an overlay, send, and write the state behind it.

State and outputs are functions of the log. This class keeps that true through crashes by the order of its effects; the
table in docs/guarantees.md says what happens when it stops after each of them.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from metering import Sweeper
from metering.state import ReadBook, State
from schemas.codec import Codec
from streams.log.protocols import CatchUpInterrupted, InputLog, LostPrefix, Message, OutputLog
from streams.log.topics import TopicNames
from streams.rating.outputs import Counts, Group, Outbox, topics_by_kind
from streams.rating.slices import MessageRater, Slicing
from streams.state.same_log import SETTLING, check_same_log, last_message_of
from streams.state.store import StateStore

logger = logging.getLogger(__name__)

CATCH_UP_MESSAGES = 256
"""Messages applied between two writes while catching up."""
SWEEP_ROWS_PER_MESSAGE = 512
LARGE_BYTES = 64 * 1024
"""A message of more bytes than this counts as large: decided, it may take over a hundred times as much memory."""

MOST_LARGE_BYTES = 1024 * 1024
"""The large messages in memory, those of all partitions together, have at most so many bytes, or are one."""


@dataclass(frozen=True, slots=True)
class Wiring:
    """What every partition of a worker shares. ``partitions`` is the input topic's partition count.

    ``patience``, in seconds, is for a log that seems shorter than the state says. ``leaving`` is set while partitions
    are to go to another worker, or the process is to stop: a catch-up ends then.
    """

    names: TopicNames
    partitions: int
    codec: Codec
    read_book: ReadBook
    input_log: InputLog
    output_log: OutputLog
    leaving: threading.Event = field(default_factory=threading.Event)
    catch_up_messages: int = CATCH_UP_MESSAGES
    patience: float = SETTLING
    slicing: Slicing = field(default_factory=Slicing)


class PartitionRater:
    """Rates one partition's messages over its state.

    A group of its messages goes through these effects in this order, whatever other partitions do in between:

    1. `work` decides a message on the overlay, in steps of some milliseconds;
    2. with its last step the message's outputs are queued, in order, leaving out those already in the topics;
    3. the broker acknowledges every output of the group (`is_acknowledged`);
    4. `commit` writes the group's changes together with its applied offset;
    5. its messages may be acknowledged to Kafka (`written`).

    Discard it after any exception: what is not committed is read from the log again.
    """

    def __init__(self, wiring: Wiring, partition: int, store: StateStore) -> None:
        self._wiring = wiring
        self._partition = partition
        self._store = store
        self._state = State(store, wiring.read_book, store)
        self._sweeper = Sweeper(self._state)
        outbox = Outbox(partition, wiring.output_log, lambda: wiring.input_log.bounds(partition)[1])
        self._rater = MessageRater(wiring, self._state, topics_by_kind(wiring.names), outbox)
        self._waiting: deque[Message] = deque()
        self._waiting_bytes = 0
        self._in_work: tuple[Message, Iterator[None]] | None = None
        self._applied = store.applied
        self._last: Message | None = None
        self.group = Group()
        """What is applied and not written yet."""
        self.large_bytes = 0
        """Of the large messages that are in work, or applied and not written yet."""
        self.counts = Counts()
        self.caught_up = 0
        self.recorded_at: int | None = None
        """The log's time (ms) of the last message written; None before the first."""

    def check_log(self) -> None:
        """Compares the log with the state, before anything is rated. Raises LogChanged, LogUnavailable."""
        wiring, store = self._wiring, self._store
        place = f"{wiring.names.requests}[{self._partition}]"
        check_same_log(wiring.input_log, place, self._partition, store.applied, store.last_message, wiring.patience)

    @property
    def applied(self) -> int:
        """The last source offset applied on the overlay, committed or not; -1 for none."""
        return self._applied

    @property
    def store(self) -> StateStore:
        return self._store

    @property
    def has_prices(self) -> bool:
        """Whether a price book is in force."""
        return self._state.book is not None

    @property
    def has_work(self) -> bool:
        """Whether messages wait, or one is in work."""
        return bool(self._waiting) or self._in_work is not None

    @property
    def is_in_message(self) -> bool:
        """Whether a message is in work, so that the overlay has a part of its changes."""
        return self._in_work is not None

    @property
    def next_large_bytes(self) -> int:
        """The bytes of the next message where that is a large one and not begun; else 0."""
        if self._in_work is not None or not self._waiting:
            return 0
        return _large_bytes(self._waiting[0])

    @property
    def waiting(self) -> tuple[int, int]:
        """How many messages wait, and their bytes."""
        return len(self._waiting), self._waiting_bytes

    @property
    def is_acknowledged(self) -> bool:
        """Whether the broker has every output that was sent, as far as `OutputLog.serve` and `wait` know."""
        return not self._wiring.output_log.unacknowledged(self._partition)

    @property
    def can_commit(self) -> bool:
        """Whether there is something to write, no message in the middle, and every output acknowledged."""
        return self._in_work is None and self._applied != self._store.applied and self.is_acknowledged

    def add(self, message: Message) -> None:
        """Puts a message behind those that wait."""
        self._waiting.append(message)
        self._waiting_bytes += len(message.value)

    def work(self) -> None:
        """One step: the next message, or the next slice of one that is in work. Nothing is written yet.

        A message that is applied already is skipped: its outputs were acknowledged before the state said so. A
        message beyond the next one is preceded by a catch-up from the log. Raises LostPrefix, LogError, StateError, and
        CatchUpInterrupted, after which it may go on: everything up to there is written.
        """
        if self._in_work is None:
            message = self._waiting.popleft()
            self._waiting_bytes -= len(message.value)
            if message.offset <= self._applied:
                return
            if message.offset > self._applied + 1:
                self._catch_up(message.offset)
            self.large_bytes += _large_bytes(message)
            self._in_work = message, self._rater.steps(message, self.counts)
        message, steps = self._in_work
        try:
            for _ in steps:
                return
        except Exception as error:
            error.add_note(f"while rating {self._wiring.names.requests}[{self._partition}]@{message.offset}")
            raise
        self._in_work = None
        self._note_applied(message)

    def spent(self, seconds: float) -> None:
        """Counts time of work on the present group."""
        self.group = self.group._replace(seconds=self.group.seconds + seconds)

    def forget_waiting(self) -> None:
        """Lets go of messages that wait, and brings one that is in work to its end: then everything can be written."""
        self._waiting.clear()
        self._waiting_bytes = 0
        while self._in_work is not None:
            self.work()

    def commit(self) -> Group:
        """Writes state and applied offset in one batch; returns what was written.

        Call it only where no message is in the middle and every output sent is acknowledged.
        """
        group = self.group
        if self._applied != self._store.applied:
            self._sweeper.sweep(group.messages * SWEEP_ROWS_PER_MESSAGE)
            last = None if self._last is None else last_message_of(self._last)
            self._store.commit_packed(self._state.changes(), self._applied, last)
            self._state.commit()
            if self._last is not None:
                self.recorded_at = self._last.timestamp
        self._last = None
        self.group = Group()
        self.large_bytes = 0
        return group

    def close(self) -> None:
        self._store.close()

    def _catch_up(self, stop: int) -> None:
        """Applies what stands between the state and offset ``stop``, read from the input log itself.

        Those messages were acknowledged to the consumer group after their outputs were in the topics; only this state
        does not have them (a new machine, a lost disk, a partition that came back). Should somebody have moved the
        group's offsets, so that an output is not there, it is sent now: nothing is taken on trust.
        """
        if self.group.messages:
            self._write()
        first_kept, _ = self._wiring.input_log.bounds(self._partition)
        if first_kept > self._applied + 1:
            place = f"{self._wiring.names.requests}[{self._partition}]"
            raise LostPrefix(
                f"{place}: the state has everything up to offset {self._applied}, but the log now begins at "
                f"{first_kept}: the charges between cannot be known. Restore a state that reaches at least "
                f"offset {first_kept - 1} (`creditmeter checkpoint list` shows those that are kept), "
                "or move this partition back to the machine that has it"
            )
        logger.info("catching up partition %d from offset %d to %d", self._partition, self._applied + 1, stop)
        for message in self._wiring.input_log.read(self._partition, self._applied + 1, stop):
            self._apply_at_once(message)
            self.caught_up += 1
            self.large_bytes += _large_bytes(message)
            if self.group.messages >= self._wiring.catch_up_messages or self.large_bytes >= MOST_LARGE_BYTES:
                self._write()
                if self._wiring.leaving.is_set():
                    raise CatchUpInterrupted(f"partition {self._partition} stopped at offset {self._applied} of {stop}")
        self._applied = stop - 1
        self._write()

    def _write(self) -> None:
        self._wiring.output_log.wait()
        self.commit()

    def _apply_at_once(self, message: Message) -> None:
        try:
            for _ in self._rater.steps(message, self.counts):
                pass
        except Exception as error:
            error.add_note(f"while rating {self._wiring.names.requests}[{self._partition}]@{message.offset}")
            raise
        self._note_applied(message)

    def _note_applied(self, message: Message) -> None:
        self._applied = message.offset
        self._last = message
        self.group = self.group._replace(messages=self.group.messages + 1)
        self.counts.messages += 1


def _large_bytes(message: Message) -> int:
    size = len(message.value)
    return size if size > LARGE_BYTES else 0

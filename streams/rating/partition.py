"""One partition of the input log, rated: decode, apply on an overlay, send, and write the state behind it.

State and outputs are functions of the log. This class keeps that true through crashes by the order of its effects; the
table in docs/guarantees.md says what happens when it stops after each of them.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from metering import Sweeper, apply
from metering.records import ID_FIELD, MAX_ID, Command, DeadLetterReason, Kind, Output, Record, dead_letter
from metering.state import ReadBook, State
from schemas.codec import Codec
from schemas.errors import Undecodable
from streams.log.partitioner import partition_of
from streams.log.protocols import CatchUpInterrupted, InputLog, LostPrefix, Message, OutputLog
from streams.log.topics import TopicNames
from streams.rating.outputs import Counts, Decided, Outbox, answers_to, encoded, topics_by_kind
from streams.state.same_log import SETTLING, check_same_log, last_message_of
from streams.state.store import StateStore

logger = logging.getLogger(__name__)

ORIGINAL_BYTES = 64 * 1024
"""A dead letter keeps this much of the message that brought it; source partition and offset find the rest."""
CATCH_UP_MESSAGES = 256
"""Messages applied between two writes while catching up."""
SWEEP_ROWS_PER_MESSAGE = 512

# Looked up once: on Python 3.11 a member of an enum takes as long to get as a function to call.
_DEAD_LETTER, _REPEATED = Kind.DEAD_LETTER, Kind.REPEATED


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


class PartitionRater:
    """Rates one partition's messages over its state.

    Discard it after any exception: what is not committed is read from the log again.
    """

    def __init__(self, wiring: Wiring, partition: int, store: StateStore) -> None:
        self._wiring = wiring
        self._partition = partition
        self._store = store
        self._state = State(store, wiring.read_book)
        self._sweeper = Sweeper(self._state)
        self._outbox = Outbox(partition, wiring.output_log, lambda: wiring.input_log.bounds(partition)[1])
        self._topics = topics_by_kind(wiring.names)
        self._applied = store.applied
        self._last: Message | None = None
        self._uncommitted = 0
        self.counts = Counts()
        self.caught_up = 0
        self.recorded_at: int | None = None
        """The log's time (ms) of the last message applied; None before the first."""

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

    def rate(self, messages: Sequence[Message]) -> None:
        """Applies the messages on the overlay and queues their outputs; nothing is written yet.

        A message that is applied already is skipped: its outputs were acknowledged before the state said so. A
        message beyond the next one is preceded by a catch-up from the log. Raises LostPrefix, LogError, StateError, and
        CatchUpInterrupted, after which it may go on: everything up to there is written.
        """
        for message in messages:
            if message.offset <= self._applied:
                continue
            if message.offset > self._applied + 1:
                self._catch_up(message.offset)
            self._rate_one(message)

    def commit(self) -> None:
        """Writes state and applied offset in one batch. Call it only when every output sent is acknowledged."""
        if self._applied == self._store.applied:
            return
        self._sweeper.sweep(self._uncommitted * SWEEP_ROWS_PER_MESSAGE)
        last = None if self._last is None else last_message_of(self._last)
        self._store.commit(self._state.changes(), self._applied, last)
        self._state.commit()
        self._last = None
        self._uncommitted = 0

    def close(self) -> None:
        self._store.close()

    def _catch_up(self, stop: int) -> None:
        """Applies what stands between the state and offset ``stop``, read from the input log itself.

        Those messages were acknowledged to the consumer group after their outputs were in the topics; only this state
        does not have them (a new machine, a lost disk, a partition that came back). Should somebody have moved the
        group's offsets, so that an output is not there, it is sent now: nothing is taken on trust.
        """
        if self._uncommitted:
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
            self._rate_one(message)
            self.caught_up += 1
            if self._uncommitted >= self._wiring.catch_up_messages:
                self._write()
                if self._wiring.leaving.is_set():
                    raise CatchUpInterrupted(f"partition {self._partition} stopped at offset {self._applied} of {stop}")
        self._applied = stop - 1
        self._write()

    def _write(self) -> None:
        self._wiring.output_log.wait()
        self.commit()

    def _rate_one(self, message: Message) -> None:
        """Applies one message on the overlay and queues those of its outputs that are not in the topics yet."""
        try:
            decided = self._apply(message)
            self.counts.note(decided.outputs)
            offset = message.offset
            sends = encoded(
                self._wiring.codec,
                self._topics,
                decided,
                self._partition,
                offset,
                lambda topic: self._outbox.may_lack(topic, offset),
            )
            self._outbox.send(offset, sends)
        except Exception as error:
            error.add_note(f"while rating {self._wiring.names.requests}[{self._partition}]@{message.offset}")
            raise

    def _apply(self, message: Message) -> Decided:
        self._applied = message.offset
        self._last = message
        self.recorded_at = message.timestamp
        self._uncommitted += 1
        self.counts.messages += 1
        return apply_message(self._wiring, self._state, message, self.counts)


def apply_message(wiring: Wiring, state: State, message: Message, counts: Counts | None = None) -> Decided:
    """Everything that one input message causes, in order. Bad content becomes dead letters, never an exception."""
    try:
        command, records, digests = wiring.codec.decode_commands(message.value)
    except Undecodable as error:
        letter = dead_letter(DeadLetterReason.UNDECODABLE, None, None, {})
        letter.record["detail"] = error.detail
        letters = [with_place(letter, message, None, message.value)]
        return Decided(letters, answers_to(letters))
    if counts is not None:
        counts.events += len(records)
    if command != Command.REQUEST:
        return _apply_alone(wiring.partitions, state, command, records[0], message, digests[0])
    outputs: list[Output] = []
    unbilled: list[Output] = []
    originals: list[Record] | None = None
    for index, event in enumerate(records):
        caused = apply_one(wiring.partitions, state, command, event, message, index, digests[index])
        kind = caused[0].kind
        if kind is _DEAD_LETTER:
            if originals is None:  # the state machine may have changed the event in place: read it anew
                originals = wiring.codec.decode_command(message.value)[1]["events"]
            alone = message.value if len(records) == 1 else wiring.codec.encode_event_alone(originals[index])
            caused = [with_place(caused[0], message, index, alone)]
            unbilled += caused
        elif kind is _REPEATED:
            unbilled += caused
        outputs += caused
    return Decided(outputs, answers_to(unbilled))


def _apply_alone(
    partitions: int, state: State, command: str, record: Record, message: Message, digest: bytes
) -> Decided:
    """The outputs of a message that holds one command other than events."""
    own_id = record[ID_FIELD[Command(command)]]
    caused = apply_one(partitions, state, command, record, message, None, digest)
    outputs = [with_place(output, message, None, message.value) for output in caused]
    if command == Command.PRICE_BOOK:
        return Decided(outputs, None)
    return Decided(outputs, answers_to(outputs, {"command": command, "id": own_id}))


def apply_one(
    partitions: int,
    state: State,
    command: str,
    record: Record,
    message: Message,
    index: int | None = None,
    digest: bytes | None = None,
) -> list[Output]:
    """What one command of a message causes; a dead letter has no place yet. May change the record in place.

    ``index`` is its place in a batch of events, else None; ``digest`` that of its bytes, as `Codec.decode_commands`
    gives it.
    """
    account_id = record.get("account_id")
    # An id that is too long goes on to be an invalid_event: hashing and remembering it would only cost memory.
    if account_id and len(account_id) <= MAX_ID and partition_of(account_id, partitions) != message.partition:
        return [dead_letter(DeadLetterReason.WRONG_PARTITION, "account_id", Command(command), record)]
    return apply(state, command, record, message.timestamp, message.offset, index, digest)


def with_place(output: Output, message: Message, index: int | None, original: bytes) -> Output:
    """Adds to a dead letter where it came from and the bytes that brought it; other outputs pass."""
    if output.kind is Kind.DEAD_LETTER:
        output.record.update(
            index=index,
            producer=message.producer,
            recorded_at=message.timestamp,
            size=len(original),
            original=original[:ORIGINAL_BYTES],
        )
    return output

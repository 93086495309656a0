"""What the messages of the input log cause, one command after another; bad content becomes dead letters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, final

from metering import apply
from metering.records import ID_FIELD, MAX_ID, Command, DeadLetterReason, Kind, Output, Record, dead_letter
from schemas.errors import Undecodable
from streams.log.partitioner import partition_of
from streams.rating.outputs import Counts, Decided, answers_to

if TYPE_CHECKING:
    from metering.state import State
    from schemas.codec import Codec, Commands
    from streams.log.protocols import Message
    from streams.rating.partition import Wiring

ORIGINAL_BYTES = 64 * 1024
"""A dead letter keeps this much of the message that brought it; source partition and offset find the rest."""

# Looked up once: on Python 3.11 a member of an enum takes as long to get as a function to call.
_REQUEST: Final = Command.REQUEST
_DEAD_LETTER: Final = Kind.DEAD_LETTER
_REPEATED: Final = Kind.REPEATED


@final
class Originals:
    """The bytes of a message's events as they came, for the dead letters among them.

    ``events``: those from the place ``first`` of the batch on, as they were decoded; None reads them anew from the
    message when one is asked for, since the state machine may change events in place.

    A class, and no function within the one that needs it: compiled, such a function and the variables that it sees hold
    each other, and with them all events of the message, until the next garbage collection.
    """

    def __init__(
        self, codec: Codec, message: Message, *, is_alone: bool, events: list[Record] | None = None, first: int = 0
    ) -> None:
        self._codec = codec
        self._message = message
        self._is_alone = is_alone
        self._events = events
        self._first = first

    def at(self, index: int) -> bytes:
        """The bytes of the event at a place of the batch; those of the message where it holds one alone."""
        if self._is_alone:
            return self._message.value
        if self._events is None:
            self._events = self._codec.decode_command(self._message.value)[1]["events"]
        return self._codec.encode_event_alone(self._events[index - self._first])


def apply_message(wiring: Wiring, state: State, message: Message, counts: Counts | None = None) -> Decided:
    """Everything that one input message causes, in order. Bad content becomes dead letters, never an exception."""
    try:
        commands = wiring.codec.decode_commands(message.value)
    except Undecodable as error:
        return undecodable(message, error)
    return apply_commands(wiring, state, message, commands, counts)


def undecodable(message: Message, error: Undecodable) -> Decided:
    """The one dead letter of a message that cannot be read."""
    letter = dead_letter(DeadLetterReason.UNDECODABLE, None, None, {})
    letter.record["detail"] = error.detail
    letters = [with_place(letter, message, None, message.value)]
    return Decided(letters, answers_to(letters))


def apply_commands(
    wiring: Wiring, state: State, message: Message, commands: Commands, counts: Counts | None = None
) -> Decided:
    """As `apply_message`, where the message is decoded already."""
    word, records, digests = commands
    if counts is not None:
        counts.events += len(records)
    if word != _REQUEST:
        return _apply_alone(wiring.partitions, state, word, records[0], message, digests[0])
    originals = Originals(wiring.codec, message, is_alone=len(records) == 1)
    outputs, unbilled = apply_events(wiring.partitions, state, message, records, digests, originals)
    return Decided(outputs, answers_to(unbilled))


def apply_events(
    partitions: int,
    state: State,
    message: Message,
    events: Sequence[Record],
    digests: Sequence[bytes],
    originals: Originals,
    first_index: int = 0,
) -> tuple[list[Output], list[Output]]:
    """What events of a batch cause, and, of that, the repeats and dead letters. May change the events in place.

    ``first_index`` is the place in the batch of the first of ``events``; dead letters keep what ``originals`` has.
    """
    outputs: list[Output] = []
    unbilled: list[Output] = []
    for index, (event, digest) in enumerate(zip(events, digests, strict=True), first_index):
        caused = apply_one(partitions, state, _REQUEST, event, message, index, digest)
        kind = caused[0].kind
        if kind is _DEAD_LETTER:
            caused = [with_place(caused[0], message, index, originals.at(index))]
            unbilled += caused
        elif kind is _REPEATED:
            unbilled += caused
        outputs += caused
    return outputs, unbilled


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

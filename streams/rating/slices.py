"""A large batch of events, decided a slice at a time, so that other partitions have their turn in between.

A message is applied whole or not at all, and its parts say how many there are. So its changes stay on the overlay, and
its outputs in memory, encoded, until the last event is decided; only then the first part goes out. A process that ends
between two slices has sent and written nothing of it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from metering.records import Command
from schemas.errors import Undecodable
from streams.rating.deciding import Originals, apply_commands, apply_events, undecodable
from streams.rating.outputs import Counts, Decided, EncodedOutputs, Outbox, encoded

if TYPE_CHECKING:
    from metering.records import Kind
    from metering.state import State
    from schemas.codec import Commands
    from streams.log.protocols import Message
    from streams.rating.partition import Wiring


@dataclass(frozen=True, slots=True)
class Slicing:
    """How much is done in one step.

    ``events`` of a slice: about 8 ms of work. A batch of at most ``whole_events`` is decided in one step, since slices
    take a few per cent longer; a message of at most ``whole_bytes`` is decoded in one.
    """

    events: int = 256
    whole_events: int = 512
    whole_bytes: int = 128 * 1024


class MessageRater:
    """Decides the messages of one partition and queues their outputs, in steps of some milliseconds."""

    def __init__(self, wiring: Wiring, state: State, topics: dict[Kind, str], outbox: Outbox) -> None:
        self._wiring = wiring
        self._state = state
        self._topics = topics
        self._outbox = outbox

    def steps(self, message: Message, counts: Counts) -> Iterator[None]:
        """Applies one message on the overlay and queues those of its outputs that are not in the topics yet.

        Yields where others may have their turn; only at the end is the message applied. Raises LogError, StateError.
        """
        slices, slicing = None, self._wiring.slicing
        if len(message.value) > slicing.whole_bytes:
            slices = self._wiring.codec.event_slices(message.value, slicing.events)
        if slices is not None:
            yield from self._steps_of_batch(message, slices, counts)
            return
        try:
            commands = self._wiring.codec.decode_commands(message.value)
        except Undecodable as error:
            self._send(message, undecodable(message, error), counts)
            return
        if commands.word != Command.REQUEST or len(commands.records) <= slicing.whole_events:
            self._send(message, apply_commands(self._wiring, self._state, message, commands, counts), counts)
            return
        yield from self._slices(message, _cut(commands, slicing.events), counts)

    def _steps_of_batch(self, message: Message, slices: Iterator[Commands], counts: Counts) -> Iterator[None]:
        """Decodes all of the message first: nothing of one that cannot be read to its end is applied."""
        decoded: deque[Commands] = deque()
        try:
            for some in slices:
                decoded.append(some)
                yield
        except Undecodable as error:
            self._send(message, undecodable(message, error), counts)
            return
        yield from self._slices(message, decoded, counts)

    def _slices(self, message: Message, slices: deque[Commands], counts: Counts) -> Iterator[None]:
        codec, offset = self._wiring.codec, message.offset
        gathered = EncodedOutputs(
            codec, self._topics, message.partition, offset, lambda topic: self._outbox.may_lack(topic, offset)
        )
        first, is_alone = 0, len(slices) == 1 and len(slices[0].records) == 1
        while slices:
            _, events, digests = slices.popleft()
            # The state machine brings the events to their plain form.
            originals = Originals(
                codec, message, is_alone=is_alone, events=[dict(event) for event in events], first=first
            )
            outputs, unbilled = apply_events(
                self._wiring.partitions, self._state, message, events, digests, originals, first
            )
            first += len(events)
            counts.events += len(events)
            counts.note(outputs)
            gathered.add(outputs, unbilled)
            yield
        for send in gathered.sends():
            self._outbox.send(offset, [send])
            yield

    def _send(self, message: Message, decided: Decided, counts: Counts) -> None:
        counts.note(decided.outputs)
        offset = message.offset
        sends = encoded(
            self._wiring.codec,
            self._topics,
            decided,
            message.partition,
            offset,
            lambda topic: self._outbox.may_lack(topic, offset),
        )
        self._outbox.send(offset, sends)


def _cut(commands: Commands, size: int) -> deque[Commands]:
    """The events of a decoded batch in slices."""
    _, events, digests = commands
    return deque(
        commands._replace(records=events[at : at + size], digests=digests[at : at + size])
        for at in range(0, len(events), size)
    )

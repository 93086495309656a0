"""What one command caused, for whoever sent it: waits until it is decided, then finds its outputs in the topics.

A worker acknowledges an input message only after everything that it caused is in the output topics. So once the rating
group's offset has passed the message, whatever is there now with its source offset is all of it, and nothing there
means that it caused nothing: it was a repeat, or a change that has no output of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from schemas.batches import read_head
from schemas.catalog import BATCHES
from schemas.errors import Undecodable
from streams import clock
from streams.log.protocols import InputLog, LogError, LostPrefix, Message, TimedLog

if TYPE_CHECKING:
    from schemas.codec import Codec
    from streams.log.topics import TopicNames

Caused = dict[str, list[dict[str, Any]]]
"""By output topic, the records that one input message caused there, in order. Topics without any are left out."""

_PAUSE = 0.1
_CLOCKS_DIFFER_MS = 10_000
_LOOK_BACK = 16
_LOOK_BACK_FACTOR = 8


class NotDecided(LogError):
    """No worker has decided the command in time. It is in the log and loses nothing by the wait."""


class Progress(Protocol):
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
        progress: Progress,
    ) -> None:
        """`outputs`: each output topic's log, by its name; `progress`: the rating group's."""
        self._input = input_log
        self._names = names
        self._partitions = partitions
        self._codec = codec
        self._outputs = outputs
        self._progress = progress

    def wait(
        self, partition: int, offset: int, timeout: float, say: Callable[[str], None] = lambda _text: None
    ) -> Caused:
        """Everything that the message at (partition, offset) caused, once it is decided; empty for a repeat.

        `timeout` in seconds. Raises NotDecided, LogError.
        """
        self.wait_until_decided({partition: offset}, timeout, say)
        return self.caused_by(partition, [offset]).get(offset, {})

    def wait_until_decided(
        self, offsets: Mapping[int, int], timeout: float, say: Callable[[str], None] = lambda _text: None
    ) -> None:
        """Return when the worker has passed the offset of each partition. Raises NotDecided, LogError."""
        deadline = clock.monotonic() + timeout
        while True:
            rated = self.rated()
            behind = {each: offset for each, offset in offsets.items() if rated.get(each, 0) <= offset}
            if not behind:
                return
            if clock.monotonic() >= deadline:
                raise NotDecided(self._undecided(behind, timeout))
            say("waiting for the worker")
            clock.sleep(_PAUSE)

    def rated(self) -> dict[int, int]:
        """By partition, the next offset that the worker has not passed; absent where it has none. Raises LogError."""
        topic = self._names.requests
        found = self._progress.committed((topic,), self._partitions)
        return {partition: offset for (_, partition), offset in found.items()}

    def decided(self, partition: int, offset: int) -> bool:
        """Whether the worker has passed the offset. Raises LogError."""
        return self.rated().get(partition, 0) > offset

    def caused_by(self, partition: int, offsets: Collection[int]) -> dict[int, Caused]:
        """What is in the output topics of these input messages, by their offset; those without any are left out.

        Reads the topics from the time of the first of them to the outputs of the last. Raises LostPrefix where the
        log no longer holds the first, LogError.
        """
        found: dict[int, Caused] = {}
        if not offsets:
            return found
        since = self._recorded_at(partition, min(offsets))
        for topic in self._names.outputs:
            for offset, records in self._in_topic(topic, partition, frozenset(offsets), since).items():
                found.setdefault(offset, {})[topic] = records
        return found

    def _recorded_at(self, partition: int, offset: int) -> int:
        for message in self._input.read(partition, offset, offset + 1):
            return message.timestamp
        raise LostPrefix(f"{self._names.requests}[{partition}]@{offset}: there is no record at this offset")

    def _undecided(self, behind: Mapping[int, int], timeout: float) -> str:
        places = ", ".join(f"{self._names.requests}[{each}]@{offset}" for each, offset in sorted(behind.items()))
        return (
            f"Not decided within {timeout:g} s: no worker has reached {places}. The command is in the log there and "
            "will be decided when a worker runs; sending it again with the same id is safe. `creditmeter status` "
            "shows what runs"
        )

    def _in_topic(
        self, topic: str, partition: int, offsets: frozenset[int], since: int
    ) -> dict[int, list[dict[str, Any]]]:
        """Source offsets only rise for a reader, so the first one behind the last wanted is where to stop."""
        log = self._outputs[topic]
        start = self._start(log, partition, min(offsets), since)
        latest, seen = max(offsets), (-1, -1)
        records: dict[int, list[dict[str, Any]]] = {}
        for message in log.read(partition, start, log.bounds(partition)[1]):
            position = _position(message)
            if position <= seen:
                continue  # a worker that had lost its partition sent it again: every reader skips it
            if position[0] > latest:
                break
            seen = position
            if position[0] in offsets:
                name, batch = self._codec.decode(message.value)
                items = batch[BATCHES[name]]
                if items:
                    records.setdefault(position[0], []).extend(items)
        return records

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
            if max((_position(each)[0] for each in log.read(partition, first, start)), default=-1) < earliest:
                break
            start, length = first, length * _LOOK_BACK_FACTOR
        return start


def _position(message: Message) -> tuple[int, int]:
    """(source_offset, part); a record that no worker wrote comes before all, so that it is passed over."""
    try:
        head = read_head(message.value)
    except Undecodable:
        return -1, -1
    return head.source_offset, head.part

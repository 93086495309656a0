"""In-memory twins of the input and output logs, with the faults that a crash simulation needs.

A `MemoryBroker` outlives the workers that use it, as Kafka does. A worker's `MemoryOutputLog` keeps what was sent in a
queue until `wait`, as a producer does, so that a worker stopped in between loses exactly what a real one may lose.
"""

from __future__ import annotations

import threading
from collections import deque
from enum import StrEnum
from typing import TYPE_CHECKING

from streams.log.protocols import DeliveryFailed, HeldBack, LogChanged, LostPrefix, Message
from streams.log.seals import SEAL_HEADER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from streams.log.seals import Sealer


class FaultPoint(StrEnum):
    """Where a fault may strike: each is the instant just before the named thing happens."""

    SEND = "send"  # before the record is in the worker's queue
    APPEND = "append"  # before the record is in the log
    ACKNOWLEDGE = "acknowledge"  # the record is in the log; the worker does not know it yet
    RETURN = "return"  # everything is acknowledged; `wait` has not returned yet


def no_fault(step: FaultPoint, topic: str, partition: int) -> None:
    """Let everything pass."""


class MemoryBroker:
    """Topics that live as long as this object: append-only partitions with offsets, made when they are first named.

    `now` gives the time (ms) of a record that comes without one, as LogAppendTime does.
    """

    def __init__(self, now: Callable[[], int] = lambda: 0) -> None:
        self._now = now
        self._kept: dict[tuple[str, int], list[Message]] = {}
        self._first: dict[tuple[str, int], int] = {}
        self._next: dict[tuple[str, int], int] = {}
        self._headers: dict[tuple[str, int, int], Mapping[str, bytes]] = {}
        self.listeners: list[Callable[[], None]] = []
        """Called after every append, by whoever appends."""
        self._keys: dict[tuple[str, int, int], bytes] = {}
        self._writers: dict[str, object] = {}
        self.lock = threading.RLock()
        """Held while several records are written as one."""

    def append(
        self, topic: str, partition: int, value: bytes, timestamp: int | None = None, producer: str | None = None,
        headers: Mapping[str, bytes] | None = None, key: bytes | None = None,
    ) -> int:  # fmt: skip
        """Add one record; returns its offset."""
        place = (topic, partition)
        offset = self._next.get(place, 0)
        if headers:
            self._headers[topic, partition, offset] = dict(headers)
        if key is not None:
            self._keys[topic, partition, offset] = key
        at = self._now() if timestamp is None else timestamp
        seal = (headers or {}).get(SEAL_HEADER)
        self._kept.setdefault(place, []).append(Message(partition, offset, at, value, producer, seal))
        self._next[place] = offset + 1
        for listener in self.listeners:
            listener()
        return offset

    def copy(self) -> MemoryBroker:
        """A copy of all that is kept, as one of a broker's data directory, with a life of its own."""
        other = MemoryBroker(self._now)
        other._kept = {place: list(records) for place, records in self._kept.items()}
        other._first, other._next, other._headers = dict(self._first), dict(self._next), dict(self._headers)
        other._keys = dict(self._keys)
        return other

    def skip(self, topic: str, partition: int, offsets: int = 1) -> None:
        """Use up offsets without a record, as a transaction's marker does."""
        self._next[topic, partition] = self._next.get((topic, partition), 0) + offsets

    def expire(self, topic: str, partition: int, before: int) -> None:
        """Delete what stands before this offset, as retention does."""
        first, end = self.bounds(topic, partition)
        if not first <= before <= end:
            msg = f"{topic}[{partition}]: expiry before {before} is outside {first}..{end}"
            raise ValueError(msg)
        self._first[topic, partition] = before
        self._kept[topic, partition] = [m for m in self.records(topic, partition) if m.offset >= before]

    def compact(self, topic: str, partition: int) -> None:
        """Keep the newest record of each key, and of those only what has a value, as compaction does in the end."""
        newest = {self._keys[topic, partition, m.offset]: m for m in self.records(topic, partition)}
        self._kept[topic, partition] = sorted(m for m in newest.values() if m.value)

    def take_over(self, topic: str, writer: object) -> None:
        """From now on this is the topic's one writer."""
        with self.lock:
            self._writers[topic] = writer

    def is_writer(self, topic: str, writer: object) -> bool:
        """Whether nobody has taken over from this writer."""
        return self._writers.get(topic) is writer

    def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        """First offset that is kept, next offset to be given."""
        return self._first.get((topic, partition), 0), self._next.get((topic, partition), 0)

    def headers(self, topic: str, partition: int, offset: int) -> Mapping[str, bytes]:
        """The headers of one record; empty where it has none."""
        return self._headers.get((topic, partition, offset), {})

    def records(self, topic: str, partition: int) -> list[Message]:
        """What is kept, in order."""
        return list(self._kept.get((topic, partition), ()))


class MemoryInputLog:
    """The twin of `KafkaInputLog`."""

    def __init__(self, broker: MemoryBroker, topic: str) -> None:
        self._broker = broker
        self._topic = topic

    def bounds(self, partition: int) -> tuple[int, int]:
        return self._broker.bounds(self._topic, partition)

    def read(self, partition: int, first: int, stop: int) -> Iterator[Message]:
        if first >= stop:
            return
        kept, end = self.bounds(partition)
        if first < kept:
            raise LostPrefix(f"{self._topic}[{partition}]@{first}: the log begins at {kept}")
        if stop > end:
            raise LogChanged(f"{self._topic}[{partition}]: the log ends at {end}, {stop} was wanted")
        for message in self._broker.records(self._topic, partition):
            if first <= message.offset < stop:
                yield message

    def read_with_headers(self, partition: int, first: int, stop: int) -> Iterator[tuple[Message, Mapping[str, bytes]]]:
        for message in self.read(partition, first, stop):
            yield message, self._broker.headers(self._topic, partition, message.offset)

    def held_back(self, partition: int) -> HeldBack:  # noqa: ARG002 -- the protocol's; there are no transactions here
        return HeldBack(0, None)

    def offset_at(self, partition: int, timestamp: int) -> int:
        kept = (m.offset for m in self._broker.records(self._topic, partition) if m.timestamp >= timestamp)
        return next(kept, self.bounds(partition)[1])


class MemoryOutputLog:
    """The twin of `KafkaOutputLog`: one worker's producer.

    `fault(step, topic, partition)` is called at every step and may raise: a DeliveryFailed is a failed or lost
    acknowledgement, anything else is the process ending there. Either way nothing more goes out, except by `send_late`.
    `pace(waiting)` gives how many of so many queued records reach the log in one `serve`; without it, all of them.
    """

    def __init__(
        self,
        broker: MemoryBroker,
        position_of: Callable[[bytes], tuple[int, int]],
        fault: Callable[[FaultPoint, str, int], None] = no_fault,
        seals: Sealer | None = None,
        pace: Callable[[int], int] | None = None,
    ) -> None:
        self._broker = broker
        self._seals = seals
        self._pace = pace
        self._position_of = position_of
        self._fault = fault
        self._queue: deque[tuple[str, int, bytes]] = deque()
        self._ended: str | None = None

    def last_position(self, topic: str, partition: int) -> tuple[int, int] | None:
        for record in reversed(self._broker.records(topic, partition)):
            if self._seals is None or self._seals.is_ours(topic, record):
                return self._position_of(record.value)
        return None

    def send(self, topic: str, partition: int, value: bytes) -> None:
        self._check()
        self._strike(FaultPoint.SEND, topic, partition)
        self._queue.append((topic, partition, value))

    def push(self, records: int = 1) -> None:
        """Let this many queued records reach the log now, as a producer's own thread may at any time before `wait`."""
        self._check()
        for _ in range(min(records, len(self._queue))):
            topic, partition, value = self._queue[0]
            self._strike(FaultPoint.APPEND, topic, partition)
            self._append(topic, partition, value)
            self._queue.popleft()
            self._strike(FaultPoint.ACKNOWLEDGE, topic, partition)

    def serve(self, seconds: float) -> None:  # noqa: ARG002 -- the protocol's; nothing takes time here
        waiting = len(self._queue)
        self.push(waiting if self._pace is None else self._pace(waiting))

    def unacknowledged(self, partition: int) -> int:
        return sum(queued == partition for _, queued, _ in self._queue)

    def wait(self) -> None:
        self.push(len(self._queue))
        self._check()
        self._strike(FaultPoint.RETURN, "", -1)

    def abandon(self) -> None:
        self._ended = self._ended or "it was abandoned"

    def close(self) -> None:
        self._ended = self._ended or "it was closed"

    def send_late(self, records: int | None = None) -> int:
        """What was queued goes out after all, as from a worker that has lost its partition and does not know it.

        Returns how many records went out.
        """
        count = len(self._queue) if records is None else min(records, len(self._queue))
        for _ in range(count):
            self._append(*self._queue.popleft())
        return count

    def _append(self, topic: str, partition: int, value: bytes) -> None:
        headers = {} if self._seals is None else {SEAL_HEADER: self._seals.seal(topic, partition, value)}
        self._broker.append(topic, partition, value, headers=headers)

    def _check(self) -> None:
        if self._ended is not None:
            raise DeliveryFailed(f"nothing more is sent: {self._ended}")

    def _strike(self, step: FaultPoint, topic: str, partition: int) -> None:
        try:
            self._fault(step, topic, partition)
        except BaseException as error:
            self._ended = f"{step} {topic}[{partition}]: {error}"
            raise

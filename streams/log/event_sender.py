"""Stores commands of many callers at once in the input log, and tells each where its own stand.

Events share a Kafka message only with others of the same producer (a key, at a server). They go out at once where
nothing of their partition is in flight, else with what has gathered when an acknowledgement comes, `Gathering.seconds`
at most. Belongs to one event loop; only reports come from another thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import count
from typing import TYPE_CHECKING, NamedTuple

from streams.log.protocols import LogUnavailable

if TYPE_CHECKING:
    from schemas.codec import Codec
    from streams.log.message_sender import MessageSender, Report

DIGEST_DIGITS = 32
"""Hexadecimal digits of a message's digest in a receipt."""


class SenderFull(LogUnavailable):
    """As many bytes as may be are on their way to Kafka: nothing of this was sent; try again in a moment."""


@dataclass(frozen=True, slots=True)
class Stored:
    """Where a command stands, acknowledged by every in-sync replica. `digest`: see `value_digest`."""

    partition: int
    offset: int
    index: int
    digest: str


@dataclass(frozen=True, slots=True)
class Gathering:
    """How events become messages: at most so many of so many bytes, gathered so long while others are in flight."""

    events: int = 100
    size: int = 512 << 10
    seconds: float = 0.005
    unacknowledged: int = 64 << 20
    """Bytes that may be gathered or in flight, all callers together."""


class Outgoing(NamedTuple):
    """An encoded event, and the partition of its account."""

    partition: int
    event: bytes


def value_digest(value: bytes) -> str:
    """The first 128 bits of SHA-256 of a Kafka value as stored, in hex (SERVER.md 2.2)."""
    return sha256(value).hexdigest()[:DIGEST_DIGITS]


@dataclass(slots=True)
class _Batch:
    """What one caller waits for."""

    done: asyncio.Future[None]
    left: int
    stored: list[Stored | None]


class _Item(NamedTuple):
    batch: _Batch
    place: int
    event: bytes


@dataclass(slots=True)
class _Partition:
    """`waiting`: by producer, in the order of their first event; `in_flight`: messages that are not acknowledged."""

    waiting: dict[str, list[_Item]] = field(default_factory=dict)
    in_flight: int = 0
    timer: asyncio.TimerHandle | None = None


class _Message(NamedTuple):
    partition: int
    size: int
    digest: str
    items: Sequence[_Item]


class EventSender:
    """See the module. Made within the running loop; `close` comes last."""

    def __init__(self, sender: MessageSender, codec: Codec, gathering: Gathering | None = None) -> None:
        self._sender = sender
        self._codec = codec
        self._gathering = gathering or Gathering()
        self._loop = asyncio.get_running_loop()
        self._partitions: dict[int, _Partition] = {}
        self._messages: dict[int, _Message] = {}
        self._tokens = count()
        self.unacknowledged = 0
        """Bytes of events that are gathered or in flight."""
        sender.start(self._from_thread)

    def problem(self) -> str | None:
        """Why nothing can be stored now; None: all is well."""
        return self._sender.problem()

    async def store_events(self, producer: str, events: Sequence[Outgoing]) -> list[Stored | None]:
        """Where each event stands, once all are acknowledged; None for one that may or may not be in the log.

        Raises LogUnavailable where nothing of them was sent, SenderFull where too much is on its way.
        """
        if not events:
            return []
        self._check(sum(len(outgoing.event) for outgoing in events))
        batch = _Batch(self._loop.create_future(), len(events), [None] * len(events))
        partitions = []
        for place, outgoing in enumerate(events):
            partition = self._partitions.get(outgoing.partition)
            if partition is None:
                partition = self._partitions[outgoing.partition] = _Partition()
            partition.waiting.setdefault(producer, []).append(_Item(batch, place, outgoing.event))
            self.unacknowledged += len(outgoing.event)
            partitions.append(outgoing.partition)
        for number in dict.fromkeys(partitions):
            self._flush_or_gather(number)
        await batch.done
        return batch.stored

    async def store_command(self, producer: str, partition: int, value: bytes) -> Stored | None:
        """Where a message with one other command stands; its index is 0. Raises as `store_events`."""
        self._check(len(value))
        batch = _Batch(self._loop.create_future(), 1, [None])
        self._flush(partition)  # what its account sent before goes before it
        self.unacknowledged += len(value)
        self._send(partition, producer, value, len(value), [_Item(batch, 0, value)])
        await batch.done
        return batch.stored[0]

    async def close(self, seconds: float) -> None:
        """Send what has gathered and wait up to `seconds` for its acknowledgements."""
        for number in list(self._partitions):
            self._flush(number)
        await asyncio.to_thread(self._sender.close, seconds)

    def _check(self, size: int) -> None:
        if (problem := self._sender.problem()) is not None:
            raise LogUnavailable(problem)
        if self.unacknowledged and self.unacknowledged + size > self._gathering.unacknowledged:
            raise SenderFull(f"{self.unacknowledged} bytes are on their way to Kafka already")

    def _flush_or_gather(self, number: int) -> None:
        partition = self._partitions[number]
        if not partition.in_flight:
            self._flush(number)
        elif partition.timer is None:
            partition.timer = self._loop.call_later(self._gathering.seconds, self._flush, number)

    def _flush(self, number: int) -> None:
        """Send everything that has gathered for a partition."""
        partition = self._partitions.setdefault(number, _Partition())
        if partition.timer is not None:
            partition.timer.cancel()
            partition.timer = None
        waiting, partition.waiting = partition.waiting, {}
        for producer, items in waiting.items():
            for part in self._parts(items):
                value = self._codec.join_events([item.event for item in part])
                self._send(number, producer, value, sum(len(item.event) for item in part), part)

    def _parts(self, items: Sequence[_Item]) -> list[list[_Item]]:
        parts: list[list[_Item]] = []
        size = 0
        for item in items:
            if not parts or len(parts[-1]) >= self._gathering.events or size + len(item.event) > self._gathering.size:
                parts.append([])
                size = 0
            parts[-1].append(item)
            size += len(item.event)
        return parts

    def _send(self, number: int, producer: str, value: bytes, size: int, items: Sequence[_Item]) -> None:
        token = next(self._tokens)
        partition = self._partitions.setdefault(number, _Partition())
        partition.in_flight += 1
        self._messages[token] = _Message(number, size, value_digest(value), items)
        try:
            self._sender.send(number, value, producer, token)
        except LogUnavailable:  # it became so since `_check`; its caller has sent more, so "unknown" it is for all
            self._settle(token, None)

    def _from_thread(self, reports: Sequence[Report]) -> None:
        self._loop.call_soon_threadsafe(self._settle_all, list(reports))

    def _settle_all(self, reports: Sequence[Report]) -> None:
        partitions = [self._messages[report.token].partition for report in reports if report.token in self._messages]
        for report in reports:
            self._settle(report.token, report.offset)
        for number in dict.fromkeys(partitions):
            if self._partitions[number].waiting:
                self._flush(number)

    def _settle(self, token: int, offset: int | None) -> None:
        message = self._messages.pop(token, None)
        if message is None:
            return
        self._partitions[message.partition].in_flight -= 1
        self.unacknowledged -= message.size
        for index, item in enumerate(message.items):
            batch = item.batch
            if offset is not None:
                batch.stored[item.place] = Stored(message.partition, offset, index, message.digest)
            batch.left -= 1
            if not batch.left and not batch.done.done():  # a caller that left has cancelled it
                batch.done.set_result(None)

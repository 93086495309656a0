"""The two ends of the pipeline as protocols: the log that is read, and the logs that are written.

`input_log` and `output_log` hold the Kafka implementations, `memory` the in-memory twins; one contract suite runs
over both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from streams.log.seals import SEAL_HEADER

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

PRODUCER_HEADER = "creditmeter-producer"
PRODUCER_LENGTH = 128


class Message(NamedTuple):
    """One record of a log. `timestamp` is the broker's (LogAppendTime), in ms since the epoch, UTC."""

    partition: int
    offset: int
    timestamp: int
    value: bytes
    producer: str | None
    seal: bytes | None = None
    """The header `seal`, of output records (see `seals`)."""


class LogError(Exception):
    """Something about a log that ends the work; the message names topic[partition]@offset and what to do."""


class LogUnavailable(LogError):
    """The broker did not answer in time. Trying again later is right."""


class LostPrefix(LogError):
    """Records that are needed have been deleted from the log. Trying again does not help."""


class LogChanged(LogError):
    """The topic is not what the pipeline needs: too short for what was read before, or without LogAppendTime."""


class DeliveryFailed(LogError):
    """An output was not acknowledged. It may or may not be in the log; nothing later was sent after it."""


class CatchUpInterrupted(Exception):
    """A long catch-up ended early, between two writes, because it was asked to. What it wrote is good; no failure."""


class InputLog(Protocol):
    """The commands, by partition: the only truth. Reading it moves no consumer group."""

    def bounds(self, partition: int) -> tuple[int, int]:
        """First offset that is kept and the next offset to be given: equal when nothing is kept.

        Raises LogUnavailable.
        """
        ...

    def read(self, partition: int, first: int, stop: int) -> Iterator[Message]:
        """Every record with first <= offset < stop, in order; offsets that hold no record are skipped.

        Raises LostPrefix when `first` is no longer kept, LogChanged when the log ends before `stop`, LogUnavailable.
        """
        ...


class TimedLog(InputLog, Protocol):
    """A log that also knows where a time is."""

    def offset_at(self, partition: int, timestamp: int) -> int:
        """The first offset whose record is not before the time (ms, the broker's); where there is none, the end.

        Raises LogUnavailable.
        """
        ...


class GroupMembers(NamedTuple):
    """How many processes a consumer group has, and which (topic, partition) pairs they have between them.

    `places` is None where that is not known: while the group shares them out.
    """

    processes: int
    places: frozenset[tuple[str, int]] | None


class HeldBack(NamedTuple):
    """Records behind an open transaction, which nobody reads until it ends: how many offsets, and since when (ms)."""

    offsets: int
    since: int | None


class RecordLog(TimedLog, Protocol):
    """A log whose records' headers can be read, too."""

    def held_back(self, partition: int) -> HeldBack:
        """What an open transaction holds back at the end of the partition: no offsets where there is none.

        Raises LogUnavailable.
        """
        ...

    def read_with_headers(self, partition: int, first: int, stop: int) -> Iterator[tuple[Message, Mapping[str, bytes]]]:
        """As `read`; with each record the first header of each name. Raises as `read`."""
        ...


class OutputLog(Protocol):
    """The output topics. What is sent to one partition is there in the order of sending, without gaps."""

    def last_position(self, topic: str, partition: int) -> tuple[int, int] | None:
        """(source_offset, part) of the last record in the partition that is ours; None when it holds none.

        Raises LogUnavailable.
        """
        ...

    def send(self, topic: str, partition: int, value: bytes) -> None:
        """Queue one record. Blocks, never drops, when the queue is full. Raises DeliveryFailed after a failure."""
        ...

    def serve(self, seconds: float) -> None:
        """Take in the acknowledgements that are here; where none is missing any more, or after so long, return.

        With more than 0 seconds what is queued goes out at once. Raises DeliveryFailed, as `wait`.
        """
        ...

    def unacknowledged(self, partition: int) -> int:
        """How many sends to this partition, of any topic, are not acknowledged as far as `serve` and `wait` know."""
        ...

    def wait(self) -> None:
        """Return when every send so far is acknowledged. Raises DeliveryFailed, and from then on nothing is sent."""
        ...

    def abandon(self) -> None:
        """Let a `send` or `wait` that blocks end with DeliveryFailed; may come from any thread."""
        ...

    def close(self) -> None:
        """End. What was sent and not waited for may or may not be in the log."""
        ...


def first_headers(headers: Iterable[tuple[str, bytes | None]] | None) -> Iterator[tuple[str, bytes]]:
    """The first header of each name, an absent value as empty."""
    seen = set()
    for name, value in headers or ():
        if name not in seen:
            seen.add(name)
            yield name, value or b""


def seal_of(headers: Iterable[tuple[str, bytes | None]] | None) -> bytes | None:
    """The record's seal: its first header `seal`."""
    for name, value in headers or ():
        if name == SEAL_HEADER:
            return value
    return None


def producer_of(headers: Iterable[tuple[str, bytes | None]] | None) -> str | None:
    """Who sent a record: the first `creditmeter-producer` header, as text of at most 128 characters.

    Every reader of the input log must go through here: dead letters quote it, and a replay has to give the same bytes.
    """
    for name, value in headers or ():
        if name == PRODUCER_HEADER:
            return (value or b"").decode("utf-8", "replace")[:PRODUCER_LENGTH]
    return None

"""A rating loop on memory logs and states, with a clock that moves as the test says."""

from __future__ import annotations

from collections.abc import Callable

from replay.audit.findings import Difference
from replay.audit.state import compare_states
from schemas.batches import read_position
from schemas.codec import Codec
from schemas.price_book import read_book
from streams.log.memory import MemoryBroker, MemoryInputLog, MemoryOutputLog
from streams.log.protocols import Message
from streams.log.topics import TopicNames
from streams.rating.loop import RatingLoop
from streams.rating.partition import Wiring
from streams.rating.slices import Slicing
from streams.state.store import MemoryState
from tests.streams.traffic import BOOK, START, book_command

NAMES = TopicNames("rated")
CODEC = Codec()
STEP = 1 / 128
"""Seconds that each step of work takes: two of them are a turn."""


class Rated:
    """``pace`` says how many of so many queued outputs are acknowledged at a time; all by default."""

    def __init__(
        self, partitions: int = 2, slicing: Slicing | None = None, pace: Callable[[int], int] | None = None
    ) -> None:
        self.broker = MemoryBroker()
        self.output = MemoryOutputLog(self.broker, read_position, pace=pace)
        self.states = [MemoryState() for _ in range(partitions)]
        self.steps = 0
        log = MemoryInputLog(self.broker, NAMES.requests)
        wiring = Wiring(NAMES, partitions, CODEC, read_book, log, self.output, slicing=slicing or Slicing())
        self.loop = RatingLoop(wiring, lambda partition: self.states[partition], now=self._now)

    def _now(self) -> float:
        self.steps += 1
        return self.steps * STEP

    def append(self, partition: int, value: bytes, at: int = START) -> Message:
        """One message of the input log."""
        offset = self.broker.append(NAMES.requests, partition, value, at)
        return Message(partition, offset, at, value, None)

    def publish(self) -> None:
        """A price book in every partition, decided."""
        book = CODEC.encode("PriceBook", book_command(BOOK, START))
        self.loop.process([self.append(partition, book) for partition in range(len(self.states))])

    def values(self, topic: str, partition: int) -> list[bytes]:
        return [each.value for each in self.broker.records(topic, partition)]

    def outputs(self) -> list[list[bytes]]:
        """All that was sent, by topic and partition."""
        return [self.values(topic, partition) for topic in NAMES.outputs for partition in range(len(self.states))]


def assert_same(one: Rated, other: Rated) -> None:
    """The same bytes sent, and the same states, but for what clean-up takes away sooner or later."""
    assert one.outputs() == other.outputs()
    differences: list[Difference] = []
    for mine, its in zip(one.states, other.states, strict=True):
        assert mine.applied == its.applied
        compare_states(mine, its, "state", differences.append)
    assert not differences

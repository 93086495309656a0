"""How far the store is in input messages: only what is wholly loaded counts."""

from __future__ import annotations

from typing import Any

from schemas.codec import Codec
from streams.loading.continuity import Continuity
from streams.loading.loader import LoadingHandler
from streams.loading.positions import NOT_KNOWN
from streams.log.memory import MemoryBroker
from streams.log.seals import SEAL_HEADER, Sealer
from streams.metrics import Metrics
from tests.streams.loading.loading_simulation import MemoryStore, MemoryTopics

TOPIC = "credits.billed"
PLACE = TOPIC, 0


class OneTopic:
    """A loader of one partition, whose records are batches of one message's outputs in parts."""

    def __init__(self) -> None:
        self.broker, self.store = MemoryBroker(), MemoryStore(lambda _: None)
        self.codec, self.sealer = Codec(), Sealer(b"key")
        self.start()

    def start(self) -> None:
        """A new process on the same store."""
        continuity = Continuity(MemoryTopics(self.broker), patience=0)
        self.handler = LoadingHandler(
            self.store, self.store, self.codec, self.sealer, Metrics(), continuity, pause=lambda _: None
        )
        self.handler.starts([PLACE])

    def load(self, source_offset: int, part: int, parts: int) -> int:
        """Loads one batch; returns the source offset that the store says is complete."""
        head: dict[str, Any] = {"source_partition": 0, "source_offset": source_offset, "part": part, "parts": parts}
        value = self.codec.encode("BilledBatch", head | {"events": [], "repeated": [], "set_aside": [], "applied": []})
        return self._load(value, sealed=True)

    def load_stray(self) -> int:
        return self._load(b"somebody else's", sealed=False)

    def _load(self, value: bytes, *, sealed: bool) -> int:
        seal = self.sealer.seal(*PLACE, value)
        self.broker.append(*PLACE, value, headers={SEAL_HEADER: seal} if sealed else None)
        self.handler.process({TOPIC: [list(self.broker.records(*PLACE))[-1]]})
        return self.store.positions[PLACE].source_offset


def test_a_message_in_parts_is_complete_with_its_last_part() -> None:
    topic = OneTopic()
    assert [topic.load(4, 0, 1), topic.load(9, 0, 3), topic.load(9, 1, 3)] == [4, 8, 8]
    topic.start()
    assert [topic.load(9, 2, 3), topic.load(10, 0, 1)] == [9, 10]


def test_strays_and_doubles_move_nothing() -> None:
    topic = OneTopic()
    assert topic.load_stray() == NOT_KNOWN
    assert [topic.load(5, 0, 1), topic.load(5, 0, 1), topic.load(3, 0, 1), topic.load_stray()] == [5, 5, 5, 5]
    topic.start()
    assert topic.load_stray() == 5

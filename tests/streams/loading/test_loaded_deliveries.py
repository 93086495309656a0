"""What was sent to webhooks, loaded: its newest record is its row, also where the topic was compacted since."""

from __future__ import annotations

from typing import Any

from schemas.codec import Codec
from streams.loading.continuity import Continuity
from streams.loading.loader import LoadingHandler
from streams.log.memory import MemoryBroker
from streams.log.seals import SEAL_HEADER, Sealer
from streams.metrics import Metrics
from tests.schemas.records import EXAMPLES
from tests.streams.loading.loading_simulation import MemoryStore, MemoryTopics

TOPIC = "credits.deliveries"
PLACE = TOPIC, 0


class Store(MemoryStore):
    """Keeps what is inserted as it comes."""

    def __init__(self) -> None:
        super().__init__(lambda _: None)
        self.inserted: list[tuple[str, str, int]] = []

    def insert(self, table: str, columns: Any) -> None:
        assert table == "delivery_rows"
        self.inserted += zip(columns["delivery_id"], columns["status"], columns["version"], strict=True)


def test_deliveries_are_loaded_and_nothing_else_of_their_topic() -> None:
    broker, store, codec, sealer = MemoryBroker(), Store(), Codec(), Sealer(b"key")

    def put(name: str, key: bytes, *, sealed: bool = True, **changes: Any) -> None:
        value = codec.encode(name, EXAMPLES[name] | changes) if name else b""
        headers = {SEAL_HEADER: sealer.seal(*PLACE, value)} if sealed and name else None
        broker.append(*PLACE, value, headers=headers, key=key)

    def loader() -> LoadingHandler:
        continuity = Continuity(MemoryTopics(broker), patience=0, compacted={TOPIC})
        handler = LoadingHandler(
            store, store, codec, sealer, Metrics(), continuity, pause=lambda _: None, deliveries=TOPIC
        )
        begins = handler.starts([PLACE])[PLACE]
        handler.process({TOPIC: [message for message in broker.records(*PLACE) if message.offset >= begins]})
        return handler

    put("Delivery", b"one", delivery_id="one", status="pending")
    put("DeliveryPosition", b"position")
    put("Delivery", b"forged", sealed=False, delivery_id="forged")
    put("Delivery", b"one", delivery_id="one", status="delivered")
    loader()
    assert store.inserted == [("one", "pending", 0), ("one", "delivered", 3)]
    assert store.positions[PLACE].offset == 3
    put("", b"one")
    put("Delivery", b"two", delivery_id="two", status="failed")
    broker.compact(*PLACE)
    loader()
    assert store.inserted[2:] == [("two", "failed", 5)]

"""How far the billed topic has come, in one request."""

from __future__ import annotations

from confluent_kafka import TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # public, but not marked so in the library's types
    AdminClient,
    OffsetSpec,
)

from bench.events import PARTITIONS
from streams.kafka_client import client_config


class Ends:
    """Watches one topic. Costs the broker one small request a look."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._admin = AdminClient(client_config(bootstrap))
        latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        self._wanted = {TopicPartition(topic, partition): latest for partition in range(PARTITIONS)}

    def by_partition(self) -> list[int]:
        answers = self._admin.list_offsets(self._wanted, request_timeout=10)
        return [answers[place].result().offset for place in self._wanted]

    def total(self) -> int:
        return sum(self.by_partition())

"""How far the billed topic has come, in one request, and which process has which partitions."""

from __future__ import annotations

from confluent_kafka import TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # public, but not marked so in the library's types
    AdminClient,
    OffsetSpec,
)

from bench.events import PARTITIONS
from streams.log.client import client_config


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


def shares(bootstrap: str, group: str) -> list[list[int]]:
    """The partitions of each process of a consumer group, as they are shared out now."""
    admin = AdminClient(client_config(bootstrap))
    found = admin.describe_consumer_groups([group], request_timeout=10)[group].result()
    own = ([place.partition for place in member.assignment.topic_partitions] for member in found.members)
    return [partitions for partitions in own if partitions]

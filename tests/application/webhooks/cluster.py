"""Deliverers over topics in memory: a broker that outlives them, outputs, webhooks, and what was received."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from application.webhooks.announcements import Announcements
from application.webhooks.schedule import TryResult
from application.webhooks.work import DeliveryWork, WorkParts
from schemas.catalog import BATCHES
from schemas.codec import Codec
from streams.access.records import Webhook
from streams.deliveries.records import Delivery, DeliveryPosition
from streams.deliveries.topic import DeliveryTopic
from streams.log.keyed_writer import MemoryKeyedWriter
from streams.log.memory import MemoryBroker, MemoryInputLog
from streams.log.seals import SEAL_HEADER, Sealer
from streams.log.shared_partitions import MemorySharedPartitions
from streams.log.topics import TopicNames
from tests.application.webhooks.examples import NOW, a_webhook, taken
from tests.schemas.records import EXAMPLES

NAMES, CODEC, SEALER = TopicNames("t"), Codec(), Sealer(b"the key")
React = Callable[[Delivery], TryResult]


@dataclass
class Tries:
    """Keeps what is offered; `made` takes out what is due."""

    waiting: dict[str, tuple[int, Delivery]] = field(default_factory=dict)

    def offer(self, partition: int, delivery: Delivery) -> None:
        self.waiting[delivery.delivery_id] = partition, delivery

    def withdraw(self, delivery_id: str) -> None:
        self.waiting.pop(delivery_id, None)

    def leave(self, partition: int) -> None:
        self.waiting = {name: placed for name, placed in self.waiting.items() if placed[0] != partition}

    def due(self, now: int) -> list[tuple[int, Delivery]]:
        ready = [placed for placed in self.waiting.values() if (placed[1].next_at or 0) <= now]
        for _, delivery in ready:
            del self.waiting[delivery.delivery_id]
        return ready


@dataclass
class Cluster:
    """What outlives the processes. `now` in ms."""

    partitions: int = 2
    now: int = NOW
    webhooks: dict[str, Webhook] = field(default_factory=lambda: {"wh_1": a_webhook()})
    added: dict[str, Webhook] = field(default_factory=dict)
    """Further webhooks, which processes know of once they have read to the end."""
    react: React = lambda _delivery: taken()
    fault: Callable[[], None] = lambda: None
    turned_off: list[tuple[str, str]] = field(default_factory=list)
    received: list[str] = field(default_factory=list)
    """The ids of messages, as often as they were tried."""
    _source: dict[tuple[str, int], int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.broker = MemoryBroker(lambda: self.now)

    def output(
        self, name: str = "AlertBatch", partition: int = 0, items: Sequence[Mapping[str, Any]] = ({},), *,
        offset: int | None = None, sealed: bool = True,
    ) -> int:  # fmt: skip
        """One output batch; returns its source offset. `offset`: that of an earlier one, written again."""
        topic = {"AlertBatch": NAMES.alerts, "GrantBatch": NAMES.grants, "RefundBatch": NAMES.refunds}[name]
        source = self._source.get((topic, partition), 0) if offset is None else offset
        (example,) = EXAMPLES[name][BATCHES[name]]
        batch = {
            "source_partition": partition, "source_offset": source, "part": 0, "parts": 1,
            BATCHES[name]: [example | item for item in items],
        }  # fmt: skip
        value = CODEC.encode(name, batch)
        headers = {SEAL_HEADER: SEALER.seal(topic, partition, value)} if sealed else {}
        self.broker.append(topic, partition, value, headers=headers)
        self._source[topic, partition] = max(source + 1, self._source.get((topic, partition), 0))
        return source

    def topic(self) -> DeliveryTopic:
        writer = MemoryKeyedWriter(self.broker, NAMES.deliveries, SEALER, self._strike)
        return DeliveryTopic(MemoryInputLog(self.broker, NAMES.deliveries), NAMES.deliveries, SEALER, CODEC, writer)

    def _strike(self) -> None:
        self.fault()

    def records(self) -> list[Delivery | DeliveryPosition]:
        """Everything in the topic of deliveries, by partition."""
        topic = self.topic()
        return [
            record for partition in range(self.partitions)
            for _, record in topic.read(partition, 0, topic.bounds(partition)[1])
        ]  # fmt: skip

    def newest(self) -> dict[str, Delivery]:
        """The newest record of each delivery."""
        return {record.delivery_id: record for record in self.records() if isinstance(record, Delivery)}

    def read_webhooks(self) -> None:
        self.webhooks |= self.added

    def turn_off(self, webhook: Webhook, reason: str, *, because_failing: bool) -> None:
        self.turned_off.append((webhook.webhook_id, reason))

    def process(self, *partitions: int, announcements: Announcements | None = None) -> Process:
        """A deliverer that has these partitions, all of them where none are named."""
        return Process(self, partitions or tuple(range(self.partitions)), announcements)


class Process:
    """One deliverer: `step` is what its loop does once."""

    def __init__(self, cluster: Cluster, partitions: Sequence[int], announcements: Announcements | None) -> None:
        self.cluster = cluster
        self.tries = Tries()
        self.strays: list[str] = []
        parts = WorkParts(
            names=NAMES, codec=CODEC, seals=SEALER, log=lambda topic: MemoryInputLog(cluster.broker, topic),
            topic=cluster.topic(), log_id="log-1", webhooks=lambda: list(cluster.webhooks.values()),
            find=cluster.webhooks.get, turn_off=cluster.turn_off, now=lambda: cluster.now,
            read_webhooks=cluster.read_webhooks, announcements=announcements, stray=self.strays.append,
        )  # fmt: skip
        self.work = DeliveryWork(parts, self.tries)
        self.share = MemorySharedPartitions(cluster.broker, self.work)
        self.share.assign(partitions)

    def step(self) -> None:
        """Takes in what has come, makes the tries that are due, writes what came of them."""
        self.follow()
        self.work.results([self.tried(*placed) for placed in self.tries.due(self.cluster.now)])

    def follow(self) -> None:
        self.work.process(self.share.poll(0))
        self.share.commit(self.work.reached)
        self.work.tick()

    def tried(self, partition: int, delivery: Delivery) -> tuple[int, Delivery, TryResult]:
        self.cluster.received.append(delivery.delivery_id)
        return partition, delivery, self.cluster.react(delivery)

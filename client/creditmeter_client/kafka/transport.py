"""Sends commands to `credits.requests` with acks=all, without a server between. It can't answer questions."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from confluent_kafka import KafkaException, Producer, TopicCollection
from confluent_kafka.admin import AdminClient

from creditmeter_client.errors import MeterUnavailable
from creditmeter_client.kafka.partitions import partition_of
from creditmeter_client.kafka.schema_files import encode
from creditmeter_client.results import Delivery, DeliveryStatus
from creditmeter_client.usage import Command, Event, Refund

logger = logging.getLogger(__name__)

_MOST_EVENTS = 200
_IN_A_PATH = str.maketrans("+/", "-_")
"""A receipt has the topic's id as it can stand in a URL."""
"""Events of one Kafka message: decisions of other accounts wait behind it."""
_forgotten: list[Any] = []
"""Producers of a parent process: librdkafka must not touch them in a child, not even to free them."""


@dataclass(frozen=True)
class _Message:
    """One Kafka message, and which of the commands are in it, by their index in the request."""

    partition: int
    value: bytes
    indexes: tuple[int, ...]


class KafkaTransport:
    """Carries commands to the log. `servers`: host:port, with commas between. Only for machines that may write to it.

    `security` has librdkafka's names (`sasl.username`, …). `producer` is who sends, for dead letters.
    """

    def __init__(
        self,
        servers: str,
        *,
        topic: str = "credits.requests",
        producer: str = "creditmeter-client",
        security: Mapping[str, str] | None = None,
        timeout: float = 15.0,
    ) -> None:
        """Connects with the first command. `timeout`: seconds for a delivery."""
        self._topic = topic
        self._name = producer
        self._timeout = timeout
        self._config: dict[str, Any] = {
            "bootstrap.servers": servers,
            **(security or {}),
            "acks": "all",
            "enable.idempotence": True,
            "linger.ms": 0,
            "message.max.bytes": 16 << 20,
            "delivery.timeout.ms": int(timeout * 1000),
            "allow.auto.create.topics": False,
        }
        self._producer: Any = None
        self._partitions = 0
        self._log_id = ""

    def send(self, commands: Sequence[Command]) -> list[Delivery]:
        self._open()
        deliveries = [Delivery(DeliveryStatus.UNKNOWN)] * len(commands)
        for message in self._messages(commands):
            self._produce(message, deliveries)
        self._producer.flush(self._timeout + 5.0)
        if all(delivery.status is DeliveryStatus.UNKNOWN for delivery in deliveries):
            self._renew()
            raise MeterUnavailable(f"{self._topic}: no delivery was acknowledged within {self._timeout:g} s")
        return deliveries

    def after_fork(self) -> None:
        _forgotten.append(self._producer)
        self._producer = None

    def close(self) -> None:
        if self._producer is not None:
            self._producer.flush(self._timeout)
            self._producer = None

    def _open(self) -> None:
        if self._producer is not None:
            return
        try:
            admin = AdminClient({"bootstrap.servers": self._config["bootstrap.servers"], **self._security()})
            described = admin.describe_topics(TopicCollection([self._topic]), request_timeout=self._timeout)
            topic = described[self._topic].result(self._timeout)
        except (KafkaException, FutureTimeout) as error:
            raise MeterUnavailable(f"{self._topic}: {error}") from error
        self._partitions = len(topic.partitions)
        self._log_id = str(topic.topic_id).translate(_IN_A_PATH)
        self._producer = Producer(self._config)

    def _security(self) -> dict[str, Any]:
        return {name: value for name, value in self._config.items() if name.startswith(("sasl.", "ssl.", "security."))}

    def _renew(self) -> None:
        """After a failed delivery the next try begins with a new producer: the old one may refuse for ever."""
        if self._producer is not None:
            self._producer.purge(in_queue=True, in_flight=True)
            self._producer.poll(0)
            self._producer = None

    def _messages(self, commands: Sequence[Command]) -> Iterator[_Message]:
        by_partition: dict[int, list[int]] = {}
        for index, command in enumerate(commands):
            by_partition.setdefault(partition_of(command.account_id, self._partitions), []).append(index)
        for partition, indexes in by_partition.items():
            events = [index for index in indexes if isinstance(commands[index], Event)]
            for first in range(0, len(events), _MOST_EVENTS):
                some = events[first : first + _MOST_EVENTS]
                batch = {"events": [dict(commands[index].fields) for index in some]}
                yield _Message(partition, encode("RequestBatch", batch), tuple(some))
            for index in indexes:
                if isinstance(commands[index], Refund):
                    yield _Message(partition, encode("RefundRequest", dict(commands[index].fields)), (index,))

    def _produce(self, message: _Message, deliveries: list[Delivery]) -> None:
        digest = sha256(message.value).digest()[:16].hex()

        def delivered(error: Any, record: Any) -> None:
            if error is not None:
                logger.warning("%s[%d]: %s", self._topic, message.partition, error)
                return
            for place, index in enumerate(message.indexes):
                receipt = f"{self._log_id}.{record.partition()}.{record.offset()}.{place}.{digest}"
                deliveries[index] = Delivery(DeliveryStatus.STORED, receipt)

        try:
            self._producer.produce(
                self._topic,
                message.value,
                partition=message.partition,
                headers=[("creditmeter-producer", self._name.encode())],
                on_delivery=delivered,
            )
        except (BufferError, KafkaException) as error:
            logger.warning("%s[%d]: %s", self._topic, message.partition, error)

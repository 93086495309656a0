"""The twin of `KafkaConnections` on a `MemoryBroker`: for tests, and for a pipeline without a broker."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from metering.records import Command
from streams.log.command_producer import Delivery, encoded, encoded_event
from streams.log.keyed_writer import MemoryKeyedWriter
from streams.log.memory import MemoryBroker, MemoryInputLog, MemoryOutputLog
from streams.log.memory_access_writer import MemoryAccessWriter
from streams.log.memory_sending import MemoryMessageSender, MemoryTailSource
from streams.log.partitioner import partition_of
from streams.log.protocols import PRODUCER_HEADER, DeliveryFailed, GroupMembers
from streams.log.seals import Sealer
from streams.log.shared_partitions import MemorySharedPartitions

if TYPE_CHECKING:
    from types import TracebackType

    from schemas.codec import Codec
    from streams.log.shared_partitions import PartitionOwner
    from streams.log.topics import TopicNames, TopicSettings

LOG_ID = "memory"
logger = logging.getLogger(__name__)


class MemoryConnections:
    """One pipeline's topics in memory. `after_sending` is called when commands have reached the log."""

    address = "memory"

    def __init__(
        self, names: TopicNames, codec: Codec, partitions: int, broker: MemoryBroker,
        after_sending: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        self.broker = broker
        self.names = names
        self.codec = codec
        self.partitions = partitions
        self.after_sending = after_sending
        self.offsets: dict[str, dict[tuple[str, int], int]] = {}
        """By group, topic and partition: the next offset that the group has not acknowledged."""
        self.sealer = Sealer(LOG_ID.encode())
        """What the worker of this pipeline seals its outputs with."""

    def log(self, topic: str) -> MemoryInputLog:
        return MemoryInputLog(self.broker, topic)

    def partition_count(self) -> int:
        return self.partitions

    def log_id(self) -> str:
        return LOG_ID

    def ensure_topics(self, settings: TopicSettings) -> None:
        """Topics are there as soon as they are named."""

    def seals(self) -> Sealer:
        return self.sealer

    def access_log(self) -> MemoryInputLog:
        return self.log(self.names.access)

    def access_writer(self) -> MemoryAccessWriter:
        return MemoryAccessWriter(self.broker, self.names.access, self.sealer)

    def deliveries_writer(self) -> MemoryKeyedWriter:
        return MemoryKeyedWriter(self.broker, self.names.deliveries, self.sealer, after_writing=self._give_turn)

    def shared_deliveries(self, owner: PartitionOwner, session_timeout: float) -> MemorySharedPartitions:  # noqa: ARG002
        share = MemorySharedPartitions(self.broker, owner)
        share.assign(range(self.partitions))
        return share

    def group(self, name: str) -> MemoryGroup:
        return MemoryGroup(self.offsets.setdefault(name, {}))

    def command_sender(
        self, producer: str, on_delivery: Callable[[Delivery], None] | None = None
    ) -> MemoryCommandSender:
        return MemoryCommandSender(self, producer, on_delivery)

    def raw_sender(self) -> MemoryRawSender:
        return MemoryRawSender(self)

    def output_log(self) -> SettlingOutputLog:
        return SettlingOutputLog(self)

    def message_sender(self) -> MemoryMessageSender:
        return MemoryMessageSender(self.broker, self.names.requests, self._give_turn)

    def tail_source(self, names: Sequence[str]) -> MemoryTailSource:
        return MemoryTailSource(self.broker, names, self.partitions)

    def close(self) -> None:
        """Nothing is open."""

    def _give_turn(self) -> None:
        self.after_sending()  # as it is then: it may be set later

    def append(self, partition: int, value: bytes, producer: str | None, headers: Mapping[str, bytes]) -> int:
        """Add one message to the input; returns its offset."""
        return self.broker.append(self.names.requests, partition, value, None, producer, headers)


class MemoryGroup:
    """The twin of `GroupOffsets`."""

    def __init__(self, offsets: Mapping[tuple[str, int], int]) -> None:
        self._offsets = offsets

    def committed(self, topics: Sequence[str], partitions: int) -> dict[tuple[str, int], int]:
        wanted = {(topic, partition) for topic in topics for partition in range(partitions)}
        return {place: offset for place, offset in self._offsets.items() if place in wanted}

    def members(self) -> GroupMembers:
        return GroupMembers(1, None)

    def close(self) -> None:
        """Nothing is open."""


class MemoryCommandSender:
    """The twin of `CommandProducer`: nothing is in the log before `flush`, and `on_delivery` is called only then.

    Events wait in a batch for each partition. What `on_delivery` raises is logged, and ends nothing.
    """

    def __init__(
        self, connections: MemoryConnections, producer: str, on_delivery: Callable[[Delivery], None] | None
    ) -> None:
        self._connections = connections
        self._producer = producer
        self._on_delivery = on_delivery
        self._events: dict[int, list[tuple[Mapping[str, Any], bytes]]] = {}
        """By partition: what waits for its batch, each event with its bytes."""
        self._queued: list[tuple[int, bytes, list[Mapping[str, Any]]]] = []
        self._closed = False

    def add(self, event: Mapping[str, Any]) -> None:
        self.send_command(Command.REQUEST, event)

    def send_command(self, name: str, record: Mapping[str, Any], partition: int | None = None) -> None:
        self._check()
        command, partitions = Command(name), self._connections.partitions
        if command is Command.REQUEST:
            event, _ = encoded_event(self._connections.codec, record)
            self._events.setdefault(partition_of(record["account_id"], partitions), []).append((record, event))
            return
        value = encoded(self._connections.codec, command, record)
        if partition is not None:
            targets = [partition]
        elif command is Command.PRICE_BOOK:
            targets = list(range(partitions))
        else:
            targets = [partition_of(record["account_id"], partitions)]
        for target in targets:
            self._queue_events(target)
            self._queued.append((target, value, [record]))

    def flush(self) -> None:
        self._check()
        for partition in list(self._events):
            self._queue_events(partition)
        queued, self._queued = self._queued, []
        headers = {PRODUCER_HEADER: self._producer.encode()}
        for partition, value, records in queued:
            offset = self._connections.append(partition, value, self._producer, headers)
            if self._on_delivery is not None:
                try:
                    self._on_delivery(Delivery(partition, offset, records, None))
                except Exception:
                    logger.exception("on_delivery failed")
        if queued:
            self._connections.after_sending()

    def close(self) -> None:
        if not self._closed:
            self.flush()
            self._closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _queue_events(self, partition: int) -> None:
        waiting = self._events.pop(partition, [])
        if waiting:
            value = self._connections.codec.join_events([event for _, event in waiting])
            self._queued.append((partition, value, [record for record, _ in waiting]))

    def _check(self) -> None:
        if self._closed:
            raise DeliveryFailed("the producer is closed")


class MemoryRawSender:
    """The twin of `KafkaRawSender`: nothing is there before `finish`."""

    def __init__(self, connections: MemoryConnections) -> None:
        self._connections = connections
        self._queued: list[tuple[int, bytes, Mapping[str, bytes], str]] = []
        self._places: dict[str, tuple[int, int]] = {}

    def send(self, partition: int, value: bytes, headers: Mapping[str, bytes], name: str) -> None:
        self._queued.append((partition, value, headers, name))

    def finish(self) -> dict[str, tuple[int, int]]:
        queued, self._queued = self._queued, []
        for partition, value, headers, name in queued:
            producer = headers.get(PRODUCER_HEADER)
            text = None if producer is None else producer.decode()
            self._places[name] = partition, self._connections.append(partition, value, text, headers)
        if queued:
            self._connections.after_sending()
        return self._places


class SettlingOutputLog(MemoryOutputLog):
    """A sender to chosen partitions whose `wait` gives the worker its turn, as time does in Kafka."""

    def __init__(self, connections: MemoryConnections) -> None:
        super().__init__(connections.broker, connections.codec.read_position)
        self._connections = connections

    def wait(self) -> None:
        super().wait()
        self._connections.after_sending()

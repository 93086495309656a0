"""The twin of `KafkaConnections` on a `MemoryBroker`: for tests, and for a pipeline without a broker."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from metering.records import Command
from streams.log.command_producer import RECORD_NAME, Delivery
from streams.log.memory import MemoryBroker, MemoryInputLog, MemoryOutputLog
from streams.log.partitioner import partition_of
from streams.log.protocols import PRODUCER_HEADER
from streams.log.seals import Sealer

if TYPE_CHECKING:
    from types import TracebackType

    from schemas.codec import Codec
    from streams.log.topics import TopicNames, TopicSettings

LOG_ID = "memory"


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

    def close(self) -> None:
        """Nothing is open."""

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

    def members(self) -> int:
        return 1

    def close(self) -> None:
        """Nothing is open."""


class MemoryCommandSender:
    """The twin of `CommandProducer`: each event is a batch of one."""

    def __init__(
        self, connections: MemoryConnections, producer: str, on_delivery: Callable[[Delivery], None] | None
    ) -> None:
        self._connections = connections
        self._producer = producer
        self._on_delivery = on_delivery

    def add(self, event: Mapping[str, Any]) -> None:
        self.send_command(Command.REQUEST, event)

    def send_command(self, name: str, record: Mapping[str, Any], partition: int | None = None) -> None:
        codec, command = self._connections.codec, Command(name)
        if command is Command.REQUEST:
            value = codec.encode("RequestBatch", {"events": [record]})
        else:
            value = codec.encode(RECORD_NAME[command], record)
        if partition is None:
            partition = partition_of(record["account_id"], self._connections.partitions)
        headers = {PRODUCER_HEADER: self._producer.encode()}
        offset = self._connections.append(partition, value, self._producer, headers)
        if self._on_delivery is not None:
            self._on_delivery(Delivery(partition, offset, [record], None))

    def flush(self) -> None:
        self._connections.after_sending()

    def close(self) -> None:
        self.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.flush()


class MemoryRawSender:
    """The twin of `KafkaRawSender`."""

    def __init__(self, connections: MemoryConnections) -> None:
        self._connections = connections
        self._places: dict[str, tuple[int, int]] = {}

    def send(self, partition: int, value: bytes, headers: Mapping[str, bytes], name: str) -> None:
        producer = headers.get(PRODUCER_HEADER)
        offset = self._connections.append(partition, value, None if producer is None else producer.decode(), headers)
        self._places[name] = partition, offset

    def finish(self) -> dict[str, tuple[int, int]]:
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

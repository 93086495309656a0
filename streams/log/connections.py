"""The clients of one pipeline's topics behind one protocol: `KafkaConnections`, and a twin in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Protocol, Self

from streams.log import topics
from streams.log.access_writer import AccessWriter, KafkaAccessWriter
from streams.log.command_producer import CommandProducer
from streams.log.group_offsets import GroupOffsets
from streams.log.input_log import KafkaInputLog
from streams.log.keyed_writer import KafkaKeyedWriter, KeyedWriter
from streams.log.message_sender import KafkaMessageSender
from streams.log.output_log import KafkaOutputLog
from streams.log.pipeline_seals import PipelineSeals
from streams.log.protocols import GroupMembers, OutputLog, RecordLog
from streams.log.raw_sender import KafkaRawSender
from streams.log.reader import KafkaReader
from streams.log.seal_ledger import SealLedger, SealSettings
from streams.log.shared_partitions import KafkaSharedPartitions, PartitionOwner, SharedPartitions
from streams.log.tail_source import KafkaTailSource

if TYPE_CHECKING:
    from types import TracebackType

    from schemas.codec import Codec
    from streams.log.command_producer import Delivery
    from streams.log.decision_tail import TailSource
    from streams.log.message_sender import MessageSender
    from streams.log.seals import SealCheck
    from streams.log.topics import TopicNames, TopicSettings

_DELIVERY_MS = 120_000
_ACCESS_SECONDS = 5.0


class CommandSender(Protocol):
    """Sends commands to their accounts' partitions; see `CommandProducer`. Leaving its block flushes it."""

    def add(self, event: Mapping[str, Any]) -> None: ...
    def send_command(self, name: str, record: Mapping[str, Any], partition: int | None = None) -> None: ...
    def flush(self) -> None: ...
    def close(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...


class RawSender(Protocol):
    """Sends bytes as they are to chosen partitions of the input; see `KafkaRawSender`."""

    def send(self, partition: int, value: bytes, headers: Mapping[str, bytes], name: str) -> None: ...
    def finish(self) -> Mapping[str, tuple[int, int]]: ...


class ConsumerGroup(Protocol):
    """How far a consumer group is; see `GroupOffsets`."""

    def committed(self, topics: Sequence[str], partitions: int) -> Mapping[tuple[str, int], int]: ...
    def members(self) -> GroupMembers: ...
    def close(self) -> None: ...


class Connections(Protocol):
    """The clients of one pipeline. Each is made when it is first needed and used again; `close` ends all of them."""

    address: str
    """What people know the cluster by: host:port, or `memory`."""

    def log(self, topic: str) -> RecordLog:
        """A topic to read. All topics share one reader."""
        ...

    def partition_count(self) -> int:
        """How many partitions the input topic has. Raises LogError."""
        ...

    def log_id(self) -> str:
        """The input topic's id, after all topics were checked. Raises LogError where one is missing or wrong."""
        ...

    def ensure_topics(self, settings: TopicSettings) -> None:
        """Make the topics that are missing. Raises LogError where those that are there do not fit."""
        ...

    def seals(self) -> SealCheck:
        """Recognises output records of this pipeline; others are stray. Raises LogError."""
        ...

    def access_log(self) -> RecordLog:
        """The topic of who may do what, stray records among it. Raises LogError where the topic is missing."""
        ...

    def access_writer(self) -> AccessWriter:
        """A new writer of that topic, which the caller closes. Raises LogError where it is missing."""
        ...

    def deliveries_writer(self) -> KeyedWriter:
        """The writer of the topic of deliveries; all who ask share it. Raises LogError where the topic is missing."""
        ...

    def shared_deliveries(self, owner: PartitionOwner, session_timeout: float) -> SharedPartitions:
        """A share of the partitions of deliveries; whoever asked for it closes it. `session_timeout` in seconds."""
        ...

    def group(self, name: str) -> ConsumerGroup:
        """How far a consumer group is."""
        ...

    def command_sender(self, producer: str, on_delivery: Callable[[Delivery], None] | None = None) -> CommandSender:
        """A new sender of commands. `producer` names it in dead letters. Raises LogError."""
        ...

    def raw_sender(self) -> RawSender:
        """A new sender of bytes as they are. Raises LogError."""
        ...

    def output_log(self) -> OutputLog:
        """A sender to chosen partitions that keeps their order; gives up after two minutes without Kafka."""
        ...

    def message_sender(self) -> MessageSender:
        """A new sender for an event loop; whoever asked for it closes it."""
        ...

    def tail_source(self, names: Sequence[str]) -> TailSource:
        """The ends of output topics, to be followed; whoever asked for it closes it. Raises LogError."""
        ...

    def close(self) -> None:
        """End every client."""
        ...


class KafkaConnections:
    """`Connections` over a Kafka cluster."""

    def __init__(
        self, bootstrap: str, names: TopicNames, codec: Codec, security: Mapping[str, str],
        seal_settings: SealSettings | None = None,
    ) -> None:  # fmt: skip
        self.address = bootstrap
        self._names = names
        self._codec = codec
        self._security = security
        self._seal_settings = seal_settings or SealSettings()
        self._ledger: SealLedger | None = None
        self._reader: KafkaReader | None = None
        self._access_reader: KafkaReader | None = None
        self._deliveries_writer: KafkaKeyedWriter | None = None
        self._groups: dict[str, GroupOffsets] = {}
        self._open = ExitStack()

    def log(self, topic: str) -> KafkaInputLog:
        if self._reader is None:
            self._reader = KafkaReader(self.address, security=self._security)
            self._open.callback(self._reader.close)
        return KafkaInputLog.over(self._reader, topic)

    def partition_count(self) -> int:
        return topics.partition_count(self.address, self._names.requests, security=self._security)

    def log_id(self) -> str:
        return topics.check_topics(self.address, self._names, security=self._security)[self._names.requests]

    def ensure_topics(self, settings: TopicSettings) -> None:
        topics.ensure_topics(self.address, self._names, settings, security=self._security)

    def seals(self) -> SealLedger:
        if self._ledger is None:
            keys = self._seal_settings.for_log(self.log_id())
            ledger_log = self.log(self._names.seals)
            seals = PipelineSeals(self.address, self._names, keys, self._security, ledger_log)
            self._open.callback(seals.close)
            self._ledger = seals.opened()
        return self._ledger

    def access_log(self) -> KafkaInputLog:
        if self._access_reader is None:
            topics.partition_count(self.address, self._names.access, security=self._security)
            # Of its own, and impatient: what does not answer in time is said to be unavailable.
            self._access_reader = KafkaReader(self.address, security=self._security, timeout=_ACCESS_SECONDS)
            self._open.callback(self._access_reader.close)
        return KafkaInputLog.over(self._access_reader, self._names.access)

    def access_writer(self) -> KafkaAccessWriter:
        seals = self.seals()
        return KafkaAccessWriter(
            self.address, self._names.access, self._names.access_writer, lambda: seals.access_sealer, self._security
        )

    def deliveries_writer(self) -> KafkaKeyedWriter:
        if self._deliveries_writer is None:
            topics.partition_count(self.address, self._names.deliveries, security=self._security)
            seals = self.seals()
            self._deliveries_writer = KafkaKeyedWriter(
                self.address, self._names.deliveries, lambda: seals.access_sealer, self._security
            )
            self._open.callback(self._deliveries_writer.close)
        return self._deliveries_writer

    def shared_deliveries(self, owner: PartitionOwner, session_timeout: float) -> KafkaSharedPartitions:
        return KafkaSharedPartitions(
            self.address, self._names.delivering_group, self._names.deliveries, owner, self._security,
            session_timeout=session_timeout,
        )  # fmt: skip

    def group(self, name: str) -> GroupOffsets:
        if name not in self._groups:
            self._groups[name] = GroupOffsets(self.address, name, self._security)
            self._open.callback(self._groups[name].close)
        return self._groups[name]

    def command_sender(self, producer: str, on_delivery: Callable[[Delivery], None] | None = None) -> CommandProducer:
        return CommandProducer(
            self.address, self._names, self._codec, producer=producer, on_delivery=on_delivery, security=self._security
        )

    def raw_sender(self) -> KafkaRawSender:
        return KafkaRawSender(self.address, self._names.requests, self._security, timeout_ms=_DELIVERY_MS)

    def output_log(self) -> KafkaOutputLog:
        out = KafkaOutputLog(
            self.address, self._codec.read_position, security=self._security, message_timeout_ms=_DELIVERY_MS
        )
        self._open.callback(out.close)
        return out

    def message_sender(self) -> KafkaMessageSender:
        return KafkaMessageSender(self.address, self._names.requests, self._security)

    def tail_source(self, names: Sequence[str]) -> KafkaTailSource:
        return KafkaTailSource(self.address, names, self.partition_count(), self._security)

    def close(self) -> None:
        # Every client is closed, the newest first, also where closing one of them fails.
        self._open.close()


def group_lag(
    connections: Connections, group: str, topics: Sequence[str], partitions: int
) -> dict[tuple[str, int], int]:
    """By topic and partition, the messages that a group has not acknowledged yet. Raises LogError."""
    return lag_behind(connections, topics, partitions, connections.group(group).committed(topics, partitions))


def lag_behind(
    connections: Connections, topics: Sequence[str], partitions: int, reached: Mapping[tuple[str, int], int]
) -> dict[tuple[str, int], int]:
    """By topic and partition, the messages from `reached` on, which is the next offset of each. Raises LogError."""
    return {
        (topic, partition): _behind(connections.log(topic), partition, reached.get((topic, partition), 0))
        for topic in topics
        for partition in range(partitions)
    }


def _behind(log: RecordLog, partition: int, committed: int) -> int:
    """Messages of a partition from `committed` on; 0 where the offsets left hold no record.

    Nobody ever acknowledges a transaction's marker or an aborted record that is last in its partition.
    """
    low, high = log.bounds(partition)
    first = max(low, committed)
    # The last record first: who begins to read far behind the end is sent megabytes that nobody looks at.
    for start in (high - 1, first):
        if first <= start < high and next(iter(log.read(partition, start, high)), None) is not None:
            return high - first
    return 0

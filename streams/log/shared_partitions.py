"""Partitions shared out among the processes of one group, each followed in several topics at once.

The group is joined for one topic; whoever has a partition of it follows the partition of that number in the others,
from where the process itself says. So all that is about one partition is in one process, and moves with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from streams import clock
from streams.log.client import client_config, logger
from streams.log.input_log import as_message
from streams.log.protocols import LogError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from streams.log.memory import MemoryBroker
    from streams.log.protocols import Message

Place = tuple[str, int]
"""Topic and partition."""
_AT_ONCE = 500
_FETCH_BYTES = 32 << 20
_QUEUE_KIB = 16 << 10
_MOST_POLL_MS = 900_000
_MEMORY_POLL_SECONDS = 0.02


class FollowedRecord(NamedTuple):
    """One record of a followed topic."""

    topic: str
    message: Message


class PartitionOwner(Protocol):
    """What a process does with its partitions. Called by `poll`, in its thread; what it raises comes out there."""

    def take(self, partitions: Sequence[int]) -> Mapping[Place, int]:
        """Takes these on: the offsets to begin at, of every topic and partition to be followed. It may take a while."""
        ...

    def leave(self, partitions: Sequence[int], *, is_lost: bool) -> None:
        """Lets go of these. `is_lost`: another process has them already."""
        ...


class SharedPartitions(Protocol):
    """One process's share. One thread uses it."""

    def poll(self, seconds: float) -> list[FollowedRecord]:
        """What has come; waits so long for the first record. Raises LogError, and what the owner raises."""
        ...

    def commit(self, offsets: Mapping[Place, int]) -> None:
        """Notes for people how far the group is, the next offset of each; nothing goes on from there."""
        ...

    def close(self) -> None:
        """Leaves the group; the owner lets go first. Raises what the owner raises."""
        ...


class KafkaSharedPartitions:
    """`SharedPartitions` over Kafka. `session_timeout` in seconds: when a killed process's share goes to others."""

    def __init__(
        self, bootstrap: str, group: str, topic: str, owner: PartitionOwner,
        security: Mapping[str, str] | None = None, *, session_timeout: float = 15.0,
    ) -> None:  # fmt: skip
        self._owner = owner
        self._failure: BaseException | None = None
        self._consumer = Consumer(
            client_config(
                bootstrap, security,
                group_id=group, session_timeout_ms=int(session_timeout * 1_000),
                heartbeat_interval_ms=int(session_timeout * 1_000 / 5), max_poll_interval_ms=_MOST_POLL_MS,
                partition_assignment_strategy="range", enable_auto_commit=False, enable_auto_offset_store=False,
                auto_offset_reset="earliest", isolation_level="read_committed", check_crcs=True,
                fetch_wait_max_ms=100, fetch_max_bytes=_FETCH_BYTES, max_partition_fetch_bytes=_FETCH_BYTES,
                receive_message_max_bytes=_FETCH_BYTES * 2, queued_max_messages_kbytes=_QUEUE_KIB,
            )
        )  # fmt: skip
        self._consumer.subscribe(
            [topic], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost
        )  # fmt: skip

    def poll(self, seconds: float) -> list[FollowedRecord]:
        first = self._consumer.poll(seconds)
        self._raise_failure()
        if first is None:
            return []
        records = []
        for message in [first, *self._consumer.consume(_AT_ONCE, timeout=0)]:
            if (error := message.error()) is not None:
                self._note(error)
            else:
                records.append(FollowedRecord(message.topic() or "", as_message(message)))
        self._raise_failure()
        return records

    def commit(self, offsets: Mapping[Place, int]) -> None:
        if not offsets:
            return
        places = [TopicPartition(topic, partition, offset) for (topic, partition), offset in offsets.items()]
        try:
            self._consumer.commit(offsets=places, asynchronous=True)
        except KafkaException as error:  # it is for people alone
            logger.info("how far the group is was not noted: %s", error.args[0].str())

    def close(self) -> None:
        self._consumer.close()
        self._raise_failure()

    def _raise_failure(self) -> None:
        """Raises what a callback noted, once."""
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def _assigned(self, consumer: Consumer, assigned: list[TopicPartition]) -> None:
        try:
            begins = self._owner.take(sorted(place.partition for place in assigned))
        except BaseException as error:  # noqa: BLE001 -- a callback must not raise: `poll` does
            self._failure = error
            return
        consumer.assign([TopicPartition(topic, number, offset) for (topic, number), offset in begins.items()])

    def _revoked(self, consumer: Consumer, revoked: list[TopicPartition]) -> None:
        self._let_go(consumer, revoked, is_lost=False)

    def _lost(self, consumer: Consumer, lost: list[TopicPartition]) -> None:
        self._let_go(consumer, lost, is_lost=True)

    def _let_go(self, consumer: Consumer, places: list[TopicPartition], *, is_lost: bool) -> None:
        try:
            self._owner.leave(sorted({place.partition for place in places}), is_lost=is_lost)
        except BaseException as error:  # noqa: BLE001 -- as above
            self._failure = error
        consumer.unassign()

    @staticmethod
    def _note(error: KafkaError) -> None:
        """The client goes on by itself where a broker is away. Raises LogError where it cannot."""
        if error.fatal():
            raise LogError(f"the group cannot be followed: {error.str()} ({error.name()})")
        logger.warning("following: %s", error.str())


class MemorySharedPartitions:
    """The twin of `KafkaSharedPartitions`: it has the partitions that `assign` gives it."""

    def __init__(self, broker: MemoryBroker, owner: PartitionOwner) -> None:
        self._broker = broker
        self._owner = owner
        self._next: dict[Place, int] = {}
        self._partitions: tuple[int, ...] = ()
        self.committed: dict[Place, int] = {}

    def assign(self, partitions: Sequence[int], *, is_lost: bool = False) -> None:
        """Have these from now on, as after a rebalance."""
        if self._partitions:
            self._owner.leave(self._partitions, is_lost=is_lost)
        self._partitions = tuple(partitions)
        self._next = dict(self._owner.take(self._partitions))

    def poll(self, seconds: float) -> list[FollowedRecord]:
        records = []
        for (topic, partition), start in list(self._next.items()):
            for message in self._broker.records(topic, partition):
                if message.offset >= start:
                    records.append(FollowedRecord(topic, message))
                    self._next[topic, partition] = message.offset + 1
        if not records:
            clock.sleep(min(seconds, _MEMORY_POLL_SECONDS))
        return records

    def commit(self, offsets: Mapping[Place, int]) -> None:
        self.committed |= offsets

    def close(self) -> None:
        if self._partitions:
            self._owner.leave(self._partitions, is_lost=False)
            self._partitions = ()

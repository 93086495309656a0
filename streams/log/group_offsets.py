"""Reads how far a consumer group is, without joining it; outlives a broker that restarts meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from confluent_kafka import Consumer, ConsumerGroupState, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from streams import clock
from streams.log.client import client_config
from streams.log.protocols import GroupMembers, LogUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_PAUSE = 0.2
_ONE_CALL = 10.0
# What a broker that has just come back, or whose coordinator moves, answers for a while.
_PASSING = {
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError._WAIT_COORD,  # noqa: SLF001 (their name)
    KafkaError._TRANSPORT,  # noqa: SLF001
    KafkaError._TIMED_OUT,  # noqa: SLF001
    KafkaError._ALL_BROKERS_DOWN,  # noqa: SLF001
}


class GroupOffsets:
    """One consumer group's acknowledged offsets. `timeout`: seconds that a broker may take to answer at all."""

    def __init__(
        self, bootstrap: str, group: str, security: Mapping[str, str] | None = None, *, timeout: float = 30.0
    ) -> None:
        self._bootstrap = bootstrap
        self._security = security
        self._group = group
        self._timeout = timeout
        self._consumer = Consumer(client_config(bootstrap, security, group_id=group, enable_auto_commit=False))

    def committed(self, topics: Sequence[str], partitions: int) -> dict[tuple[str, int], int]:
        """By topic and partition, the next offset that the group has not acknowledged; absent where it has none.

        Raises LogUnavailable.
        """
        deadline = clock.monotonic() + self._timeout
        while True:
            # a fresh list each time: the client writes offsets and errors into the places that it is given
            places = [TopicPartition(topic, partition) for topic in topics for partition in range(partitions)]
            left = max(0.1, min(_ONE_CALL, deadline - clock.monotonic()))
            try:
                offsets = self._consumer.committed(places, timeout=left)
                wrong = next((place.error for place in offsets if place.error is not None), None)
            except KafkaException as error:
                wrong, offsets = error.args[0], []
            if wrong is None:
                return {(place.topic, place.partition): place.offset for place in offsets if place.offset >= 0}
            if not (_passes(wrong) and clock.monotonic() + _PAUSE < deadline):
                raise LogUnavailable(
                    f"how far {self._group} is cannot be asked of {self._bootstrap}: {wrong.str()} ({wrong.name()}); "
                    "see that Kafka runs"
                )
            clock.sleep(_PAUSE)

    def members(self) -> GroupMembers:
        """Who is in the group now. Raises LogUnavailable."""
        admin = AdminClient(client_config(self._bootstrap, self._security))
        deadline = clock.monotonic() + self._timeout
        while True:
            left = max(0.1, min(_ONE_CALL, deadline - clock.monotonic()))
            asked: dict[str, Any] = admin.describe_consumer_groups([self._group], request_timeout=left)
            try:
                return _members(asked[self._group].result())
            except KafkaException as error:
                wrong: KafkaError = error.args[0]
            if wrong.code() == KafkaError.GROUP_ID_NOT_FOUND:
                return GroupMembers(0, None)
            if not (_passes(wrong) and clock.monotonic() + _PAUSE < deadline):
                raise LogUnavailable(f"who is in {self._group} cannot be asked of {self._bootstrap}: {wrong.str()}")
            clock.sleep(_PAUSE)

    def close(self) -> None:
        self._consumer.close()


def _members(described: Any) -> GroupMembers:
    """What confluent-kafka's description of a group says."""
    assignments = [member.assignment.topic_partitions for member in described.members]
    if described.state is not ConsumerGroupState.STABLE:
        return GroupMembers(len(assignments), None)
    places = frozenset((place.topic, place.partition) for own in assignments for place in own)
    return GroupMembers(len(assignments), places)


def _passes(error: KafkaError) -> bool:
    return error.code() in _PASSING or bool(error.retriable())

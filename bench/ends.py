"""How far a contestant has come, in one request, and which process has which partitions."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Protocol

from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # public, but not marked so in the library's types
    AdminClient,
    OffsetSpec,
)

from bench.events import PARTITIONS
from streams.log.client import client_config
from streams.log.topics import TopicNames


class Progress(Enum):
    """What shows how far a contestant has come."""

    OUTPUTS = "messages in each partition of the billed topic"
    SPREAD_OUTPUTS = "messages in all partitions of the billed topic: its outputs go to any of them"
    COMMITS = "committed inputs: transactions leave marks in the billed topic, which count as messages there"


class Watch(Protocol):
    def by_partition(self) -> list[int]: ...


def watch(progress: Progress, bootstrap: str, names: TopicNames, group: str | None) -> Watch:
    if progress is Progress.COMMITS:
        if group is None:
            raise ValueError("commits are those of a group, and none is named")
        return Commits(bootstrap, names.requests, group)
    ends = Ends(bootstrap, names.billed)
    return Total(ends) if progress is Progress.SPREAD_OUTPUTS else ends


def is_done(done: Sequence[int], wanted: Sequence[int], share: Sequence[int]) -> bool:
    """Whether a process with this share of the partitions has nothing left. A total is done where all is."""
    if len(done) == 1:
        return done[0] >= sum(wanted)
    return all(done[number] >= wanted[number] for number in share)


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


class Total:
    """All partitions as one."""

    def __init__(self, ends: Ends) -> None:
        self._ends = ends

    def by_partition(self) -> list[int]:
        return [self._ends.total()]


class Commits:
    """Watches what a group has committed, but for the price book at the head of each partition."""

    def __init__(self, bootstrap: str, topic: str, group: str) -> None:
        self._admin = AdminClient(client_config(bootstrap))
        self._group = group
        self._places = [TopicPartition(topic, number) for number in range(PARTITIONS)]

    def by_partition(self) -> list[int]:
        request = [ConsumerGroupTopicPartitions(self._group, self._places)]
        answer = self._admin.list_consumer_group_offsets(request, request_timeout=10)[self._group].result()
        committed = {place.partition: place.offset for place in answer.topic_partitions}
        return [max(committed.get(number, 0) - 1, 0) for number in range(PARTITIONS)]


def shares(bootstrap: str, group: str) -> list[list[int]]:
    """The partitions of each process of a consumer group, as they are shared out now."""
    admin = AdminClient(client_config(bootstrap))
    found = admin.describe_consumer_groups([group], request_timeout=10)[group].result()
    own = ([place.partition for place in member.assignment.topic_partitions] for member in found.members)
    return [partitions for partitions in own if partitions]

"""A process's share of partitions: what its owner raises comes out, also where the share is given back."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from local.shared import SharedKafka
from streams.log.shared_partitions import KafkaSharedPartitions

pytestmark = pytest.mark.kafka


class FullDisk(Exception):
    pass


class Owner:
    """Takes partitions on, and cannot write down how far they are when it lets go of them."""

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self.taken: list[int] = []

    def take(self, partitions: Sequence[int]) -> Mapping[tuple[str, int], int]:
        self.taken += partitions
        return {(self.topic, partition): 0 for partition in partitions}

    def leave(self, partitions: Sequence[int], *, is_lost: bool) -> None:
        assert partitions == self.taken
        assert not is_lost
        raise FullDisk


def test_what_the_owner_raises_while_it_lets_go_comes_out_of_close(kafka: SharedKafka) -> None:
    topic = kafka.fresh_prefix()
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    for made in admin.create_topics([NewTopic(topic, 2, 1)]).values():
        made.result()
    owner = Owner(topic)
    share = KafkaSharedPartitions(kafka.bootstrap, topic, topic, owner)
    until = time.monotonic() + 60
    while not owner.taken:
        assert time.monotonic() < until
        share.poll(0.2)
    with pytest.raises(FullDisk):
        share.close()

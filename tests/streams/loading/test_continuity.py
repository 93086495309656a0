"""Records that retention deletes before the loader has loaded them: an error that names them, never silence."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner
from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient

from cli.main import main
from local.shared import SharedKafka
from streams.loading.continuity import Continuity, Place
from streams.log.group_offsets import GroupOffsets
from streams.log.input_log import KafkaInputLog
from streams.log.memory import MemoryBroker
from streams.log.protocols import LostPrefix
from tests.stories.cluster import BusyTraffic, Cluster
from tests.streams.traffic import BOOK

HERE = ("out", 0)


class Memory:
    """A topic of ten records in memory, and what the group has carried through of it."""

    def __init__(self, committed: int | None) -> None:
        self.broker = MemoryBroker()
        self.next = committed
        self.asked = 0
        for number in range(10):
            self.broker.append(*HERE, b"%d" % number)

    def begins(self, place: Place) -> int:
        self.asked += 1
        return self.broker.bounds(*place)[0]

    def committed(self, places: Sequence[Place]) -> dict[Place, int]:
        return {} if self.next is None else dict.fromkeys(places, self.next)


def test_records_in_order_ask_the_broker_nothing() -> None:
    memory = Memory(committed=0)
    continuity = Continuity("group", memory)
    for offset in (0, 1, 2, 0, 1, 2, 3):  # some of them come again
        continuity.follow(HERE, offset)
    assert memory.asked == 0


def test_offsets_without_a_record_are_no_hole() -> None:
    continuity = Continuity("group", Memory(committed=2))
    for offset in (4, 5, 8):
        continuity.follow(HERE, offset)


@pytest.mark.parametrize("before", [True, False], ids=["at the first record", "between two"])
def test_a_hole_is_an_error_that_names_it(before: bool) -> None:
    memory = Memory(committed=3)
    continuity = Continuity("group", memory)
    if not before:
        continuity.follow(HERE, 3)
    memory.broker.expire(*HERE, 6)
    with pytest.raises(
        LostPrefix, match=rf"out\[0\]: retention deleted offsets {3 if before else 4} to 5 before group"
    ):
        continuity.follow(HERE, 6)


def test_after_a_rebalance_the_group_is_asked_anew() -> None:
    memory = Memory(committed=0)
    continuity = Continuity("group", memory)
    continuity.follow(HERE, 0)
    continuity.release([HERE])
    memory.broker.expire(*HERE, 6)
    memory.next = 6  # another loader went on meanwhile
    continuity.follow(HERE, 6)


def test_at_the_start_every_place_is_looked_at() -> None:
    memory = Memory(committed=3)
    Continuity("group", memory).begin([HERE])
    memory.broker.expire(*HERE, 10)  # nothing is left that could come
    with pytest.raises(LostPrefix, match="offsets 3 to 9"):
        Continuity("group", memory).begin([HERE])


def test_a_new_group_is_warned_of_a_beginning_that_is_gone(caplog: pytest.LogCaptureFixture) -> None:
    memory = Memory(committed=None)
    with caplog.at_level(logging.WARNING):
        Continuity("group", memory).begin([HERE])
        assert not caplog.messages
        memory.broker.expire(*HERE, 4)
        continuity = Continuity("group", memory)
        continuity.begin([HERE])
        continuity.follow(HERE, 4)
    (said,) = caplog.messages
    assert "out[0] begins at offset 4" in said


@pytest.fixture
def cluster(kafka: SharedKafka, tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(kafka.bootstrap, kafka.fresh_prefix(), tmp_path, BOOK)
    yield made
    made.close()


@pytest.mark.kafka
@pytest.mark.slow
def test_the_loader_stops_where_retention_was_quicker(cluster: Cluster, tmp_path: Path) -> None:
    messages = BusyTraffic(5, cluster.partitions, cluster.codec, accounts=20).messages(200)
    cluster.start("worker")
    cluster.start("loader")
    cluster.send(messages[:100])
    cluster.wait_until_rated()
    cluster.wait_until_loaded()
    cluster.stop("loader")
    cluster.send(messages[100:])
    cluster.wait_until_rated()
    cluster.stop("worker")
    group, topic = cluster.names.loading_group, cluster.names.billed
    place, lost = delete_unread(cluster)

    cluster.start("loader")
    code, said = cluster.wait_ended("loader")
    assert code == 1
    deleted = f"offsets {place.offset - len(lost)} to {place.offset - 1}"
    assert f"{topic}[{place.partition}]: retention deleted {deleted} before {group} had loaded them" in said
    assert "Traceback" not in said

    admin = AdminClient({"bootstrap.servers": cluster.bootstrap})
    admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(group, [place])])[group].result()  # as it advises
    cluster.start("loader")
    cluster.wait_until_loaded()
    cluster.stop("loader")
    told = CliRunner().invoke(main, ["audit", "--json", "--config", str(tmp_path / "one" / "loader.toml")])
    missing = [json.loads(line) for line in told.stdout.splitlines()][:-1]
    assert {(each["found"], each["place"].split()[0]) for each in missing} == {("missing", "billed_rows")}
    assert len(missing) == sum(len(cluster.codec.decode(value)[1]["events"]) for value in lost)


def delete_unread(cluster: Cluster) -> tuple[TopicPartition, list[bytes]]:
    """Deletes all but the last of the billed records of a partition that the loader has not read; where, and what."""
    topic, group = cluster.names.billed, cluster.names.loading_group
    offsets = GroupOffsets(cluster.bootstrap, group)
    read = offsets.committed([topic], cluster.partitions)
    offsets.close()
    log = KafkaInputLog(cluster.bootstrap, topic)
    ends = [log.bounds(each)[1] for each in range(cluster.partitions)]
    partition = max(range(cluster.partitions), key=lambda each: ends[each] - read[topic, each])
    lost = [message.value for message in log.read(partition, read[topic, partition], ends[partition] - 1)]
    log.close()
    assert len(lost) > 1
    place = TopicPartition(topic, partition, ends[partition] - 1)
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap})
    admin.delete_records([place])[place].result()
    return place, lost

"""Records that retention deletes before the loader has loaded them: an error that names them, never silence."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from cli.main import main
from local.shared import SharedKafka
from local.start import ClickHouse
from sinks.embedded import EmbeddedSink
from sinks.migrate import migrate
from sinks.server import ServerAddress, ServerSink
from sinks.sink import Sink
from streams.loading.continuity import Continuity
from streams.loading.positions import Loaded, SinkPositions, TopicAndPartition, loaded_of
from streams.log.group_offsets import GroupOffsets
from streams.log.input_log import KafkaInputLog
from streams.log.memory import MemoryBroker
from streams.log.protocols import LogChanged, LostPrefix, Message
from tests.sinks.old_server import OldServerSink
from tests.stores import with_schema
from tests.stories.cluster import BusyTraffic, Cluster
from tests.streams.traffic import BOOK

HERE = ("out", 0)


class MemoryTopics:
    """Output topics in memory; counts how often they are asked."""

    def __init__(self, records: int = 10) -> None:
        self.broker = MemoryBroker()
        self.asked = 0
        for number in range(records):
            self.broker.append(*HERE, b"%d" % number)

    def bounds(self, place: TopicAndPartition) -> tuple[int, int]:
        self.asked += 1
        return self.broker.bounds(*place)

    def record(self, place: TopicAndPartition, offset: int) -> Message | None:
        return next((message for message in self.broker.records(*place) if message.offset == offset), None)

    def loaded(self, offset: int) -> dict[TopicAndPartition, Loaded]:
        """The position of a store that has loaded up to there; none for -1."""
        message = self.record(HERE, offset)
        return {} if message is None else {HERE: loaded_of(message)}


def follower(topics: MemoryTopics, *, skip_lost: bool = False) -> Continuity:
    return Continuity(topics, skip_lost=skip_lost, patience=0)


def test_it_begins_behind_what_the_store_has_loaded_wherever_the_group_is() -> None:
    topics = MemoryTopics()
    assert follower(topics).begin([HERE], topics.loaded(3)) == {HERE: 4}
    assert follower(topics).begin([HERE], topics.loaded(9)) == {HERE: 10}


def test_an_emptied_store_is_loaded_from_the_beginning() -> None:
    topics = MemoryTopics()
    topics.broker.expire(*HERE, 4)
    assert follower(topics).begin([HERE], {}) == {HERE: 4}


def test_records_in_order_ask_the_broker_nothing() -> None:
    topics = MemoryTopics()
    continuity = follower(topics)
    continuity.begin([HERE], {})
    topics.asked = 0
    for offset in (0, 1, 2, 0, 1, 2, 3):  # some of them come again
        continuity.follow(HERE, offset)
    assert topics.asked == 0


def test_offsets_without_a_record_are_no_hole() -> None:
    topics = MemoryTopics()
    continuity = follower(topics)
    continuity.begin([HERE], topics.loaded(1))
    for offset in (4, 5, 8):
        continuity.follow(HERE, offset)


@pytest.mark.parametrize("before", [True, False], ids=["at the first record", "between two"])
def test_a_hole_is_an_error_that_names_it(before: bool) -> None:
    topics = MemoryTopics()
    continuity = follower(topics)
    continuity.begin([HERE], topics.loaded(2))
    if not before:
        continuity.follow(HERE, 3)
    topics.broker.expire(*HERE, 6)
    with pytest.raises(LostPrefix, match=rf"out\[0\]: retention deleted offsets {3 if before else 4} to 5 before"):
        continuity.follow(HERE, 6)


def test_a_hole_at_the_start_is_an_error_or_said_where_it_is_to_be_left(caplog: pytest.LogCaptureFixture) -> None:
    topics = MemoryTopics()
    loaded = topics.loaded(2)
    topics.broker.expire(*HERE, 10)  # nothing is left that could come
    with pytest.raises(LostPrefix, match=r"offsets 3 to 9 before they were loaded.*load --skip-lost"):
        follower(topics).begin([HERE], loaded)
    with caplog.at_level(logging.ERROR):
        assert follower(topics, skip_lost=True).begin([HERE], loaded) == {HERE: 10}
    assert "offsets 3 to 9" in caplog.text


def test_a_new_store_is_warned_of_a_beginning_that_is_gone(caplog: pytest.LogCaptureFixture) -> None:
    topics = MemoryTopics()
    with caplog.at_level(logging.WARNING):
        follower(topics).begin([HERE], {})
        assert not caplog.messages
        topics.broker.expire(*HERE, 4)
        continuity = follower(topics)
        continuity.begin([HERE], {})
        continuity.follow(HERE, 4)
    (said,) = caplog.messages
    assert "out[0] begins at offset 4" in said


def test_a_topic_that_is_behind_the_store_is_refused() -> None:
    loaded = MemoryTopics().loaded(9)
    with pytest.raises(LogChanged, match=r"out\[0\]: ClickHouse has loaded offsets up to 9, but the topic ends at 7"):
        follower(MemoryTopics(7)).begin([HERE], loaded)


def test_a_topic_that_went_on_otherwise_is_refused() -> None:
    topics = MemoryTopics(9)
    topics.broker.append(*HERE, b"another")
    topics.broker.append(*HERE, b"and more")
    with pytest.raises(LogChanged, match=r"out\[0\]@9: the topic has another record there"):
        follower(topics).begin([HERE], MemoryTopics().loaded(9))
    topics.broker.expire(*HERE, 10)  # what was loaded cannot be compared any more
    assert follower(topics).begin([HERE], MemoryTopics().loaded(9)) == {HERE: 10}


@pytest.mark.slow
def test_positions_in_the_embedded_store(tmp_path: Path) -> None:
    sink = EmbeddedSink(with_schema(tmp_path / "clickhouse"))
    try:
        check_positions(sink)
    finally:
        sink.close()


@pytest.mark.clickhouse_server
def test_positions_in_a_server(own_clickhouse: ClickHouse) -> None:
    address = ServerAddress(
        own_clickhouse.host, own_clickhouse.port, user=own_clickhouse.user, password=own_clickhouse.password
    )
    sink = OldServerSink(address) if own_clickhouse.version.startswith("18.") else ServerSink(address)
    migrate(sink)
    check_positions(sink)
    sink.close()


def check_positions(sink: Sink) -> None:
    """They come back, and a later offset wins whatever the order."""
    positions = SinkPositions(sink)
    assert positions.read() == {}
    first = {("out", 0): Loaded(5, "00" * 16, 2**43), ("out", 1): Loaded(0, "11" * 16)}
    positions.write(first)
    assert positions.read() == first
    positions.write({("out", 0): Loaded(9, "22" * 16), ("other", 0): Loaded(2**62, "33" * 16)})
    positions.write({("out", 0): Loaded(7, "44" * 16)})  # a slow loader that has lost the partition
    assert positions.read() == {
        ("out", 0): Loaded(9, "22" * 16), ("out", 1): Loaded(0, "11" * 16), ("other", 0): Loaded(2**62, "33" * 16),
    }  # fmt: skip


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
    topic = cluster.names.billed
    place, lost = delete_unread(cluster)

    cluster.start("loader")
    code, said = cluster.wait_ended("loader")
    assert code == 1
    deleted = f"offsets {place.offset - len(lost)} to {place.offset - 1}"
    assert f"{topic}[{place.partition}]: retention deleted {deleted} before they were loaded" in said

    cluster.start_load("--skip-lost")  # as it advises
    cluster.wait_until_loaded()
    cluster.stop("loader")
    result = CliRunner().invoke(main, ["audit", "--json", "--config", str(tmp_path / "one" / "loader.toml")])
    missing = [json.loads(line) for line in result.stdout.splitlines()][:-1]
    assert {(difference["found"], difference["place"].split()[0]) for difference in missing} == {
        ("missing", "billed_rows")
    }
    assert len(missing) == sum(len(cluster.codec.decode(value)[1]["events"]) for value in lost)


def delete_unread(cluster: Cluster) -> tuple[TopicPartition, list[bytes]]:
    """Deletes all but the last of the billed records of a partition that the loader has not read; where, and what."""
    topic, group = cluster.names.billed, cluster.names.loading_group
    offsets = GroupOffsets(cluster.bootstrap, group)
    read = offsets.committed([topic], cluster.partitions)
    offsets.close()
    log = KafkaInputLog(cluster.bootstrap, topic)
    ends = [log.bounds(partition)[1] for partition in range(cluster.partitions)]
    partition = max(range(cluster.partitions), key=lambda number: ends[number] - read[topic, number])
    lost = [message.value for message in log.read(partition, read[topic, partition], ends[partition] - 1)]
    log.close()
    assert len(lost) > 1
    place = TopicPartition(topic, partition, ends[partition] - 1)
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap})
    admin.delete_records([place])[place].result()
    return place, lost

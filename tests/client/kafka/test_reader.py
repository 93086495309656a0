"""Straight to Kafka and from it, on a real broker: the contract of transports, and the reader of billed events."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition
from creditmeter_client.errors import MeterUnavailable
from creditmeter_client.kafka import BilledReader, KafkaTransport, Position
from creditmeter_client.kafka.sealing import WrongSealKey

from local.shared import SharedKafka
from schemas.codec import Codec
from streams.log.partitioner import partition_of
from streams.log.pipeline_seals import PipelineSeals
from streams.log.seal_ledger import SealKeys
from tests.client.kafka.topics import KEY, PARTITIONS, Topics
from tests.client.transport_contract import EventContract, RefundContract

pytestmark = pytest.mark.kafka


@pytest.fixture(scope="module")
def topics(kafka: SharedKafka) -> Topics:
    topics = Topics(kafka.bootstrap, kafka.fresh_prefix())
    topics.begin_seals()
    return topics


class KafkaPlace:
    def __init__(self, topics: Topics) -> None:
        self.topics = topics
        self.transport = KafkaTransport(topics.bootstrap, topic=topics.names.requests)

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def arrived(self, account_id: str) -> list[str]:
        """From the account's own partition, decoded by the pipeline's codec, repeats dropped as its worker does."""
        codec = Codec()
        place = TopicPartition(self.topics.names.requests, partition_of(account_id, PARTITIONS), 0)
        consumer = Consumer({"bootstrap.servers": self.topics.bootstrap, "group.id": "x", "enable.auto.commit": False})
        _, end = consumer.get_watermark_offsets(place, timeout=30)
        consumer.assign([place])
        ids: dict[str, None] = {}
        offset = -1
        while offset < end - 1:
            message = consumer.poll(30)
            assert message is not None
            offset = message.offset()
            name, record = codec.decode(message.value())
            if name == "RequestBatch":
                ids.update({one["event_id"]: None for one in record["events"] if one["account_id"] == account_id})
        consumer.close()
        return list(ids)


@pytest.fixture(scope="module")
def kafka_place(topics: Topics) -> Iterator[Any]:
    place = KafkaPlace(topics)
    yield place
    place.transport.close()


@pytest.mark.usefixtures("kafka")
class TestEvents(EventContract, RefundContract):
    @pytest.fixture
    def place(self, kafka_place: Any) -> Any:
        return kafka_place


def read(topics: Topics, **options: Any) -> list[tuple[int, str, Position]]:
    with BilledReader(
        topics.bootstrap, prefix=topics.prefix, stop_at_end=True, **{"seal_keys": [KEY], **options}
    ) as reader:
        return [(batch.partition, batch.events[0]["event_id"], batch.position) for batch in reader]


def test_a_reader_gives_each_batch_once_in_order_and_goes_on_where_it_was(topics: Topics, kafka: SharedKafka) -> None:
    topics.write(0, [3, 5])
    topics.write(0, [3, 5, 8])  # after a crash of a worker: the same again
    topics.write(1, [1])
    topics.write(2, [4, 9], key=None)  # strays
    topics.write(2, [2])
    batches = read(topics)
    assert sorted((partition, event_id) for partition, event_id, _ in batches) == [
        (0, "e3"), (0, "e5"), (0, "e8"), (1, "e1"), (2, "e2"),
    ]  # fmt: skip
    stored = {partition: Position.parse(position.as_text()) for partition, _, position in batches}
    assert read(topics, positions=stored) == []
    topics.write(0, [8, 11])
    assert [(partition, event_id) for partition, event_id, _ in read(topics, positions=stored)] == [(0, "e11")]
    assert read(topics, partitions=[1, 3])[0][:2] == (1, "e1")


def test_without_the_right_key_a_reader_says_which_one_is_missing(topics: Topics, kafka: SharedKafka) -> None:
    with pytest.raises(WrongSealKey, match="seal_keys"):
        read(topics, seal_keys=[])


def test_a_rotated_key_counts_from_where_the_ledger_says(topics: Topics, kafka: SharedKafka) -> None:
    other = Topics(kafka.bootstrap, kafka.fresh_prefix())
    new = b"the key after the rotation"
    other.begin_seals()
    other.write(0, [1])
    rotated = PipelineSeals(kafka.bootstrap, other.names, SealKeys(other.log_id, new, (KEY,)))
    rotated.rotate(PARTITIONS)
    rotated.close()
    other.write(0, [2], key=KEY)  # a worker with the old key: a stray now
    other.write(0, [3], key=new)
    assert [event_id for _, event_id, _ in read(other, seal_keys=[new, KEY])] == ["e1", "e3"]


def test_without_topics_or_broker_it_is_away(kafka: SharedKafka) -> None:
    with pytest.raises(MeterUnavailable, match="nobody"):
        BilledReader(kafka.bootstrap, prefix="nobody-made-these")
    with pytest.raises(MeterUnavailable, match="nobody"):
        KafkaTransport(kafka.bootstrap, topic="nobody-made-this").send([])

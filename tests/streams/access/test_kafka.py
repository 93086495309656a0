"""The topic of access on a real broker."""

import pytest
from confluent_kafka import Producer

from local.shared import SharedKafka
from streams.log.connections import KafkaConnections
from streams.log.topics import TopicNames, TopicSettings, ensure_topics
from tests.streams.access.contract import CODEC, AccessContract, Side


@pytest.mark.kafka
class TestOnKafka(AccessContract):
    @pytest.fixture
    def side(self, kafka: SharedKafka) -> Side:
        names = TopicNames(kafka.fresh_prefix())
        ensure_topics(kafka.bootstrap, names, TopicSettings(partitions=1))

        def put_stray(key: bytes, value: bytes) -> None:
            producer = Producer({"bootstrap.servers": kafka.bootstrap})
            producer.produce(names.access, value, key)
            assert producer.flush(30) == 0

        return Side(names, lambda: KafkaConnections(kafka.bootstrap, names, CODEC, {}), put_stray)

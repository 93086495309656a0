"""Which partition an account is in: vectors of the Java client, and librdkafka on a real broker."""

import random

import pytest
from confluent_kafka import Producer

from local.shared import SharedKafka
from streams.log.partitioner import murmur2, partition_of
from streams.log.topics import TopicNames, TopicSettings, ensure_topics

# From the Java client's own test (UtilsTest.testMurmur2), as unsigned numbers.
JAVA = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}


@pytest.mark.parametrize(("data", "expected"), JAVA.items())
def test_murmur2_as_in_java(data: bytes, expected: int) -> None:
    assert murmur2(data) == expected & 0xFFFFFFFF


def test_partition_is_the_positive_hash_modulo() -> None:
    assert partition_of("foobar", 8) == (-790332482 & 0x7FFFFFFF) % 8
    assert partition_of("abc", 1) == 0


@pytest.mark.kafka
def test_librdkafka_agrees(kafka: SharedKafka) -> None:
    names = TopicNames(kafka.fresh_prefix())
    ensure_topics(kafka.bootstrap, names, TopicSettings(partitions=7))
    chance = random.Random(3)
    accounts = ["a", "", "ä", "acme", "\U0001f600 gmbh"]
    accounts += ["".join(chance.choices("abcäöü0123-", k=chance.randint(1, 60))) for _ in range(500)]
    partitions: dict[str, int] = {}
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "partitioner": "murmur2_random"})
    for account in accounts:
        if account:  # librdkafka takes an empty key for none; no account has an empty id
            producer.produce(
                names.requests,
                b"",
                key=account.encode(),
                on_delivery=lambda error, message, account=account: partitions.update({account: message.partition()}),
            )
    producer.flush(30)
    assert partitions == {account: partition_of(account, 7) for account in accounts if account}

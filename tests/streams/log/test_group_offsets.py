"""How far a group is: with a transaction's marker last in a partition, and through a restart of the broker."""

import threading
import time

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from local.shared import SharedKafka
from local.start import Broker
from schemas.codec import Codec
from streams.log.connections import KafkaConnections, group_lag
from streams.log.group_offsets import GroupOffsets
from streams.log.protocols import GroupMembers, LogUnavailable
from streams.log.topics import TopicNames, TopicSettings, ensure_topics

pytestmark = pytest.mark.kafka


def send(bootstrap: str, names: TopicNames, records: int) -> None:
    producer = Producer({"bootstrap.servers": bootstrap})
    for number in range(records):
        producer.produce(names.requests, b"%d" % number, partition=0)
    assert producer.flush(30) == 0


def abort(bootstrap: str, names: TopicNames) -> None:
    """Leaves offsets at the end of the partition that hold no record."""
    producer = Producer({"bootstrap.servers": bootstrap, "transactional.id": names.prefix})
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(names.requests, b"never happened", partition=0)
    producer.flush(30)
    producer.abort_transaction(30)


def acknowledge(bootstrap: str, names: TopicNames, offset: int) -> None:
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": names.rating_group})
    consumer.commit(offsets=[TopicPartition(names.requests, 0, offset)], asynchronous=False)
    consumer.close()


def test_offsets_without_a_record_are_no_lag(kafka: SharedKafka) -> None:
    names = TopicNames(kafka.fresh_prefix())
    ensure_topics(kafka.bootstrap, names, TopicSettings(partitions=2))
    connections = KafkaConnections(kafka.bootstrap, names, Codec(), {})

    def behind() -> int:
        return sum(group_lag(connections, names.rating_group, [names.requests], 2).values())

    assert (behind(), connections.group(names.rating_group).members()) == (0, GroupMembers(0, None))
    send(kafka.bootstrap, names, 3)
    assert group_lag(connections, names.rating_group, [names.requests], 2) == {
        (names.requests, 0): 3,
        (names.requests, 1): 0,
    }
    abort(kafka.bootstrap, names)
    acknowledge(kafka.bootstrap, names, 2)
    deadline = time.monotonic() + 30
    while (left := behind()) != 3:  # its record, the aborted one and the marker, once written
        assert time.monotonic() < deadline, left
    acknowledge(kafka.bootstrap, names, 3)
    assert behind() == 0
    connections.close()


def test_the_partitions_that_a_group_has_are_known(kafka: SharedKafka) -> None:
    names = TopicNames(kafka.fresh_prefix())
    ensure_topics(kafka.bootstrap, names, TopicSettings(partitions=2))
    connections = KafkaConnections(kafka.bootstrap, names, Codec(), {})
    consumer = Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": names.rating_group})
    consumer.subscribe([names.requests])
    group, deadline = connections.group(names.rating_group), time.monotonic() + 60
    while (members := group.members()) != GroupMembers(1, frozenset({(names.requests, 0), (names.requests, 1)})):
        assert time.monotonic() < deadline, members
        consumer.poll(0.1)
    consumer.close()
    connections.close()


def test_nobody_at_the_address() -> None:
    offsets = GroupOffsets("127.0.0.1:1", "nobody", timeout=0.5)
    with pytest.raises(LogUnavailable, match=r"127\.0\.0\.1:1"):
        offsets.committed(["topic"], 1)
    with pytest.raises(LogUnavailable, match="nobody"):
        offsets.members()
    offsets.close()


@pytest.mark.slow
def test_a_broker_that_restarts_is_waited_for(own_kafka: Broker) -> None:
    """Its coordinator answers for a while that it is none; that must not end who asks."""
    names = TopicNames("restarted")
    ensure_topics(own_kafka.bootstrap, names, TopicSettings(partitions=1))
    send(own_kafka.bootstrap, names, 3)
    acknowledge(own_kafka.bootstrap, names, 3)
    offsets = GroupOffsets(own_kafka.bootstrap, names.rating_group, timeout=60)
    place = (names.requests, 0)
    assert offsets.committed([names.requests], 1) == {place: 3}
    done = threading.Event()
    answers: list[dict[tuple[str, int], int]] = []
    failures: list[Exception] = []

    def ask() -> None:
        while not done.is_set():
            try:
                answers.append(offsets.committed([names.requests], 1))
            except LogUnavailable as error:
                failures.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    own_kafka.kill()
    own_kafka.restart()
    before = len(answers)
    deadline = time.monotonic() + 60
    while len(answers) < before + 20 and not failures and time.monotonic() < deadline:
        time.sleep(0.05)
    done.set()
    asking.join()
    assert not failures
    assert len(answers) >= before + 20
    assert all(answer == {place: 3} for answer in answers)
    offsets.close()


def test_what_an_open_transaction_holds_back_is_known(kafka: SharedKafka) -> None:
    """An acknowledged message behind it is in the log and cannot be read: the lag alone would say 0."""
    names = TopicNames(kafka.fresh_prefix())
    ensure_topics(kafka.bootstrap, names, TopicSettings(partitions=1))
    connections = KafkaConnections(kafka.bootstrap, names, Codec(), {})
    log = connections.log(names.requests)
    assert log.held_back(0) == (0, None)
    began = time.time() * 1_000 - 10_000
    forgotten = Producer({"bootstrap.servers": kafka.bootstrap, "transactional.id": names.prefix})
    forgotten.init_transactions(30)
    forgotten.begin_transaction()
    forgotten.produce(names.requests, b"in the transaction", partition=0)
    forgotten.flush(30)
    send(kafka.bootstrap, names, 1)
    assert sum(group_lag(connections, names.rating_group, [names.requests], 1).values()) == 0
    offsets, since = log.held_back(0)
    assert offsets == 2
    assert since is not None
    assert began < since < time.time() * 1_000 + 10_000
    forgotten.abort_transaction(30)
    deadline = time.monotonic() + 30
    while log.held_back(0) != (0, None):
        assert time.monotonic() < deadline
    assert [message.value for message in log.read(0, *log.bounds(0))] == [b"0"]
    connections.close()

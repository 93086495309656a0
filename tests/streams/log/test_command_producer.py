"""Sending commands: batches, order, reports, and what goes wrong."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import pytest

from local.shared import SharedKafka
from local.start import Broker
from metering.records import Outcome
from schemas.codec import Codec
from schemas.errors import Unencodable
from streams.log.command_producer import Batching, CommandProducer, Delivery, TooLarge
from streams.log.input_log import KafkaInputLog
from streams.log.partitioner import partition_of
from streams.log.protocols import DeliveryFailed, LogUnavailable, Message
from streams.log.topic_admin import TopicMissing
from streams.log.topics import TopicNames, TopicSettings, ensure_topics

PARTITIONS = 4
CODEC = Codec()


def event(number: int, account_id: str = "acme", **fields: Any) -> dict[str, Any]:
    return {
        "event_id": f"e-{number}",
        "account_id": account_id,
        "occurred_at": 1_767_225_600_000 + number,
        "endpoint": "/v1/ip-lookup",
        "channel": "api",
        "outcome": "processed",
        **fields,
    }


def grant(number: int, account_id: str = "acme") -> dict[str, Any]:
    return {
        "grant_id": f"g-{number}",
        "account_id": account_id,
        "credit_type": "credit",
        "credits": 100,
        "granted_at": 1_767_225_600_000,
        "expires_at": None,
        "reason": "",
    }


class Pipeline:
    """A pipeline's input topic, with what is in it."""

    def __init__(self, kafka: SharedKafka) -> None:
        self.bootstrap = kafka.bootstrap
        self.names = TopicNames(kafka.fresh_prefix())
        ensure_topics(kafka.bootstrap, self.names, TopicSettings(partitions=PARTITIONS))
        self.log = KafkaInputLog(kafka.bootstrap, self.names.requests)
        self.reports: list[Delivery] = []

    def producer(self, **options: Any) -> CommandProducer:
        options = {"on_delivery": self.reports.append, **options}
        return CommandProducer(self.bootstrap, self.names, CODEC, **options)

    def messages(self, partition: int) -> list[Message]:
        return list(self.log.read(partition, *self.log.bounds(partition)))

    def commands(self, partition: int) -> list[tuple[str, list[str]]]:
        """(word, ids) of every message."""
        commands = []
        for message in self.messages(partition):
            name, record = CODEC.decode_command(message.value)
            items: list[Mapping[str, Any]] = record["events"] if name == "request" else [record]
            commands.append((name, [next(iter(item.values())) for item in items]))
        return commands


@pytest.fixture
def pipeline(kafka: SharedKafka) -> Iterator[Pipeline]:
    pipeline = Pipeline(kafka)
    yield pipeline
    pipeline.log.close()


@pytest.mark.kafka
def test_events_go_to_the_partition_of_their_account_in_order(pipeline: Pipeline) -> None:
    accounts = [f"account-{n}" for n in range(20)]
    with pipeline.producer(producer="importer", batching=Batching(events=7, seconds=60)) as producer:
        assert producer.partitions == PARTITIONS
        for n in range(400):
            producer.add(event(n, accounts[n % 20]))
    for partition in range(PARTITIONS):
        expected = [f"e-{n}" for n in range(400) if partition_of(accounts[n % 20], PARTITIONS) == partition]
        commands = pipeline.commands(partition)
        assert [own_id for _, ids in commands for own_id in ids] == expected
        assert all(len(ids) == 7 for _, ids in commands[:-1])
        assert {message.producer for message in pipeline.messages(partition)} <= {"importer"}
    assert sum(len(report.records) for report in pipeline.reports) == 400
    assert all(report.error is None and report.offset >= 0 for report in pipeline.reports)


@pytest.mark.kafka
def test_other_commands_keep_their_place_among_events(pipeline: Pipeline) -> None:
    with pipeline.producer(batching=Batching(seconds=60)) as producer:
        producer.add(event(1))
        producer.add(event(2))
        producer.send_command("grant", grant(1))
        producer.send_command("request", event(3))
        producer.send_command("price_book", {"book_id": "b", "yaml": "versions: []", "published_at": 1_767_225_600_000})
        producer.add(event(4))
        producer.send_command(
            "price_book", {"book_id": "c", "yaml": "", "published_at": 1_767_225_600_000}, partition=0
        )
    home = partition_of("acme", PARTITIONS)
    for partition in range(PARTITIONS):
        expected = [("price_book", ["b"])]
        if partition == home:
            expected = [("request", ["e-1", "e-2"]), ("grant", ["g-1"]), ("request", ["e-3"]), *expected]
            expected.append(("request", ["e-4"]))
        commands = pipeline.commands(partition)
        assert [command for command in commands if command != ("price_book", ["c"])] == expected
        assert (("price_book", ["c"]) in commands) == (partition == 0)


@pytest.mark.kafka
def test_a_batch_goes_out_when_it_is_large_enough(pipeline: Pipeline) -> None:
    with pipeline.producer(batching=Batching(size=10_000, seconds=60)) as producer:
        for n in range(40):
            producer.add(event(n, attributes={"description": "x" * 900}))
        producer.add(event(40, attributes={"description": "x" * 20_000}))
    messages = pipeline.messages(partition_of("acme", PARTITIONS))
    assert [len(message.value) <= 10_000 for message in messages] == [True] * (len(messages) - 1) + [False]
    assert len(messages) == 5


@pytest.mark.kafka
def test_a_batch_goes_out_when_it_is_old_enough(pipeline: Pipeline) -> None:
    with pipeline.producer(batching=Batching(seconds=0.05)) as producer:
        producer.add(event(1))
        deadline = time.monotonic() + 10
        while not pipeline.reports and time.monotonic() < deadline:
            time.sleep(0.01)
        assert [len(report.records) for report in pipeline.reports] == [1]


@pytest.mark.kafka
def test_many_threads_may_use_one_producer(pipeline: Pipeline) -> None:
    def add(first: int) -> None:
        for n in range(first, first + 500):
            producer.add(event(n, f"account-{first}"))

    with pipeline.producer(batching=Batching(events=50, seconds=0.01)) as producer:
        threads = [threading.Thread(target=add, args=(n * 1000,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        producer.flush()
        assert sum(len(report.records) for report in pipeline.reports) == 2000
    for first in range(0, 4000, 1000):
        ids = [own_id for _, ids in pipeline.commands(partition_of(f"account-{first}", PARTITIONS)) for own_id in ids]
        own = [own_id for own_id in ids if first <= int(own_id[2:]) < first + 1000]
        assert own == [f"e-{n}" for n in range(first, first + 500)]


@pytest.mark.kafka
def test_a_record_that_does_not_fit_is_refused_and_the_others_go(pipeline: Pipeline) -> None:
    with pipeline.producer(batching=Batching(seconds=60)) as producer:
        producer.add(event(1))
        with pytest.raises(Unencodable, match=r'^occurred_at: is "yesterday", should be a time of the years 2000 to'):
            producer.add(event(2, occurred_at="yesterday"))
        with pytest.raises(Unencodable, match=r'^quantities\["results"\]: is true, should be a whole number from 0 to'):
            producer.add(
                event(2, outcome=Outcome.PROCESSED, quantities=MappingProxyType({"emails": 1, "results": True}))
            )
        with pytest.raises(Unencodable, match=r"^credits: is true, should be a whole number from 1 to"):
            producer.send_command("grant", grant(1) | {"credits": True})
        with pytest.raises(Unencodable, match=r"^endpoint: is missing, should be 1 to 256 characters$"):
            producer.add({name: value for name, value in event(2).items() if name != "endpoint"})
        with pytest.raises(Unencodable, match=r"^colour: there is no such field$"):
            producer.add(event(2) | {"colour": "red"})
        with pytest.raises(TooLarge, match=r"event 'e-3' has \d+ bytes, 16777216 is the most"):
            producer.add(event(3, attributes={"description": "x" * (17 << 20)}))
        with pytest.raises(ValueError, match="is not a valid Command"):
            producer.send_command("gift", grant(1))
        producer.add(event(4))
    assert [ids for _, ids in pipeline.commands(partition_of("acme", PARTITIONS))] == [["e-1", "e-4"]]


@pytest.mark.kafka
def test_a_closed_producer_takes_nothing(pipeline: Pipeline) -> None:
    producer = pipeline.producer()
    producer.close()
    producer.close()
    with pytest.raises(DeliveryFailed, match="closed"):
        producer.add(event(1))


@pytest.mark.kafka
def test_a_report_that_fails_loses_no_other(pipeline: Pipeline, caplog: pytest.LogCaptureFixture) -> None:
    seen: list[Delivery] = []

    def report(delivery: Delivery) -> None:
        seen.append(delivery)
        raise RuntimeError("the caller's mistake")

    with pipeline.producer(on_delivery=report, batching=Batching(events=1)) as producer:
        for n in range(10):
            producer.add(event(n))
    assert len(seen) == 10
    assert "on_delivery failed" in caplog.text


@pytest.mark.kafka
def test_no_topic(kafka: SharedKafka) -> None:
    with pytest.raises(TopicMissing, match="make the topics first"):
        CommandProducer(kafka.bootstrap, TopicNames(kafka.fresh_prefix()), CODEC)


@pytest.mark.parametrize("events", [0, 50_001])
def test_batches_that_no_worker_would_take_are_refused(events: int) -> None:
    with pytest.raises(ValueError, match=f"events: {events}; a batch holds 1 to 50000"):
        Batching(events=events)


def test_no_broker_is_said_in_time() -> None:
    with pytest.raises(LogUnavailable, match=r"no Kafka broker answered at 127\.0\.0\.1:1 within 0\.5 s"):
        CommandProducer("127.0.0.1:1", TopicNames(), CODEC, connect_timeout=0.5)


@pytest.mark.kafka
@pytest.mark.slow
def test_a_broker_that_goes_away_is_waited_for_and_then_said(own_kafka: Broker) -> None:
    names = TopicNames()
    ensure_topics(own_kafka.bootstrap, names, TopicSettings(partitions=1))
    reports: list[Delivery] = []
    producer = CommandProducer(own_kafka.bootstrap, names, CODEC, on_delivery=reports.append, delivery_timeout=5)
    producer.add(event(1))
    producer.flush()
    own_kafka.kill()
    producer.add(event(2))
    begun = time.monotonic()
    with pytest.raises(DeliveryFailed, match=r"credits\.requests\[0\]: not acknowledged within 5 s"):
        producer.flush()
    assert time.monotonic() - begun < 60
    failing: list[Callable[[], None]] = [lambda: producer.add(event(3)), producer.flush, producer.close]
    for call in failing:
        with pytest.raises(DeliveryFailed, match="not acknowledged"):
            call()
    assert [(len(report.records), report.offset, report.error is None) for report in reports] == [
        (1, 0, True),
        (1, -1, False),
    ]

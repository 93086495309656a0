"""The logs in Kafka: the contracts of contract_logs.py, and what only a real broker does."""

import secrets
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from local.shared import SharedKafka
from local.start import Broker
from streams.log.input_log import KafkaInputLog, as_message
from streams.log.output_log import KafkaOutputLog
from streams.log.protocols import PRODUCER_HEADER, DeliveryFailed, LogChanged, LogUnavailable, Message, OutputLog
from streams.log.reader import KafkaReader
from streams.log.seals import Sealer
from streams.log.topics import TopicNames, TopicSettings, ensure_topics
from tests.streams.log.contract_logs import InputLogContract, InputSide, OutputLogContract, OutputSide, position_of

pytestmark = pytest.mark.kafka

MakeTopic = Callable[..., str]
NOBODY = "127.0.0.1:1"


@pytest.fixture
def make_topic(kafka: SharedKafka) -> MakeTopic:
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})

    def make(**config: str) -> str:
        name = f"{kafka.fresh_prefix()}.topic"
        config = {"message.timestamp.type": "LogAppendTime", "max.message.bytes": str(16 << 20)} | config
        admin.create_topics([NewTopic(name, 2, config=config)])[name].result(timeout=30)
        deadline = time.monotonic() + 30
        while len(admin.list_topics(name, timeout=30).topics[name].partitions) < 2:
            assert time.monotonic() < deadline, f"{name} was made, and nobody knows it"
            time.sleep(0.05)
        return name

    return make


class Hands:
    """What producers and the broker do to a topic."""

    def __init__(self, bootstrap: str) -> None:
        self._admin = AdminClient({"bootstrap.servers": bootstrap})
        self._plain = Producer(
            {"bootstrap.servers": bootstrap, "enable.idempotence": True, "message.max.bytes": 17 << 20}
        )
        name = f"test-{secrets.token_hex(6)}"
        self._transactional = Producer({"bootstrap.servers": bootstrap, "transactional.id": name})
        self._ready = False
        self._reader = KafkaReader(bootstrap)

    def append(self, topic: str, partition: int, value: bytes, producer: str | None) -> None:
        headers: dict[str, str | bytes | None] = {} if producer is None else {PRODUCER_HEADER: producer.encode()}
        self._plain.produce(topic, value, partition=partition, headers=headers)

    def finish(self) -> None:
        assert self._plain.flush(30) == 0

    def skip(self, topic: str, partition: int) -> None:
        """A transaction that is aborted: its record and its marker use up two offsets."""
        self.finish()
        before = self._reader.bounds(topic, partition)[1]
        if not self._ready:
            self._transactional.init_transactions(30)
            self._ready = True
        self._transactional.begin_transaction()
        self._transactional.produce(topic, b"never happened", partition=partition)
        self._transactional.flush(30)
        self._transactional.abort_transaction(30)
        wait_for_end(self._reader, topic, partition, before + 2)

    def expire(self, topic: str, partition: int, before: int) -> None:
        self.finish()
        for done in self._admin.delete_records([TopicPartition(topic, partition, before)]).values():
            done.result(timeout=30)


def wait_for_end(reader: KafkaReader, topic: str, partition: int, end: int) -> None:
    """A transaction's marker is written a moment after the producer has been told that it is over."""
    deadline = time.monotonic() + 30
    while reader.bounds(topic, partition)[1] < end:
        assert time.monotonic() < deadline, f"{topic}[{partition}] did not reach {end}"
        time.sleep(0.005)


class KafkaInputSide:
    def __init__(self, bootstrap: str, topic: str) -> None:
        self.topic = topic
        self._hands = Hands(bootstrap)
        self._log = KafkaInputLog(bootstrap, topic)

    @property
    def log(self) -> KafkaInputLog:
        self._hands.finish()
        return self._log

    def append(self, partition: int, value: bytes, producer: str | None = None) -> None:
        self._hands.append(self.topic, partition, value, producer)

    def skip(self, partition: int) -> None:
        self._hands.skip(self.topic, partition)

    def expire(self, partition: int, before: int) -> None:
        self._hands.expire(self.topic, partition, before)


class TestKafkaInputLog(InputLogContract):
    @pytest.fixture
    def side(self, kafka: SharedKafka, make_topic: MakeTopic) -> Iterator[InputSide]:
        side = KafkaInputSide(kafka.bootstrap, make_topic())
        yield side
        side.log.close()


class KafkaOutputSide:
    def __init__(self, bootstrap: str, topics: tuple[str, str]) -> None:
        self.topics = topics
        self._bootstrap = bootstrap
        self._hands = Hands(bootstrap)
        self._reader = KafkaReader(bootstrap)
        self.open = ExitStack()
        self.open.callback(self._reader.close)

    def messages(self, topic: str, partition: int) -> list[Message]:
        return [
            as_message(message)
            for message in self._reader.read(topic, partition, *self._reader.bounds(topic, partition))
        ]

    def append(self, topic: str, value: bytes, headers: dict[str, bytes]) -> None:
        producer = Producer({"bootstrap.servers": self._bootstrap})
        producer.produce(topic, value, partition=0, headers=list(headers.items()))
        assert producer.flush(30) == 0

    def new(self, seals: Sealer | None = None) -> OutputLog:
        log = KafkaOutputLog(self._bootstrap, position_of, seals=seals)
        self.open.callback(log.close)
        return log

    def values(self, topic: str, partition: int) -> list[bytes]:
        return values(self._reader, topic, partition)

    def skip(self, topic: str, partition: int) -> None:
        self._hands.skip(topic, partition)

    def expire(self, topic: str, partition: int, before: int) -> None:
        self._hands.expire(topic, partition, before)


def values(reader: KafkaReader, topic: str, partition: int) -> list[bytes]:
    return [message.value() or b"" for message in reader.read(topic, partition, *reader.bounds(topic, partition))]


class TestKafkaOutputLog(OutputLogContract):
    @pytest.fixture
    def side(self, kafka: SharedKafka, make_topic: MakeTopic) -> Iterator[OutputSide]:
        side = KafkaOutputSide(kafka.bootstrap, (make_topic(), make_topic()))
        with side.open:
            yield side


def test_an_open_transaction_ends_the_log_before_it(kafka: SharedKafka, make_topic: MakeTopic) -> None:
    side = KafkaInputSide(kafka.bootstrap, make_topic())
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "transactional.id": kafka.fresh_prefix()})
    side.append(0, b"a")
    log = side.log
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(side.topic, b"b", partition=0)
    producer.flush(30)
    assert log.bounds(0) == (0, 1)
    producer.commit_transaction(30)
    reader = KafkaReader(kafka.bootstrap)
    wait_for_end(reader, side.topic, 0, 3)
    assert [m.value for m in log.read(0, *log.bounds(0))] == [b"a", b"b"]
    reader.close()
    log.close()


def test_times_of_producers_are_refused(kafka: SharedKafka, make_topic: MakeTopic) -> None:
    side = KafkaInputSide(kafka.bootstrap, make_topic(**{"message.timestamp.type": "CreateTime"}))
    side.append(1, b"a")
    with pytest.raises(LogChanged, match=r"\[1\]@0: the record's time is its producer's"):
        list(side.log.read(1, 0, 1))
    side.log.close()


def test_a_partition_that_is_not_there(kafka: SharedKafka, make_topic: MakeTopic) -> None:
    log = KafkaInputLog(kafka.bootstrap, make_topic())
    with pytest.raises(LogChanged, match=r"\[9\]: there is no such partition"):
        log.bounds(9)
    log.close()


def test_no_broker_is_said_in_time() -> None:
    log = KafkaInputLog(NOBODY, "credits.requests", timeout=0.5)
    with pytest.raises(LogUnavailable, match=r"credits.requests\[0\]: no answer from 127.0.0.1:1 within 0.5 s"):
        log.bounds(0)
    log.close()


def test_after_an_output_that_the_broker_refuses_nothing_goes_out(kafka: SharedKafka, make_topic: MakeTopic) -> None:
    topic = make_topic(**{"max.message.bytes": "100000"})
    log, reader = KafkaOutputLog(kafka.bootstrap, position_of), KafkaReader(kafka.bootstrap)
    log.send(topic, 0, b"1,0")
    log.wait()
    log.send(topic, 0, b"2,0" + secrets.token_bytes(200_000))
    log.send(topic, 0, b"3,0")
    with pytest.raises(DeliveryFailed, match=topic.replace(".", r"\.") + r".*too large"):
        log.wait()
    with pytest.raises(DeliveryFailed):
        log.send(topic, 0, b"4,0")
    with pytest.raises(DeliveryFailed):
        log.wait()
    log.close()
    assert values(reader, topic, 0) == [b"1,0"]
    reader.close()


def test_an_output_that_the_client_refuses(kafka: SharedKafka, make_topic: MakeTopic) -> None:
    topic = make_topic()
    log = KafkaOutputLog(kafka.bootstrap, position_of)
    with pytest.raises(DeliveryFailed, match=r"\[1\]: an output was not taken: .*too large"):
        log.send(topic, 1, b"1,0" + bytes(20 << 20))
    with pytest.raises(DeliveryFailed):
        log.wait()
    log.close()


def test_a_partition_that_is_not_there_fails_the_output(kafka: SharedKafka, make_topic: MakeTopic) -> None:
    log, topic = KafkaOutputLog(kafka.bootstrap, position_of), make_topic()
    log.send(topic, 0, b"1,0")
    log.wait()
    with pytest.raises(DeliveryFailed, match=r"\[9\]: an output was not taken"):
        log.send(topic, 9, b"1,0")
    log.close()


def test_a_full_queue_blocks_and_drops_nothing(kafka: SharedKafka, make_topic: MakeTopic) -> None:
    log = KafkaOutputLog(kafka.bootstrap, position_of, queue_buffering_max_messages=5)
    reader, topic = KafkaReader(kafka.bootstrap), make_topic()
    for n in range(60):
        log.send(topic, 0, b"%d,0" % n)
    log.wait()
    assert values(reader, topic, 0) == [b"%d,0" % n for n in range(60)]
    log.close()
    reader.close()


@pytest.mark.slow
def test_a_broker_that_restarts_is_waited_for(own_kafka: Broker) -> None:
    names = TopicNames("credits")
    ensure_topics(own_kafka.bootstrap, names, TopicSettings(partitions=1))
    log, reader = KafkaOutputLog(own_kafka.bootstrap, position_of), KafkaReader(own_kafka.bootstrap)
    log.send(names.billed, 0, b"0,0")
    log.wait()
    over = threading.Event()

    def ask_on() -> int:
        """Questions under way, and others that find nobody, while the broker goes away and comes back."""
        answers = 0
        while not over.is_set():
            answers += reader.bounds(names.billed, 0)[1] > 0
            answers += reader.last(names.billed, 0, lambda _: True) is not None
        return answers

    asking = ThreadPoolExecutor().submit(ask_on)
    time.sleep(0.5)
    own_kafka.kill()
    for n in range(1, 100):
        log.send(names.billed, 0, b"%d,0" % n)
    restart = threading.Timer(2, own_kafka.restart)
    restart.start()
    log.wait()
    restart.join()
    over.set()
    assert asking.result(60) > 1
    assert values(reader, names.billed, 0) == [b"%d,0" % n for n in range(100)]
    assert log.last_position(names.billed, 0) == (99, 0)
    log.close()
    reader.close()


def test_a_wait_for_a_broker_can_be_abandoned() -> None:
    log = KafkaOutputLog(NOBODY, position_of)
    log.send("credits.billed", 0, b"1,0")
    stop = threading.Timer(0.3, log.abandon)
    stop.start()
    with pytest.raises(DeliveryFailed, match=r"stopped while 1 outputs waited for Kafka at 127\.0\.0\.1:1"):
        log.wait()
    stop.join()
    log.close()

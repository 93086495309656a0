"""The contract of sending and following on a real broker, and a broker that goes away and comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from local.shared import SharedKafka
from local.start import Broker
from streams import clock
from streams.log.connections import KafkaConnections
from streams.log.decision_tail import TailRecord
from streams.log.event_sender import EventSender, Outgoing, Stored
from streams.log.message_sender import KafkaMessageSender
from streams.log.output_log import KafkaOutputLog
from streams.log.pipeline_seals import PipelineSeals
from streams.log.protocols import LogUnavailable
from streams.log.seal_ledger import SealKeys
from streams.log.tail_source import KafkaTailSource
from streams.log.topics import TopicNames, TopicSettings, ensure_topics
from tests.streams.log.contract_sending import CODEC, Place, SendingContract, event, ids_at, run
from tests.streams.log.test_event_sender import billed

pytestmark = pytest.mark.kafka


class TestOnKafka(SendingContract):
    @pytest.fixture
    def place(self, kafka: SharedKafka) -> Iterator[Place]:
        names = TopicNames(kafka.fresh_prefix())
        topics = ensure_topics(kafka.bootstrap, names, TopicSettings(partitions=2))
        seals = PipelineSeals(kafka.bootstrap, names, SealKeys(topics[names.requests])).begun(2)
        worker = KafkaOutputLog(kafka.bootstrap, CODEC.read_position, seals=seals.sealer)

        def answer(partition: int, offset: int, part: int, parts: int, event_id: str) -> None:
            worker.send(names.billed, partition, billed(offset, part, parts, event_id, partition))
            worker.wait()

        with closing(KafkaConnections(kafka.bootstrap, names, CODEC, {})) as connections, closing(worker):
            yield Place(names, connections, answer)


def test_nothing_is_taken_until_kafka_knows_the_topic(kafka: SharedKafka) -> None:
    """A broker that has just come back may answer before it knows its topics."""
    names = TopicNames(kafka.fresh_prefix())
    transport = KafkaMessageSender(kafka.bootstrap, names.requests, delivery_timeout=1)

    async def work() -> Stored | None:
        sender = EventSender(transport, CODEC)
        assert await sender.store_events("k", [Outgoing(0, event(1))]) == [None]
        await asyncio.sleep(1.5)
        assert sender.problem() is not None
        ensure_topics(kafka.bootstrap, names, TopicSettings(partitions=1))
        deadline = clock.monotonic() + 60
        while sender.problem() is not None:
            assert clock.monotonic() < deadline
            await asyncio.sleep(0.1)
        (stored,) = await sender.store_events("k", [Outgoing(0, event(2))])
        await sender.close(10)
        return stored

    assert run(work) is not None


def test_a_tail_waits_for_topics_that_kafka_does_not_know_yet(
    kafka: SharedKafka, caplog: pytest.LogCaptureFixture
) -> None:
    names = TopicNames(kafka.fresh_prefix())
    source = KafkaTailSource(kafka.bootstrap, (names.billed,), 2, patience=120)
    with closing(source), ThreadPoolExecutor(1) as pool:
        starting = pool.submit(source.start)
        _wait_until(lambda: f"waits for {names.billed}" in caplog.text)
        assert not starting.done()
        ensure_topics(kafka.bootstrap, names, TopicSettings(partitions=2))
        starting.result(120)
        worker = KafkaOutputLog(kafka.bootstrap, CODEC.read_position)
        with closing(worker):
            worker.send(names.billed, 1, billed(7, 0, 1, "late", 1))
            worker.wait()
        records: list[TailRecord] = []

        def has_come() -> bool:
            records.extend(source.poll(0.2))
            return bool(records)

        _wait_until(has_come)
    ((topic, message),) = records
    assert (topic, message.partition, CODEC.read_position(message.value)) == (names.billed, 1, (7, 0))


def test_a_tail_that_asked_for_a_topic_too_early_finds_it(kafka: SharedKafka) -> None:
    """A client that asks while a topic is being made can answer "unknown" for ever. Twelve at once meet that moment."""

    def start(number: int) -> None:
        names = TopicNames(kafka.fresh_prefix())
        source = KafkaTailSource(kafka.bootstrap, (names.billed,), 2, patience=30)
        with closing(source), ThreadPoolExecutor(1) as pool:
            starting = pool.submit(source.start)
            clock.sleep(number * 0.1)
            ensure_topics(kafka.bootstrap, names, TopicSettings(partitions=2))
            starting.result(60)

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(start, range(12)))


def test_a_tail_names_the_topics_that_never_come(kafka: SharedKafka) -> None:
    names = TopicNames(kafka.fresh_prefix())
    source = KafkaTailSource(kafka.bootstrap, (names.billed, names.holds), 2, patience=0.5)
    with pytest.raises(LogUnavailable, match=rf"{names.billed}, {names.holds}: .* for 0.5 s .* topic_prefix"):
        source.start()


def _wait_until(is_so: Callable[[], bool]) -> None:
    deadline = clock.monotonic() + 120
    while not is_so():
        assert clock.monotonic() < deadline
        clock.sleep(0.05)


@pytest.mark.crash
@pytest.mark.slow
def test_a_broker_that_goes_away_and_comes_back_needs_no_restart(own_kafka: Broker) -> None:
    names = TopicNames("away")
    ensure_topics(own_kafka.bootstrap, names, TopicSettings(partitions=1))
    transport = KafkaMessageSender(own_kafka.bootstrap, names.requests, delivery_timeout=2)

    async def store(sender: EventSender, number: int) -> Stored | None:
        (stored,) = await sender.store_events("k", [Outgoing(0, event(number))])
        return stored

    async def work() -> list[Stored]:
        sender = EventSender(transport, CODEC)
        first = await store(sender, 1)
        await asyncio.to_thread(own_kafka.kill)
        assert await store(sender, 2) is None
        with pytest.raises(LogUnavailable, match="not delivered"):
            await store(sender, 3)
        await asyncio.to_thread(own_kafka.restart)
        deadline = clock.monotonic() + 60
        while sender.problem() is not None:
            assert clock.monotonic() < deadline
            await asyncio.sleep(0.1)
        second = await store(sender, 4)
        await sender.close(10)
        return [stored for stored in (first, second) if stored is not None]

    stored = run(work)
    connections = KafkaConnections(own_kafka.bootstrap, names, CODEC, {})
    with closing(connections):
        place = Place(names, connections, lambda *_: None)
        assert [ids_at(place, one) for one in stored] == [["e-1"], ["e-4"]]

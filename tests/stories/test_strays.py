"""Records that somebody else puts into the output topics of a real pipeline: no bill changes, and each is named."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from confluent_kafka import Producer

from cli.main import main
from local.shared import SharedKafka
from schemas.catalog import BATCHES
from sinks.embedded import EmbeddedSink
from streams.log.seals import Sealer
from streams.log.topics import TopicNames
from streams.rating.outputs import BATCH_NAME, topics_by_kind
from tests.stories.cluster import Cluster, check_store
from tests.streams.traffic import BOOK, START, Traffic

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

SEED = 20261126
MILLION = 1_000_000


@pytest.fixture
def cluster(kafka: SharedKafka, tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(kafka.bootstrap, kafka.fresh_prefix(), tmp_path, BOOK, partitions=2)
    yield made
    made.close()


class Stranger:
    """Somebody who may write to the pipeline's topics; keeps the places of what it wrote."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.producer = Producer({"bootstrap.servers": cluster.bootstrap})
        self.places: set[str] = set()

    def write(self, topic: str, offset: int, items: list[dict[str, Any]], seal: bytes | None = None) -> None:
        """A batch of the topic's kind in partition 0 that claims to come from this input offset."""
        kinds = {topic: BATCH_NAME[kind] for kind, topic in topics_by_kind(self.cluster.names).items()}
        name = kinds[topic]
        head = {"source_partition": 0, "source_offset": offset, "part": 0, "parts": 1}
        self.write_bytes(topic, self.cluster.codec.encode(name, {**head, BATCHES[name]: items}), seal)

    def write_bytes(self, topic: str, value: bytes, seal: bytes | None = None) -> None:
        headers = {} if seal is None else {"seal": seal}
        self.producer.produce(topic, value, partition=0, headers=headers, on_delivery=self._delivered)
        assert self.producer.flush(30) == 0

    def _delivered(self, error: Any, message: Any) -> None:
        assert error is None
        self.places.add(f"{message.topic()}[{message.partition()}]@{message.offset()}")


def grant(account_id: str) -> dict[str, Any]:
    return {
        "grant_id": "a gift", "account_id": account_id, "credit_type": "credit", "status": "applied",
        "credits": MILLION, "expires_at": None, "balance_after": MILLION, "reason": "", "changed_at": START,
    }  # fmt: skip


def test_strays_change_no_bill_and_are_named(cluster: Cluster, tmp_path: Path) -> None:
    """First in a partition, between two of ours, behind the last, and while the worker is down."""
    names, messages = cluster.names, Traffic(SEED, 2, cluster.codec).messages(90)
    stranger = Stranger(cluster)
    cluster.start_with("worker")  # it begins the seals' ledger
    cluster.wait_ready("worker")
    cluster.stop("worker")
    for topic in names.outputs:
        stranger.write(topic, 0, [])
    stranger.write(names.billed, 2**60, [])
    cluster.send(messages[:30])
    cluster.start_with("worker")
    cluster.start_with("loader")
    cluster.wait_until_rated()
    stranger.write(names.grants, 10**6, [grant("account-1")], bytes(16))
    stranger.write(names.billed, 10**6, [], Sealer(b"another pipeline").seal(names.billed, 0, b""))
    cluster.send(messages[30:60])
    cluster.wait_until_rated()
    cluster.stop("worker")

    ours = cluster.bytes_in_topics()
    for topic in names.outputs:  # a later offset for what is ours, and one that the input will soon have
        for value in ours[topic, 0][-1:]:
            stranger.write_bytes(topic, value)
        stranger.write(topic, cluster.messages()[0][-1].offset + 20, [])
    stranger.write_bytes(names.billed, b"not even Avro")
    cluster.send(messages[60:])
    cluster.start_with("worker")
    cluster.wait_until_rated()
    cluster.wait_until_loaded()
    cluster.stop("worker")
    cluster.stop("loader")

    rated = cluster.check_topics()
    sink = EmbeddedSink(tmp_path / "one" / "data" / "clickhouse")
    try:
        check_store(sink, rated)
        assert sink.query("SELECT count() FROM grant_rows WHERE grant_id = 'a gift'").rows == [(0,)]
    finally:
        sink.close()
    log = cluster.log_of("loader", 1_000_000)
    loaded = {place for place in stranger.places if place.split("[")[0] in names.loaded}
    assert all(f"{place}: a stray record" in log for place in loaded)
    result = CliRunner().invoke(main, ["audit", "--json", "--state", "--config", str(tmp_path / "one" / "loader.toml")])
    differences = [json.loads(line) for line in result.stdout.splitlines()][:-1]
    assert result.exit_code == 1, result.output
    assert {difference["place"] for difference in differences} == stranger.places
    assert all("a stray record" in difference["detail"] for difference in differences)
    print(f"{len(stranger.places)} stray records, each named by the loader and by audit; the bill is that of rate")


def test_an_upgraded_pipeline_and_a_rotated_key(cluster: Cluster, tmp_path: Path) -> None:
    """Outputs without seals are believed up to the noted ends; then the key is changed on purpose, and by mistake."""
    names, messages = cluster.names, Traffic(SEED + 1, 2, cluster.codec).messages(80)
    cluster.send(messages[:20])
    before_seals(cluster)
    stranger = Stranger(cluster)
    cluster.start_with("worker")
    cluster.start_with("loader")
    cluster.wait_until_rated()
    stranger.write(names.billed, 10**6, [])
    cluster.send(messages[20:40])
    cluster.wait_until_rated()
    cluster.wait_until_loaded()
    cluster.stop("worker")
    cluster.stop("loader")

    key = "a key that nobody guesses"
    cluster.start_with("worker", seal_key=key)
    code, log = cluster.wait_ended("worker")
    assert code == 1
    assert f"{names.seals}[0]@0" in log
    assert "creditmeter seal rotate" in log
    config = str(tmp_path / "one" / "worker.toml")
    result = CliRunner().invoke(main, ["seal", "rotate", "--config", config])
    assert result.exit_code == 0, result.output
    cluster.seal_keys = type(cluster.seal_keys)(cluster.seal_keys.log_id, key.encode())
    cluster.start_with("worker", seal_key=key)
    cluster.start_with("loader", seal_key=key)
    cluster.send(messages[40:])
    cluster.wait_until_rated()
    stranger.write(names.refunds, 10**6, [])
    cluster.wait_until_loaded()
    cluster.stop("worker")
    cluster.stop("loader")
    rated = cluster.check_topics()
    sink = EmbeddedSink(tmp_path / "one" / "data" / "clickhouse")
    try:
        check_store(sink, rated)
    finally:
        sink.close()
    result = CliRunner().invoke(main, ["audit", "--json", "--state", "--config", str(tmp_path / "one" / "loader.toml")])
    assert {json.loads(line)["place"] for line in result.stdout.splitlines()[:-1]} == stranger.places


def before_seals(cluster: Cluster) -> None:
    """Rates what is in the log as a version without seals did: outputs without a header, and no ledger."""
    from schemas.price_book import read_book
    from streams.log.input_log import KafkaInputLog
    from streams.log.output_log import KafkaOutputLog
    from streams.rating.loop import RatingLoop
    from streams.rating.partition import Wiring
    from streams.state.store import MemoryState

    log = KafkaInputLog(cluster.bootstrap, cluster.names.requests)
    out = KafkaOutputLog(cluster.bootstrap, cluster.codec.read_position)
    wiring = Wiring(cluster.names, cluster.partitions, cluster.codec, read_book, log, out)
    loop = RatingLoop(wiring, lambda _: MemoryState())
    for partition in range(cluster.partitions):
        loop.process(list(log.read(partition, *log.bounds(partition))))
    loop.close()
    out.close()
    log.close()


def test_workers_of_an_earlier_version_are_waited_for(kafka: SharedKafka) -> None:
    from confluent_kafka import Consumer

    from streams.log.pipeline_seals import PipelineSeals, WorkersRun
    from streams.log.seal_ledger import SealKeys
    from streams.log.topics import TopicSettings, ensure_topics

    names = TopicNames(kafka.fresh_prefix())
    log_id = ensure_topics(kafka.bootstrap, names, TopicSettings(partitions=1))[names.requests]
    old = Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": names.rating_group})
    assigned: list[Any] = []
    old.subscribe([names.requests], on_assign=lambda _consumer, partitions: assigned.append(partitions))
    while not assigned:
        old.poll(0.2)
    seals = PipelineSeals(kafka.bootstrap, names, SealKeys(log_id))
    with pytest.raises(WorkersRun, match="1 workers of a version that does not seal"):
        seals.begun(1, patience=0.5)
    with pytest.raises(WorkersRun, match="stop every worker and loader before the key is rotated"):
        seals.rotate(1)
    old.close()
    assert len(seals.begun(1).notes) == 1
    assert len(seals.begun(1).notes) == 1
    seals.close()

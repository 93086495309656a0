"""A worker's machine is lost: another begins from checkpoints and the log's rest, on a real broker."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from local.shared import SharedKafka
from streams.checkpoints.checkpoints import Checkpoints
from streams.log.input_log import KafkaInputLog
from streams.log.topics import check_topics
from tests.stories.cluster import KINDS, Cluster
from tests.streams.traffic import BOOK, Traffic

pytestmark = [pytest.mark.kafka, pytest.mark.crash, pytest.mark.slow]


@pytest.fixture
def cluster(kafka: SharedKafka, tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(kafka.bootstrap, kafka.fresh_prefix(), tmp_path, BOOK, partitions=2)
    yield made
    made.close()


def test_an_empty_disk_and_a_log_trimmed_to_the_checkpoints(cluster: Cluster, tmp_path: Path) -> None:
    traffic = Traffic(20260701, cluster.partitions, cluster.codec, accounts=20)
    settings: dict[str, str | int] = {
        "checkpoint_url": str(tmp_path / "kept"), "checkpoint_every": 1, "checkpoints_kept": 2,
    }  # fmt: skip
    cluster.send(traffic.messages(300))
    cluster.start_with("worker", **settings)
    cluster.wait_until_rated()
    names = cluster.names
    log_id = check_topics(cluster.bootstrap, names)[names.requests]
    kept = Checkpoints(str(tmp_path / "kept"), names.requests, log_id)
    input_log = KafkaInputLog(cluster.bootstrap, names.requests)
    ends = [input_log.bounds(partition)[1] for partition in range(cluster.partitions)]
    cluster.wait_for(lambda: newest(kept, cluster) == [end - 1 for end in ends], "a checkpoint of everything")
    cluster.send(traffic.messages(100))  # rated, but in no checkpoint for certain
    cluster.wait_until_rated()
    cluster.kill("worker")
    shutil.rmtree(tmp_path / "one" / "data")
    cluster.send(traffic.messages(100))  # not rated by anybody yet
    messages = cluster.messages()
    trim(cluster, kept)
    begins = [input_log.bounds(partition)[0] for partition in range(cluster.partitions)]
    assert min(begins) > 0
    input_log.close()

    cluster.start_with("worker", machine="two", **settings)
    cluster.wait_until_rated()
    said = cluster.log_of("worker", most=100_000)
    assert said.count("restoring ") == cluster.partitions, said
    there = cluster.bytes_in_topics()
    for (topic, partition), values in there.items():
        log = KafkaInputLog(cluster.bootstrap, topic)
        sent = len(list(log.read(partition, *log.bounds(partition))))
        log.close()
        assert sent == len(values), f"{topic}[{partition}]: what was there already is not sent again"
    rated, seen = cluster.rated(messages), cluster.seen(there)
    for kind in KINDS:
        assert [outputs[kind] for outputs in seen] == [outputs[kind] for outputs in rated]
    assert sum(line["credits"] for outputs in rated for line in outputs["billed"]) > 1_000


def newest(kept: Checkpoints, cluster: Cluster) -> list[int]:
    newest = [kept.newest(partition) for partition in range(cluster.partitions)]
    return [-1 if checkpoint is None else checkpoint.applied for checkpoint in newest]


def trim(cluster: Cluster, kept: Checkpoints) -> None:
    """Deletes from the log what the oldest checkpoint kept of each partition makes needless."""
    needed = {partition: list(kept.whole(partition))[-1].applied + 1 for partition in range(cluster.partitions)}
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap})
    places = [TopicPartition(cluster.names.requests, partition, offset) for partition, offset in needed.items()]
    for done in admin.delete_records(places).values():
        done.result(30)

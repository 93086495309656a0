"""Real workers on a real broker, joining, leaving and killed: the bill is that of the pure state machine."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.shared import SharedKafka
from tests.stories.cluster import Cluster
from tests.streams.traffic import BOOK, Traffic

SEED = 20260101
ELSEWHERE = "worker-on-another-machine"

pytestmark = [pytest.mark.kafka, pytest.mark.crash, pytest.mark.slow]


@pytest.fixture
def cluster(kafka: SharedKafka, tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(kafka.bootstrap, kafka.fresh_prefix(), tmp_path, BOOK)
    yield made
    made.close()


def traffic(cluster: Cluster, seed: int, count: int) -> list[tuple[int, int, bytes]]:
    return Traffic(seed, cluster.partitions, cluster.codec, accounts=20).messages(count)


def test_workers_join_and_leave(cluster: Cluster) -> None:
    """A second machine with a disk of its own, and a second process on the first machine's disk."""
    feeding = cluster.feed(traffic(cluster, SEED + 1, 1_500), seconds=18)
    joins = (("worker", "one"), (ELSEWHERE, "two"), ("worker-beside", "one"))
    for name, machine in joins:
        cluster.start(name, machine=machine)
        cluster.wait_ready(name)
        time.sleep(2)
    cluster.stop(ELSEWHERE)
    time.sleep(1)
    cluster.kill("worker")
    cluster.start(ELSEWHERE, machine="two")
    cluster.audit("--no-wait", "--no-clickhouse", config="one/worker-beside.toml")
    feeding.finish()
    cluster.wait_until_rated()
    cluster.check_topics()
    for config in ("one/worker-beside.toml", f"two/{ELSEWHERE}.toml"):  # each with its own states, which workers hold
        assert cluster.audit("--no-clickhouse", config=config)["messages"] > 1_500


def test_an_undisturbed_run_gives_the_same_bytes(cluster: Cluster, tmp_path: Path) -> None:
    """A worker that is killed, and one with an empty disk that reads the same log: equal to the byte."""
    cluster.send(traffic(cluster, SEED + 2, 600))
    cluster.start("worker")
    cluster.wait_ready("worker")
    cluster.kill("worker")
    cluster.start("worker")
    cluster.wait_until_rated()
    before = cluster.bytes_in_topics()
    cluster.stop("worker")
    shutil.rmtree(tmp_path / "one" / "data" / "state")
    cluster.send(traffic(cluster, SEED + 3, 100))
    cluster.start("worker")
    cluster.wait_until_rated()
    after = cluster.bytes_in_topics()
    for place, values in before.items():
        assert after[place][: len(values)] == values
    cluster.check_topics()
    cluster.audit_all("--no-clickhouse", config="one/worker.toml")

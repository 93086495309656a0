"""The broker dies and comes back, and partitions move between machines: the bill stays what `rate` makes of the log."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from local.ports import free_ports
from local.shared import SharedKafka
from local.start import Broker
from tests.stories.cluster import BusyTraffic, Cluster
from tests.streams.traffic import BOOK

SEED = 20260712

pytestmark = [pytest.mark.kafka, pytest.mark.crash, pytest.mark.slow]


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Callable[[str, str], Cluster]]:
    """Makes clusters on a broker, and ends their processes."""
    clusters: list[Cluster] = []

    def make(bootstrap: str, prefix: str) -> Cluster:
        clusters.append(Cluster(bootstrap, prefix, tmp_path, BOOK))
        return clusters[-1]

    yield make
    for cluster in clusters:
        cluster.close()


def traffic(cluster: Cluster, seed: int, count: int) -> list[tuple[int, int, bytes]]:
    return BusyTraffic(seed, cluster.partitions, cluster.codec, accounts=40).messages(count)


def credits_of(rated: list[dict[str, list[dict[str, int]]]]) -> int:
    return sum(line["credits"] for outputs in rated for line in outputs["billed"])


def metric(port: int, name: str) -> float:
    """A figure that a process gives Prometheus."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as reply:
        lines = reply.read().decode().splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith(f"{name} ")))


def test_the_broker_is_killed_twice(own_kafka: Broker, made: Callable[[str, str], Cluster]) -> None:
    """kill -9 of the broker while events, outputs and rows are under way; worker and loader wait for it."""
    cluster = made(own_kafka.bootstrap, "credits")
    cluster.start_with("worker", group_messages=8)
    cluster.start_with("loader")
    cluster.wait_ready("worker")
    cluster.wait_ready("loader")
    feeding = cluster.feed(traffic(cluster, SEED, 600), seconds=12)
    for pause in (3.0, 4.0):
        time.sleep(pause)
        own_kafka.kill()
        time.sleep(2)
        own_kafka.restart()
    feeding.finish()
    cluster.wait_until_rated()
    cluster.wait_until_loaded()
    cluster.stop("worker")
    cluster.stop("loader")
    rated = cluster.check_topics()
    cluster.audit_all()
    print(f"{credits_of(rated):,} credits")


def test_an_empty_disk_takes_over_and_an_old_one_comes_back(
    kafka: SharedKafka, made: Callable[[str, str], Cluster]
) -> None:
    """Every partition moves to a machine that has nothing, and back to one whose state has fallen behind."""
    cluster = made(kafka.bootstrap, kafka.fresh_prefix())
    messages = traffic(cluster, SEED + 1, 500)
    cluster.start_with("worker")
    cluster.wait_ready("worker")
    cluster.send(messages[:200])
    cluster.wait_until_rated()
    cluster.kill("worker")

    (port,) = free_ports(1)
    cluster.start_with("worker-elsewhere", machine="two", metrics_port=port)
    cluster.wait_ready("worker-elsewhere")
    feeding = cluster.feed(messages[200:350], seconds=4)
    time.sleep(2)
    cluster.start_with("worker")  # joins with what it had, and gets some of the partitions back
    cluster.wait_ready("worker")
    feeding.finish()
    cluster.wait_until_rated()

    feeding = cluster.feed(messages[350:], seconds=4)
    time.sleep(2)
    caught_up = metric(port, "creditmeter_catch_up_messages_total")
    assert caught_up >= 200
    cluster.stop("worker-elsewhere")  # in order, and the rest comes back, too
    feeding.finish()
    cluster.wait_until_rated()
    cluster.stop("worker")
    rated = cluster.check_topics()
    cluster.audit_all("--no-clickhouse", config="one/worker.toml")
    cluster.audit("--no-clickhouse", config="two/worker-elsewhere.toml")
    print(f"{credits_of(rated):,} credits; the empty disk caught up {caught_up:.0f} messages")

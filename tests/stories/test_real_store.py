"""A ClickHouse server that is away for 20 seconds, and messages that are poison: nothing lost, nothing doubled."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.shared import SharedKafka
from local.start import ClickHouse
from sinks.migrate import migrate
from sinks.server import ServerAddress, ServerSink
from tests.sinks.old_server import OldServerSink
from tests.stories.cluster import BusyTraffic, Cluster, check_store
from tests.streams.traffic import BOOK

SEED = 20260713
AWAY_SECONDS = 20
POISON_BYTES = 10_000_000

pytestmark = [pytest.mark.kafka, pytest.mark.clickhouse_server, pytest.mark.crash, pytest.mark.slow]


@pytest.fixture
def store(own_clickhouse: ClickHouse) -> Iterator[ServerSink]:
    """The test's own server with our schema (Debian's old one through rewritten DDL)."""
    address = ServerAddress(
        own_clickhouse.host, own_clickhouse.port, user=own_clickhouse.user, password=own_clickhouse.password
    )
    sink = OldServerSink(address) if own_clickhouse.version.startswith("18.") else ServerSink(address)
    migrate(sink)
    yield sink
    sink.close()


def test_a_server_that_is_away_for_20_seconds(
    kafka: SharedKafka, own_clickhouse: ClickHouse, store: ServerSink, tmp_path: Path
) -> None:
    """The server is killed while rows come in, and again after it was back; poison comes in between."""
    cluster = Cluster(kafka.bootstrap, kafka.fresh_prefix(), tmp_path, BOOK)
    server = {
        "store": "server",
        "clickhouse_host": own_clickhouse.host,
        "clickhouse_port": own_clickhouse.port,
        "clickhouse_user": own_clickhouse.user,
        "clickhouse_database": store.address.database,
    } | ({"clickhouse_password": own_clickhouse.password} if own_clickhouse.password else {})
    messages = BusyTraffic(SEED, cluster.partitions, cluster.codec, accounts=40).messages(1_500)
    poison = random.Random(SEED).randbytes(POISON_BYTES)
    messages[700:700] = [(partition, 0, poison) for partition in range(cluster.partitions)]
    messages[800:800] = [(1, 0, b"\xc3\x01" + poison[:1_000_000]), (2, 0, b"\x00" + poison[:1_000_000])]
    try:
        cluster.start_with("worker")
        # Debian's server is older than any that a pipeline may use: the loader is told to take it here, and only here.
        takes_it = f"import sinks.server; sinks.server.ServerSink.least_version = {store.least_version}"
        cluster.start_with("loader", within=takes_it, **server)
        cluster.wait_ready("worker")
        cluster.wait_ready("loader")
        feeding = cluster.feed(messages, seconds=AWAY_SECONDS + 12)
        time.sleep(5)
        own_clickhouse.kill()
        time.sleep(AWAY_SECONDS)
        own_clickhouse.restart()
        time.sleep(3)
        own_clickhouse.kill()
        own_clickhouse.restart()
        feeding.finish()
        cluster.wait_until_rated()
        cluster.wait_until_loaded()
        cluster.stop("worker")
        cluster.stop("loader")
        assert "the store does not take " in cluster.log_of("loader", 1_000_000)
        rated = cluster.check_topics()
        cluster.audit_all("--no-clickhouse")  # Debian's old server lacks functions that the audit of rows asks with
    finally:
        cluster.close()
    check_store(store, rated)
    letters = Counter(str(letter["reason"]) for outputs in rated for letter in outputs["dead_letter"])
    lines = [line for outputs in rated for line in outputs["billed"]]
    print(f"{len(lines):,} lines, {sum(line['credits'] for line in lines):,} credits, dead letters {dict(letters)}")
    rows = store.query(f"SELECT count(), max(length(original)) FROM dead_letters WHERE size = {POISON_BYTES}").rows
    assert rows == [(cluster.partitions, 64 * 1024)]

"""Parts of a real pipeline restored apart: Kafka behind the state, ClickHouse emptied, restored or ahead of Kafka.

Each ends in an error that says what to do, or mends itself; nothing that was acknowledged goes unbilled or unloaded in
silence, and `status` says so.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cli.main import main
from local.broker import LocalBroker
from local.shared import SharedKafka
from sinks.embedded import EmbeddedSink
from streams.log.output_log import KafkaOutputLog
from tests.stories.cluster import Cluster, Sent, check_store
from tests.streams.traffic import BOOK, Traffic, event

pytestmark = [pytest.mark.kafka, pytest.mark.crash, pytest.mark.slow]

SEED = 20261127


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[LocalBroker]:
    """A broker whose data the test may copy."""
    made = LocalBroker(tmp_path / "broker").start()
    yield made
    made.stop()


def status_of(config: Path) -> tuple[int, dict[str, Any]]:
    result = CliRunner().invoke(main, ["status", "--no-book", "--json", "--config", str(config)])
    assert result.stdout, result.output
    status: dict[str, Any] = json.loads(result.stdout)
    return result.exit_code, status


def run_through(cluster: Cluster, messages: list[Sent], *, loaded: bool = True) -> None:
    """Worker and loader take the messages through, and end."""
    cluster.start_with("worker")
    if loaded:
        cluster.start_with("loader")
    cluster.send(messages)
    cluster.wait_until_rated()
    if loaded:
        cluster.wait_until_loaded()
        cluster.stop("loader")
    cluster.stop("worker")


def events(cluster: Cluster, name: str, count: int) -> list[Sent]:
    """One message an event, in partition 0."""
    encode = cluster.codec.encode
    batches = [{"events": [event(f"{name}-{number}", "account-0")]} for number in range(count)]
    return [(0, 0, encode("RequestBatch", batch)) for batch in batches]


def test_kafka_restored_behind_state_and_clickhouse(broker: LocalBroker, tmp_path: Path) -> None:
    """Seen as it was restored, and when others have sent in between as many messages as were lost and more."""
    cluster = Cluster(broker.bootstrap, "restored", tmp_path, BOOK, partitions=1)
    config = tmp_path / "one" / "worker.toml"
    try:
        run_through(cluster, Traffic(SEED, 1, cluster.codec).messages(30))
        broker.stop()
        shutil.copytree(tmp_path / "broker" / "data", tmp_path / "copy")
        broker.restart()
        run_through(cluster, events(cluster, "lost", 40))
        broker.stop()
        shutil.rmtree(tmp_path / "broker" / "data")
        shutil.copytree(tmp_path / "copy", tmp_path / "broker" / "data")
        broker.restart()
        cluster.sender.close()  # the broker does not know what this producer sent last
        cluster.sender = KafkaOutputLog(broker.bootstrap, cluster.codec.read_position)
        check_refused(cluster, config)
        cluster.send(events(cluster, "other", 80))
        check_refused(cluster, config)

        # As docs/operations.md says where no newer copy of Kafka's data is left: what was made of the lost part goes.
        shutil.rmtree(tmp_path / "one" / "data" / "state")
        shutil.rmtree(tmp_path / "one" / "data" / "clickhouse")
        run_through(cluster, events(cluster, "later", 40))
        cluster.audit()
        sink = EmbeddedSink(tmp_path / "one" / "data" / "clickhouse")
        try:
            check_store(sink, cluster.check_topics())
            rows = sink.query("SELECT count() FROM billed_events WHERE event_id LIKE 'lost-%'").rows
        finally:
            sink.close()
        assert rows == [(0,)]
    finally:
        cluster.close()


def check_refused(cluster: Cluster, config: Path) -> None:
    """Worker and loader end and say what to do, and `status` has it among the problems."""
    code, status = status_of(config)
    assert code == 1
    assert any(
        "restored.requests[0]" in problem and "restored to an earlier copy" in problem for problem in status["problems"]
    )
    for name in ("worker", "loader"):
        (cluster.folder / f"{name}.log").unlink()
        cluster.start_with(name)
    code, log = cluster.wait_ended("worker")
    assert code == 1, log
    assert "restored.requests[0]" in log
    assert "docs/operations.md, A log that was restored" in log
    assert log.splitlines()[-1].startswith("Error: restored.requests[0]"), "what to do is the last that it says"
    code, log = cluster.wait_ended("loader")
    assert code == 1, log
    assert "ClickHouse has loaded offsets up to" in log
    assert "docs/operations.md, A log that was restored" in log


def test_clickhouse_emptied_and_restored_loads_itself_again(kafka: SharedKafka, tmp_path: Path) -> None:
    cluster = Cluster(kafka.bootstrap, kafka.fresh_prefix(), tmp_path, BOOK, partitions=2)
    data = tmp_path / "one" / "data" / "clickhouse"
    messages = Traffic(SEED + 1, 2, cluster.codec).messages(90)
    try:
        run_through(cluster, messages[:40])
        shutil.copytree(data, tmp_path / "backup", symlinks=True)  # ClickHouse links its databases
        run_through(cluster, messages[40:])
        for restore in (False, True):
            shutil.rmtree(data)
            if restore:
                shutil.copytree(tmp_path / "backup", data, symlinks=True)
            cluster.start_with("loader")
            wait_until_up_to_date(cluster, tmp_path / "one" / "loader.toml")
            _, status = status_of(tmp_path / "one" / "loader.toml")
            assert status["loading"]["behind"] == 0
            cluster.stop("loader")
            sink = EmbeddedSink(data)
            try:
                check_store(sink, cluster.check_topics())
            finally:
                sink.close()
            cluster.audit()
    finally:
        cluster.close()


def wait_until_up_to_date(cluster: Cluster, config: Path) -> None:
    """Returns when the positions that the store tells are the last of every topic.

    `status` costs as much as the loader's work: where it is asked again and again, both take twice as long.
    """
    asked = 0.0

    def is_up_to_date() -> bool:
        nonlocal asked
        if time.monotonic() < asked + 1:
            return False
        _, status = status_of(config)
        asked = time.monotonic()
        return status["loaded"] is not None and status["loading"]["behind"] == 0

    cluster.wait_for(is_up_to_date, "the store has everything")

"""`creditmeter audit` on a real pipeline: a broker, a worker, a loader with chDB; clean, then altered by hand."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from confluent_kafka import Producer

from cli.config_sources import load
from cli.kafka import opened
from local.shared import SharedKafka
from metering.store import ACCOUNT, account_prefix
from sinks.embedded import EmbeddedSink
from streams.partitioner import partition_of
from streams.rocks_folder import RocksFolder
from streams.state import Identity
from streams.topics import TopicNames

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

Run = Callable[..., Result]
PIXEL = Path(__file__).parents[2] / "examples" / "prices" / "pixel.yaml"
EVENT = {"endpoint": "/pixel/hit", "channel": "js", "ip": "192.0.2.1", "occurred_at": 1_767_312_000_000}
EVENTS = 600


@pytest.fixture
def pipeline(kafka: SharedKafka, run: Run, tmp_path: Path) -> Iterator[Run]:
    """The command in a folder of its own, with worker and loader running, and events sent."""
    (tmp_path / "creditmeter.toml").write_text(
        f'bootstrap_servers = "{kafka.bootstrap}"\ntopic_prefix = "{kafka.fresh_prefix()}"\npartitions = 2\n'
    )
    started = run("up", "--detach")
    assert started.exit_code == 0, started.stderr
    assert run("prices", "publish", PIXEL).exit_code == 0
    send(run, 0)
    yield run
    run("down")


def send(run: Run, first: int) -> None:
    lines = [
        json.dumps(EVENT | {"event_id": f"e{n}", "account_id": f"a{n % 5}", "user_id": f"u{n % 40}"})
        for n in range(first, first + EVENTS)
    ]
    assert run("emit", stdin="\n".join(lines)).exit_code == 0


def audit(run: Run, *options: str | Path) -> tuple[int, list[dict[str, Any]], dict[str, Any], str]:
    """Exit code, differences, result, what was said."""
    result = run("audit", "--json", *options)
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert lines, result.stderr
    return result.exit_code, lines[:-1], lines[-1], result.stderr


def test_a_pipeline_is_clean_until_somebody_alters_it(pipeline: Run, tmp_path: Path) -> None:
    code, differences, result, said = audit(pipeline, "--state", "--checkpoint", "first")
    assert (code, differences, result["not_covered"]) == (0, [], []), said
    assert (result["events"], result["rows"]) == (EVENTS + 2, result["lines"])  # and a price book in each partition
    assert result["charged"]["credit"] > EVENTS
    assert result["checkpoint_kept"]
    send(pipeline, EVENTS)
    code, differences, more, said = audit(pipeline, "--from", "first")
    assert (code, differences, more["not_covered"]) == (0, [], []), said
    assert (more["events"], more["before"]["lines"]) == (EVENTS, result["lines"])
    shown = pipeline("audit", "--no-clickhouse")
    assert shown.exit_code == 0
    assert "0 differences: clean" in shown.stdout
    assert pipeline("down").exit_code == 0
    alter_row(tmp_path)
    place = append_record()
    alter_state()
    code, differences, result, said = audit(pipeline, "--no-wait", "--state")
    assert code == 1
    found = {each["place"].split()[0]: each for each in differences}
    assert set(found) == {"billed_rows", place, "state"}, differences
    assert "requests" in found["state"]["place"]
    assert "account a1" in found["state"]["place"]
    assert found["billed_rows"]["found"] == "different", differences
    assert found[place]["found"] == "different", differences
    assert "credits is 4242, should be" in found["billed_rows"]["detail"]
    assert result["differences"] == 3
    assert not list((tmp_path / ".creditmeter" / "audit").iterdir()), "its scratch folder is removed"


def alter_row(folder: Path) -> None:
    sink = EmbeddedSink(folder / ".creditmeter" / "clickhouse", load().settings.clickhouse_database)
    try:
        where = "account_id = 'a1' AND event_id = 'e1' AND line = 0"
        sink.execute(f"ALTER TABLE billed_rows UPDATE credits = 4242 WHERE {where} SETTINGS mutations_sync = 1")
    finally:
        sink.close()


def alter_state() -> None:
    """Gives an account a debt that it does not have."""
    settings = load().settings
    names = TopicNames(settings.topic_prefix)
    state = RocksFolder(settings.state_path).open(Identity(names.requests, partition_of("a1", 2)))
    key = ACCOUNT + account_prefix("a1")
    row = state.get(key)
    assert row is not None
    row[-1]["credit"][0] += 1
    state.write({key: row})
    state.close()


def append_record() -> str:
    """Writes a batch that readers skip, with other credits in it; gives its place."""
    with opened(load().settings) as cluster:
        log = cluster.log(cluster.names.billed)
        partition = next(p for p in range(2) if log.bounds(p)[1])
        first = next(iter(log.read(partition, *log.bounds(partition))))
        name, batch = cluster.codec.decode(first.value)
        batch["events"][0]["credits"] += 1
        producer = Producer({"bootstrap.servers": cluster.bootstrap})
        producer.produce(cluster.names.billed, cluster.codec.encode(name, batch), partition=partition)
        assert producer.flush(10) == 0
        time.sleep(0.1)
        return f"{cluster.names.billed}[{partition}]@{log.bounds(partition)[1] - 1}"


def test_what_worker_and_loader_have_not_reached_is_said(pipeline: Run) -> None:
    assert audit(pipeline)[0] == 0
    assert pipeline("down").exit_code == 0
    send(pipeline, EVENTS)
    code, differences, result, said = audit(pipeline, "--no-wait")
    assert (code, differences, result["events"]) == (0, [], EVENTS + 2), said
    assert all("the worker has not acknowledged it" in gap for gap in result["not_covered"])
    assert result["not_covered"]
    assert audit(pipeline, "--wait", "0.5")[0] == 1, "waiting in vain is a failure"
    damaged = pipeline("audit", "--from", "nowhere")
    assert damaged.exit_code == 1
    assert "no checkpoint of an audit" in damaged.stderr

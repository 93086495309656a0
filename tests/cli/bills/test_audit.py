"""`creditmeter audit` on a real pipeline: a broker, a worker, a loader with chDB; clean, then altered by hand."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from confluent_kafka import Producer

from application.configuration.sources import load
from application.pipeline import opened
from local.shared import SharedKafka
from metering.store import ACCOUNT, account_prefix
from sinks.embedded import EmbeddedSink
from sinks.inserts import CURRENT
from sinks.rows import SHAPES
from sinks.views import defined_views
from streams.log.partitioner import partition_of
from streams.log.seals import Sealer
from streams.log.topics import TopicNames
from streams.state.rocks_folder import RocksFolder
from streams.state.store import Identity
from tests.command import WorkerAndLoader, own_ports, worker_and_loader

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

Run = Callable[..., Result]
PIXEL = Path(__file__).parents[3] / "examples" / "prices" / "pixel.yaml"
NOON = 1_767_312_000_000
EVENT = {"endpoint": "/pixel/hit", "channel": "js", "ip": "192.0.2.1", "occurred_at": NOON}
EVENTS = 600
OTHERS = [
    {"type": "account", "update_id": "u", "account_id": "a2", "alert_below": {"credit": 50}, "at": NOON},
    {
        "type": "grant",
        "grant_id": "g",
        "account_id": "a2",
        "credit_type": "credit",
        "credits": 90,
        "granted_at": NOON,
        "reason": "bought",
    },
    EVENT | {"event_id": "first", "account_id": "a2", "user_id": "someone"},
    EVENT | {"event_id": "second", "account_id": "a2", "user_id": "somebody"},
    EVENT | {"event_id": "early", "account_id": "a2", "occurred_at": 4_102_444_800_000},
    {"type": "refund", "refund_id": "r", "account_id": "a2", "event_id": "first", "requested_at": NOON, "reason": "no"},
    {
        "type": "hold",
        "hold_id": "h",
        "account_id": "a2",
        "credits": {"credit": 10},
        "held_at": NOON,
        "expires_at": NOON + 3_600_000,
    },
]
"""What makes account settings, a grant, an alert, a dead letter, a refund and a hold."""
COMMANDS = EVENTS + len(OTHERS) + 2  # a price book in each partition
ALTERED = {
    "billed_rows": "credits", "refund_rows": "credits", "grant_rows": "credits", "alert_rows": "balance",
    "dead_letter_rows": "size", "hold_rows": "at", "account_rows": "at",
}  # fmt: skip


@pytest.fixture
def running(kafka: SharedKafka, run: Run, tmp_path: Path) -> Iterator[WorkerAndLoader]:
    """A worker and a loader in a folder of their own, and events sent."""
    (tmp_path / "creditmeter.toml").write_text(
        f'bootstrap_servers = "{kafka.bootstrap}"\ntopic_prefix = "{kafka.fresh_prefix()}"\npartitions = 2\n'
        + own_ports()
    )
    with worker_and_loader() as made:
        assert run("prices", "publish", PIXEL).exit_code == 0
        assert run("emit", stdin="\n".join(map(json.dumps, OTHERS))).exit_code == 0
        send(run, 0)
        yield made


@pytest.fixture
def pipeline(running: WorkerAndLoader, run: Run) -> Run:
    """The command in their folder."""
    return run


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


def test_a_pipeline_is_clean_until_somebody_alters_it(pipeline: Run, running: WorkerAndLoader, tmp_path: Path) -> None:
    code, differences, result, said = audit(pipeline, "--state", "--checkpoint", "first")
    assert (code, differences, result["not_covered"]) == (0, [], []), said
    assert result["events"] == COMMANDS
    assert result["rows"] > result["lines"] > EVENTS
    assert result["charged"]["credit"] > EVENTS
    assert (result["refunded"], result["granted"]) == ({"credit": 21}, {"credit": 90})
    assert result["dead_letters"] == {"in_future": 1}
    assert result["checkpoint_kept"]
    send(pipeline, EVENTS)
    code, differences, more, said = audit(pipeline, "--from", "first")
    assert (code, differences, more["not_covered"]) == (0, [], []), said
    assert (more["events"], more["before"]["lines"]) == (EVENTS, result["lines"])
    shown = pipeline("audit", "--no-clickhouse")
    assert shown.exit_code == 0
    assert "0 differences: clean" in shown.stdout
    running.stop()
    check_what_is_not_reached(pipeline)
    hidden = alter_rows(tmp_path)
    places = append_records()
    alter_state()
    code, differences, result, said = audit(pipeline, "--no-wait", "--state")
    assert code == 1
    assert result["differences"] == len(differences)
    # What is altered in a table is no longer what its newest row repeats.
    repeated = [difference for difference in differences if difference["place"].startswith(CURRENT)]
    assert repeated
    in_view = [difference for difference in differences if difference["place"].startswith(("view ", "billed_events"))]
    assert [(difference["found"], difference["place"].split()[0]) for difference in in_view] == [
        ("different", "view"), *[("missing", "billed_events")] * hidden,
    ]  # fmt: skip
    assert all("event_id=e7" in difference["place"] for difference in in_view[1:])
    differences = [difference for difference in differences if difference not in in_view]
    assert len(differences) == 2 * len(ALTERED) + 1 + len(repeated)
    by_table = {difference["place"].split()[0]: difference for difference in differences}
    assert set(by_table) == {*ALTERED, *places, CURRENT, "state"}, differences
    assert {difference["found"] for difference in differences} == {"different"}
    assert "requests" in by_table["state"]["place"]
    assert "account a1" in by_table["state"]["place"]
    for table, column in ALTERED.items():
        assert f"{column} is " in by_table[table]["detail"], by_table[table]
    assert not list((tmp_path / ".creditmeter" / "scratch").iterdir()), "its scratch folder is removed"


def check_what_is_not_reached(pipeline: Run) -> None:
    """Neither worker nor loader runs: what is sent then is said to be left out, and is no difference."""
    send(pipeline, 2 * EVENTS)
    code, differences, result, said = audit(pipeline, "--no-wait")
    assert (code, differences, result["events"]) == (0, [], COMMANDS + EVENTS), said
    assert all("the worker has not acknowledged it" in gap for gap in result["not_covered"])
    assert result["not_covered"]
    assert audit(pipeline, "--wait", "0.5")[0] == 1, "waiting in vain is a failure"
    damaged = pipeline("audit", "--from", "nowhere")
    assert damaged.exit_code == 1
    assert "no checkpoint of an audit" in damaged.stderr


def alter_rows(folder: Path) -> int:
    """Adds to a figure of one row in each table, and hides the lines of an event from who reads the view; how many."""
    sink = EmbeddedSink(folder / ".creditmeter" / "clickhouse", load().settings.clickhouse_database)
    names = ("source_partition", "source_offset", "position")
    try:
        for table, column in ALTERED.items():
            row = sink.query(f"SELECT {', '.join(names)} FROM {table} LIMIT 1").rows[0]
            where = " AND ".join(f"{name} = {value}" for name, value in zip(names, row, strict=True))
            sink.execute(
                f"ALTER TABLE {table} UPDATE {column} = {column} + 4242 WHERE {where} SETTINGS mutations_sync = 1"
            )
        lines: int = sink.query("SELECT count() FROM billed_events WHERE event_id = 'e7'").rows[0][0]
        view = f"SELECT * FROM ({defined_views()['billed_events']}) WHERE event_id != 'e7'"
        sink.execute(f"CREATE OR REPLACE VIEW billed_events AS {view}")
        return lines
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
    row[7]["credit"][0] += 1  # the balances
    state.write({key: row})
    state.close()


def append_records() -> set[str]:
    """Writes a batch that readers skip into each output topic, with another figure in it; gives their places."""
    places = set()
    with opened(load().settings) as cluster:
        producer = Producer({"bootstrap.servers": cluster.address})
        for topic in cluster.names.outputs:
            log = cluster.log(topic)
            partition = next(p for p in range(2) if log.bounds(p)[1])
            first, end = log.bounds(partition)
            name, batch = cluster.codec.decode(next(iter(log.read(partition, first, end))).value)
            shape = SHAPES[name]
            batch[shape.items][0][ALTERED[shape.table]] += 1
            value = cluster.codec.encode(name, batch)
            seal = Sealer(cluster.log_id.encode()).seal(topic, partition, value)
            producer.produce(topic, value, partition=partition, headers={"seal": seal})
            places.add(f"{topic}[{partition}]@{end}")
        assert producer.flush(10) == 0
    return places

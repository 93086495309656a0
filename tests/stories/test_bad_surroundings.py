"""Commands where Kafka is away or the disk is not what it should be: a clear end, and the bill is right afterwards."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.ports import free_ports
from local.shared import SharedKafka
from tests.harness import PATIENCE
from tests.stories.cluster import Cluster
from tests.streams.traffic import BOOK, START, Traffic

pytestmark = [pytest.mark.kafka, pytest.mark.slow]


@pytest.fixture
def pipeline(kafka: SharedKafka, tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(kafka.bootstrap, kafka.fresh_prefix(), tmp_path, BOOK)
    yield made
    made.close()


def ended(pipeline: Cluster, name: str, seconds: float = PATIENCE) -> str:
    """The last line of a process that has to end by itself, with exit code 1: what a person reads."""
    process = pipeline.processes[name]
    code = process.wait(seconds)
    del pipeline.processes[name]
    said = pipeline.log_of(name)
    (pipeline.folder / f"{name}.log").unlink()
    assert code == 1, said
    assert said.splitlines()[-1].startswith("Error: "), said
    return said.splitlines()[-1]


def test_commands_without_a_broker(tmp_path: Path) -> None:
    """Each ends in bounded time with exit code 1 and says where it looked; all of them at once."""
    address = f"127.0.0.1:{free_ports(1)[0]}"
    config, events, book = tmp_path / "creditmeter.toml", tmp_path / "events.ndjson", tmp_path / "book.yaml"
    config.write_text(
        f'bootstrap_servers = "{address}"\ndata_dir = "{tmp_path}/data"\nquery_port = {free_ports(1)[0]}\n'
    )
    book.write_text(BOOK)
    event = {"event_id": "e", "account_id": "a", "occurred_at": START, "endpoint": "/", "channel": "js"}
    events.write_text(json.dumps(event | {"outcome": "processed"}) + "\n")
    began = time.monotonic()
    commands = [["emit", str(events)], ["prices", "publish", str(book)], ["dead-letters", "list"], ["worker"], ["load"]]
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "cli.main", *command, "--config", str(config)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for command in commands
    ]
    for command, process in zip(commands, processes, strict=True):
        _, said = process.communicate(timeout=PATIENCE)
        print(f"{command[0]}: {time.monotonic() - began:.1f} s: {said.strip()}")
        assert process.returncode == 1, said
        assert address in said
        assert "Traceback" not in said
        if command in (["worker"], ["load"]):
            assert f"no Kafka broker answered at {address} within 15 s" in said


def test_a_file_where_a_directory_should_be(pipeline: Cluster) -> None:
    """Told with its name; with the file away the same command works."""
    data = pipeline.folder / "one" / "data"
    data.parent.mkdir(parents=True)
    for files in ({"worker": data}, {"worker": data / "state", "loader": data / "clickhouse"}):
        for name, path in files.items():
            path.parent.mkdir(exist_ok=True)
            path.write_text("not a directory")
            pipeline.start(name)
        for name, path in files.items():
            assert str(path) in ended(pipeline, name)
            path.unlink()
    for name in ("worker", "loader"):
        pipeline.start(name)
    for name in ("worker", "loader"):
        pipeline.stop(name)


def test_files_that_may_not_grow(pipeline: Cluster) -> None:
    """A worker whose files may not pass 8 KiB, as on a full disk; then without the limit: the bill is right."""
    pipeline.send(Traffic(8, pipeline.partitions, pipeline.codec, accounts=40).messages(600))
    pipeline.start("worker", file_kib=8)
    assert "make room on the disk and start again; nothing is lost" in ended(pipeline, "worker")
    pipeline.start("worker")
    pipeline.start("loader")
    pipeline.wait_until_rated()
    pipeline.wait_until_loaded()
    pipeline.stop("worker")
    pipeline.stop("loader")
    pipeline.check_topics()
    pipeline.audit_all()

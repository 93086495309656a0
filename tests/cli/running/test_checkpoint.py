"""`creditmeter checkpoint` beside a running worker: what it keeps, lists, and finds damaged."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from streams.checkpoints.checkpoints import Checkpoints
from streams.log.input_log import KafkaInputLog
from streams.log.topics import check_topics
from streams.state.read_only import StateView
from streams.state.rocks_folder import RocksFolder
from streams.state.store import Identity
from tests.harness import Pipeline

pytestmark = pytest.mark.kafka

Run = Callable[..., Result]
EVENT = {"occurred_at": 1_767_312_000_000, "endpoint": "/v1/ip-lookup", "channel": "api"}


def emit(here: Run, rated: Pipeline, name: str) -> None:
    lines = [
        json.dumps(EVENT | {"event_id": f"{name}-{n}", "account_id": f"kept-{n % 7}", "ip": f"10.1.{n % 20}.1"})
        for n in range(300)
    ]
    assert here("emit", stdin="\n".join(lines)).exit_code == 0
    rated.wait_until_rated()


def test_what_is_kept_while_the_worker_runs_is_its_state(here: Run, rated: Pipeline, tmp_path: Path) -> None:
    emit(here, rated, "first")
    kept = str(tmp_path / "kept")
    first = here("checkpoint", "--to", kept, "--json")
    assert first.exit_code == 0, first.stderr
    emit(here, rated, "second")
    result = here("checkpoint", "--to", kept)
    assert result.exit_code == 0, result.stderr
    made = json.loads(first.stdout)
    assert [checkpoint["partition"] for checkpoint in made] == [0, 1]
    topic = rated.names.requests
    log_id = check_topics(rated.bootstrap, rated.names)[topic]
    checkpoints = Checkpoints(kept, topic, log_id)
    log = KafkaInputLog(rated.bootstrap, topic)
    for partition in range(2):
        identity = Identity(topic, partition, log_id)
        newest = checkpoints.newest(partition)
        assert newest is not None
        assert newest.applied == log.bounds(partition)[1] - 1 > made[partition]["applied"]
        (last,) = log.read(partition, newest.applied, newest.applied + 1)
        assert newest.recorded_at == last.timestamp
        fetched = RocksFolder(tmp_path / "fetched")
        checkpoints.fetch(newest, fetched.path(identity))
        copy, own = fetched.open(identity), StateView(rated.folder / "one" / "data" / "state" / topic / str(partition))
        assert dict(copy.scan(b"")) == {key: value for key, value in own.scan(b"") if key[:1] != b"\x00"}
        assert copy.applied == own.applied
        copy.close()
        own.close()
    log.close()

    listed = json.loads(here("checkpoint", "list", "--from", kept, "--json").stdout)
    checkpoints_listed = listed["checkpoints"]
    assert [(own["partition"], own["condition"], own["messages_behind"] == 0) for own in checkpoints_listed] == [
        (0, "whole", True), (0, "whole", False), (1, "whole", True), (1, "whole", False),
    ]  # fmt: skip
    assert [checkpoint["age_ms"] == 0 for checkpoint in checkpoints_listed] == [True, False, True, False]
    assert listed["log_needed_from"] == {str(checkpoint["partition"]): checkpoint["applied"] + 1 for checkpoint in made}
    shown = here("checkpoint", "list", "--from", kept, "--partition", "1")
    assert shown.exit_code == 0
    assert made[1]["place"] in shown.stdout
    assert made[0]["place"] not in shown.stdout
    assert "needed from" in shown.stdout


def test_verify_reads_every_byte(here: Run, rated: Pipeline, tmp_path: Path) -> None:
    emit(here, rated, "third")
    kept = tmp_path / "kept"
    assert here("checkpoint", "--to", kept, "--partition", "1").exit_code == 0
    good = here("checkpoint", "verify", "--from", kept)
    assert good.exit_code == 0, good.stderr
    assert "everything" in good.stdout, "partition 0 has none: all of its log is needed"
    table = next(kept.rglob("*.sst"))
    table.write_bytes(table.read_bytes()[:-1] + bytes([table.read_bytes()[-1] ^ 1]))
    assert "damaged" not in here("checkpoint", "list", "--from", kept).stdout, "its size is right"
    bad = here("checkpoint", "verify", "--from", kept)
    assert bad.exit_code == 1
    assert f"{table.name}: damaged" in bad.stdout
    next(kept.rglob("manifest.sha256")).unlink()
    unsealed = here("checkpoint", "verify", "--from", kept)
    assert (unsealed.exit_code, "incomplete" in unsealed.stdout) == (0, True)


def test_pruned_at_the_configured_place_only(
    here: Run, rated: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CREDITMETER_CHECKPOINT_URL", str(tmp_path / "configured"))
    monkeypatch.setenv("CREDITMETER_CHECKPOINTS_KEPT", "1")
    for number in range(2):
        emit(here, rated, f"fourth-{number}")
        for options in ((), ("--to", tmp_path / "archive")):
            assert here("checkpoint", *options).exit_code == 0
    sealed = {place: len(list((tmp_path / place).rglob("manifest.sha256"))) for place in ("configured", "archive")}
    assert sealed == {"configured": 2, "archive": 4}
    assert not list((rated.folder / "one" / "data").glob("checkpoint-*")), "the local copy is removed"


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        ((), 2, "set checkpoint_url"),
        (("--to", "s3://bucket/path"), 2, "pip install s3fs"),
        (("--to", "s4://bucket/path"), 2, "no store that fsspec knows"),
        (("--to", "kept", "--partition", "2"), 2, "has partitions 0 to 1"),
        (("--to", "kept", "list"), 2, "Give the options after 'list'"),
        (("list",), 2, "set checkpoint_url"),
        (("list", "--from", "sftp://me:secret@host/x"), 2, "holds a password"),
    ],
)
def test_wrong_usage(here: Run, options: tuple[str, ...], code: int, said: str) -> None:
    result = here("checkpoint", *options)
    assert result.exit_code == code
    assert said in result.stderr
    assert "secret" not in result.stderr


def test_a_machine_without_the_state(here: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDITMETER_STATE_DIR", str(tmp_path / "elsewhere"))
    none = here("checkpoint", "--to", tmp_path / "kept")
    assert none.exit_code == 1
    assert "no partition's state is on this machine" in none.stderr
    one = here("checkpoint", "--to", tmp_path / "kept", "--partition", "1")
    assert one.exit_code == 1
    assert "its state is not on this machine" in one.stderr
    listed = here("checkpoint", "list", "--from", tmp_path / "kept")
    assert listed.exit_code == 0

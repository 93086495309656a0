"""`creditmeter migrate`, on the embedded store."""

import json
from collections.abc import Callable

import pytest
from click.testing import Result

from sinks.migrate import migrations

pytestmark = pytest.mark.slow

Run = Callable[..., Result]


def test_a_dry_run_tells_and_does_nothing(run: Run) -> None:
    names = [f"{step.number:04}_{step.name}" for step in migrations()]
    for _ in range(2):
        result = run("migrate", "--dry-run")
        assert (result.exit_code, result.stdout.split()) == (0, names)
    assert run("migrate").stdout.split() == names
    assert json.loads(run("migrate", "--dry-run", "--json").stdout) == {"dry_run": True, "migrations": []}


def test_a_server_that_does_not_answer(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDITMETER_STORE", "server")
    monkeypatch.setenv("CREDITMETER_CLICKHOUSE_HOST", "127.0.0.1")
    monkeypatch.setenv("CREDITMETER_CLICKHOUSE_PORT", "1")
    result = run("migrate")
    assert result.exit_code == 1
    assert "127.0.0.1:1" in result.stderr

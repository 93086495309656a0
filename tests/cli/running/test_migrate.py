"""`creditmeter migrate`, on the embedded store; and on a server that does not fit, or does not answer."""

import json
from collections.abc import Callable

import clickhouse_driver
import pytest
from click.testing import Result

from local.shared import SharedClickHouse
from sinks.migrate import migrations
from sinks.server import ServerSink

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


@pytest.mark.clickhouse_server
def test_a_server_that_is_too_old_is_named_with_what_is_needed(
    run: Run, clickhouse_server: SharedClickHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before any statement that it would refuse for a reason which nobody understands."""
    monkeypatch.setattr(ServerSink, "least_version", (99, 1))
    address = {
        "STORE": "server", "CLICKHOUSE_HOST": clickhouse_server.host, "CLICKHOUSE_PORT": str(clickhouse_server.port),
        "CLICKHOUSE_USER": clickhouse_server.user, "CLICKHOUSE_PASSWORD": clickhouse_server.password,
        "CLICKHOUSE_DATABASE": clickhouse_server.fresh_database(),
    }  # fmt: skip
    for name, value in address.items():
        monkeypatch.setenv(f"CREDITMETER_{name}", value)
    for arguments in (("migrate", "--dry-run"), ("migrate",), ("query", "SELECT 1")):
        refused = run(*arguments)
        assert (refused.exit_code, refused.stdout) == (1, "")
        version = clickhouse_server.version
        assert f"has version {version}: 99.1 or newer is needed. Nothing was changed there." in refused.stderr
    client = clickhouse_driver.Client(
        clickhouse_server.host, clickhouse_server.port, user=clickhouse_server.user, password=clickhouse_server.password
    )
    assert (address["CLICKHOUSE_DATABASE"],) not in client.execute("SHOW DATABASES")
    client.disconnect()

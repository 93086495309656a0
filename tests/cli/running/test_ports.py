"""A port that is taken: which, from which setting, and who has it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from application.clickhouse.opening import served
from application.configuration.settings import Settings
from application.configuration.sources import load
from application.errors import Failed
from application.pipeline import translated_causes
from cli.running.ports import taken_ports
from cli.running.stack import Stack
from local.port_holder import holder_of
from local.ports import free_ports, is_free
from server.running import listening_socket
from sinks.server import ServerAddress, ServerSink
from streams.metrics import Metrics, MetricsServer


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that this process listens on; the two before it and the two behind it are free.

    It is below the ports that the system gives away by itself: there, another test may hold the neighbours.
    """
    for _ in range(1000):
        (port,) = free_ports(1)
        if all(is_free(port + distance) for distance in (-2, -1, 1, 2)):
            break
    else:
        pytest.fail("no five free ports in a row")
    with socket.create_server(("127.0.0.1", port)):
        yield port


def test_the_holder_of_a_port_is_named(taken: int) -> None:
    assert holder_of(taken).startswith(f"process {os.getpid()} (")
    program = (
        "import socket; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True); s.accept()"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        port = int(other.stdout.readline())
        assert holder_of(port).startswith(f"process {other.pid} ({sys.executable} -c import socket")
        other.kill()
    assert holder_of(free_ports(1)[0]) == "another process"


def configured(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> list[str]:
    monkeypatch.chdir(folder)
    (folder / "creditmeter.toml").write_text(text)
    configuration = load()
    return taken_ports(configuration.settings, configuration.origins)


def test_ports_that_are_set_and_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taken: int) -> None:
    (mistake,) = configured(tmp_path, monkeypatch, f"\nquery_port = {taken}\n")
    assert mistake.startswith(f"query_port = {taken} (creditmeter.toml:2): process {os.getpid()} (")
    assert mistake.endswith("listens there; stop it, or set query_port to another")
    (mistake,) = configured(tmp_path, monkeypatch, f"serve_port = {taken}\n")
    assert mistake.startswith(f"serve_port = {taken} (creditmeter.toml:1): process {os.getpid()} (")
    (mistake,) = configured(tmp_path, monkeypatch, f"metrics_port = {taken - 1}\nprocesses = 1\n")
    assert mistake.startswith(f"metrics_port + 1 = {taken} (creditmeter.toml:1): process {os.getpid()} (")
    (mistake,) = configured(tmp_path, monkeypatch, f"metrics_port = {taken - 2}\nprocesses = 1\n")
    assert mistake.startswith(f"metrics_port + 2 = {taken} (creditmeter.toml:1): ")
    assert configured(tmp_path, monkeypatch, f"query_port = {free_ports(1)[0]}\n") == []
    monkeypatch.setenv("CREDITMETER_QUERY_PORT", str(taken))
    (mistake,) = configured(tmp_path, monkeypatch, "")
    assert f"(environment CREDITMETER_QUERY_PORT): process {os.getpid()}" in mistake


def test_up_fails_where_a_port_that_was_set_is_taken(tmp_path: Path, taken: int) -> None:
    (tmp_path / "creditmeter.toml").write_text(f"query_port = {taken}\n")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    for arguments in (["up"], ["up", "--detach"]):
        command = [sys.executable, "-m", "cli.main", *arguments]
        done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 1
        assert f"query_port = {taken} (creditmeter.toml:1): process {os.getpid()} (" in done.stderr
        assert not (tmp_path / ".creditmeter" / "kafka").exists()


def test_a_port_that_nobody_has_set_gives_way_and_the_other_one_is_noted(taken: int) -> None:
    settings = Settings(query_port=taken)

    def stack(*, is_set: bool) -> Stack:
        set_ports = ["query_port"] if is_set else []
        return Stack(settings, lambda: pytest.fail("no broker"), lambda _text: None, set_ports=set_ports)

    assert stack(is_set=False)._port("query_port") != taken
    assert stack(is_set=True)._port("query_port") == taken


def test_the_loader_says_who_has_its_port(tmp_path: Path, taken: int) -> None:
    sink = ServerSink(ServerAddress("nowhere"))
    with pytest.raises(Failed, match=rf"query_port {taken}: Address already in use: process {os.getpid()} \("):
        served(sink, Settings(data_dir=tmp_path, query_port=taken))


def test_a_server_and_metrics_say_who_has_their_port_and_what_else_is_wrong(taken: int) -> None:
    """Each of the processes that may be started without `up`."""
    holder = rf"Address already in use: process {os.getpid()} \(.*listens there; stop it, or set"
    with pytest.raises(Failed, match=rf"serve_port {taken} of 127\.0\.0\.1: {holder} serve_port to another"):
        listening_socket("127.0.0.1", taken)
    own = rf"metrics_port {taken} of 127\.0\.0\.1: {holder} metrics_port to another"
    with pytest.raises(Failed, match=own), translated_causes():
        MetricsServer(Metrics(), port=taken)
    elsewhere = r"metrics_port 9100 of 192\.0\.2\.1: Cannot assign requested address; set another host or port"
    with pytest.raises(Failed, match=elsewhere), translated_causes():
        MetricsServer(Metrics(), host="192.0.2.1", port=9100)

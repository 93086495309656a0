"""The way by Docker, as far as it can be seen without an engine: what testcontainers asks of the engine for us.

The engine here is a small HTTP server that remembers what it was asked. That the images then do what they should is for
a machine with Docker to show, where the whole suite runs on them.
"""

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from testcontainers.core.config import testcontainers_config

from local import containers
from local.process import ServerFailed


class Engine(ThreadingHTTPServer):
    """Answers as a Docker engine does, for one container."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[tuple[str, str, Any]] = []
        self.status = "running"

    def did(self) -> list[str]:
        """What was done to the container, in order."""
        return [
            "remove" if method == "DELETE" else path.rpartition("/")[2]
            for method, path, _ in self.asked
            if method in {"POST", "DELETE"}
        ]

    def created(self) -> Any:
        (body,) = [body for _, path, body in self.asked if path.endswith("/containers/create")]
        return body


class Handler(BaseHTTPRequestHandler):
    server: Engine

    def reply(self, body: object = None, status: int = 200) -> None:
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do(self) -> None:
        size = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(size)) if size else None
        path = re.sub(r"^/v[\d.]+", "", self.path.partition("?")[0])
        self.server.asked.append((self.command, path, body))
        if path == "/version":
            self.reply({"ApiVersion": "1.47"})
        elif path == "/containers/create":
            self.reply({"Id": "c0ffee", "Warnings": []}, 201)
        elif path.endswith("/json"):
            self.reply({"Id": "c0ffee", "State": {"Status": self.server.status}, "Config": {"Tty": True}, "Image": "i"})
        elif path.endswith("/logs"):
            self.reply(b"first line\nlast line\n")
        else:
            self.reply(None, 204)

    do_GET = do_POST = do_DELETE = do  # noqa: N815 - the names that http.server calls

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    with Engine() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{server.server_port}")
        monkeypatch.setattr(testcontainers_config, "ryuk_disabled", True)
        yield server
        server.shutdown()
        thread.join()


def test_a_broker_tells_its_clients_the_port_that_leads_to_it(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "kafka_answers", lambda host, port: True)
    broker = containers.DockerBroker().start()
    host, _, port = broker.bootstrap.rpartition(":")
    asked = engine.created()
    assert host == "127.0.0.1"
    assert asked["Image"] == containers.KAFKA_IMAGE
    assert asked["HostConfig"]["PortBindings"]["9092/tcp"][0]["HostPort"] == port
    assert f"KAFKA_ADVERTISED_LISTENERS=PLAINTEXT://{broker.bootstrap}" in asked["Env"]

    broker.kill()
    broker.restart()
    assert broker.bootstrap == f"{host}:{port}"
    broker.stop()
    assert engine.did() == ["create", "start", "kill", "restart", "remove"]


def test_a_server_lets_our_user_in(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        containers, "clickhouse_version", lambda host, port, user, password: f"25.8 for {user}:{password}"
    )
    server = containers.DockerClickHouse().start()
    asked = engine.created()
    assert asked["Image"] == containers.CLICKHOUSE_IMAGE
    bindings = asked["HostConfig"]["PortBindings"]
    assert bindings["9000/tcp"][0]["HostPort"] == str(server.port)
    assert bindings["8123/tcp"][0]["HostPort"] == str(server.http_port)
    assert {f"CLICKHOUSE_USER={server.user}", f"CLICKHOUSE_PASSWORD={server.password}"} <= set(asked["Env"])
    assert server.version == f"25.8 for {server.user}:{server.password}"
    server.stop()


def test_a_container_that_ends_is_removed_and_its_log_quoted(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "kafka_answers", lambda host, port: False)
    engine.status = "exited"
    with pytest.raises(ServerFailed, match="is exited; the end of its log:\n    first line\n    last line"):
        containers.DockerBroker().start()
    assert engine.did()[-1] == "remove"


def test_the_container_has_the_settings_of_the_local_broker() -> None:
    from local.broker import SETTINGS

    ours = dict(line.split("=", 1) for line in SETTINGS.splitlines() if "=" in line)
    theirs = {
        name.removeprefix("KAFKA_").lower().replace("_", "."): v for name, v in containers.kafka_settings("h:1").items()
    }
    of_the_place = {"heap.opts", "listeners", "advertised.listeners", "controller.quorum.voters"}
    assert {name: value for name, value in theirs.items() if name not in of_the_place} == {
        name: ours[name] for name in theirs if name not in of_the_place
    }

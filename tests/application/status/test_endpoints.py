"""What `status` says of a process's health, whatever answers at its port."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from application.configuration.settings import Settings
from application.status.endpoints import deliverer, processes, server
from local.ports import free_ports


class Answering(BaseHTTPRequestHandler):
    """Anything that speaks HTTP."""

    body = b""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def port() -> Iterator[int]:
    server = HTTPServer(("127.0.0.1", 0), Answering)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("body", [b"[]", b'"ok"', b"3", b"null", b"<html>", b"\xff", b""])
def test_what_is_no_process_of_ours_is_not_well(port: int, body: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Answering, "body", body)
    worker = next(processes(Settings(metrics_port=port)))
    assert (worker.what, worker.well) == ("worker 1", False)
    assert worker.detail


def test_one_of_ours_is(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Answering, "body", b'{"status": "rating"}')
    worker = next(processes(Settings(metrics_port=port)))
    assert (worker.well, worker.detail) == (True, "rating")
    monkeypatch.setattr(Answering, "body", b'{"status": "ok", "code": "compiled"}')
    assert next(processes(Settings(metrics_port=port))).detail == "ok, compiled"


def test_the_api_is_shown_where_it_answers(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Answering, "body", b'{"status": "ok"}')
    (status,) = server(Settings(serve_port=port))
    assert (status.what, status.well, status.detail) == ("HTTP API", True, "ok")
    assert status.url.endswith("/health/ready")
    monkeypatch.setattr(Answering, "body", b"<html>")
    assert list(server(Settings(serve_port=port))) == []
    assert list(server(Settings(serve_port=free_ports(1)[0]))) == []


def test_the_deliverer_is_shown_behind_worker_and_loader_where_it_answers(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Answering, "body", b'{"status": "ok"}')
    (status,) = deliverer(Settings(metrics_port=port - 3, processes=2))
    assert (status.what, status.well) == ("deliverer", True)
    assert list(deliverer(Settings(metrics_port=free_ports(1)[0] - 3, processes=2))) == []
    assert list(deliverer(Settings())) == []

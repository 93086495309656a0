"""A server process on real sockets: what hostile and slow clients get, and how it ends. Others are served meanwhile."""

from __future__ import annotations

import gzip
import http.client
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any, Self

import pytest
import zstandard

from local.ports import free_ports
from tests.server.contract import event
from tests.server.keys import PRODUCER
from tests.server.serving import BOUNDS

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
HEADERS = {"authorization": f"Bearer {PRODUCER}", "content-type": "application/json"}
MIB = 1 << 20


class Served:
    """A server process, and its log."""

    def __init__(self, folder: Path, *options: str) -> None:
        (self.port,) = free_ports(1)
        self.log = folder / "server.log"
        ready = folder / "ready"
        with self.log.open("wb") as log:
            command = [sys.executable, "-m", "tests.server.serving", str(self.port), str(ready), *options]
            self.process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
        deadline = time.monotonic() + 120
        while not ready.exists():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, dict[str, Any]]:
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)) as connection:
            given = {**HEADERS, **{name.replace("_", "-"): value for name, value in headers.items()}}
            connection.request(method, path, body, given)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read() or b"{}")

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=60)

    def sent(self, text: bytes) -> bytes:
        """Everything that comes back until the server closes."""
        with self.connect() as connection:
            connection.sendall(text)
            return received(connection)

    def is_well(self) -> bool:
        status, answer = self.ask("POST", "/v1/events?wait=decision", json.dumps(event("well")).encode())
        return (status, answer["results"][0]["status"]) == (200, "stored")

    def peak_mib(self) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """A test that fails leaves no process behind."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


def received(connection: socket.socket) -> bytes:
    whole = b""
    try:
        while piece := connection.recv(1 << 16):
            whole += piece
    except ConnectionError:
        pass  # closed without a word
    return whole


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with Served(tmp_path_factory.mktemp("served")) as server:
        yield server
        assert server.end() == 0, server.log.read_text()[-4_000:]
        assert "Traceback" not in server.log.read_text()


@pytest.mark.parametrize(
    ("made", "coding", "status"),  # made when it is needed: every process that runs tests reads this file
    [
        (lambda: gzip.compress(b"[" + b" " * (200 * MIB), 1), "gzip", 413),
        (lambda: zstandard.ZstdCompressor().compress(b"[" + b" " * (200 * MIB)), "zstd", 413),
        (lambda: b" " * (17 * MIB), "identity", 413),
        (lambda: b"[" + b"[]," * (5 * MIB) + b"[]]", "identity", 413),
        (lambda: b"[" * (8 * MIB), "identity", 413),
        (lambda: b"[" * 100_000, "identity", 400),
        (lambda: b'{"a":' * 100_000, "identity", 400),
        (lambda: b'{"attributes":{' + b'"a":NaN,' * 1_000 + b'"a":1}}', "identity", 422),
        (lambda: b'{"occurred_at": ' + b"9" * (4 * MIB) + b"}", "identity", 422),
        (lambda: b'"' + b"\\ud800" * MIB + b'"', "identity", 422),
        (lambda: b"\xff" * MIB, "identity", 400),
    ],
    ids=[
        "gzip bomb", "zstd bomb", "17 MiB", "lists", "8 MiB deep", "deep", "deep objects", "NaN", "digits", "halves",
        "bytes",
    ],
)  # fmt: skip
def test_hostile_bodies_are_refused_within_bounds(
    served: Served, made: Callable[[], bytes], coding: str, status: int
) -> None:
    body = made()
    try:
        answer, _ = served.ask("POST", "/v1/events", body, content_encoding=coding)
    except (BrokenPipeError, ConnectionResetError):
        answer = 413  # closed while the rest was still on its way
        assert len(body) > 16 * MIB
    assert answer == status
    assert served.is_well()
    assert served.peak_mib() < 900


HEAD = (
    b"POST /v1/events HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer producer\r\n"
    b"content-type: application/json\r\n"
)
MANY_HEADERS = b"".join(b"x-%d: %s\r\n" % (number, b"y" * 99) for number in range(2_000))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (b"GET / HTTP/1.1\r\nhost: evil.example\r\n\r\n", b"400"),
        (b"GET /health/live HTTP/1.1\r\n\r\n", b"400"),
        (b"GET /health/live HTTP/1.1\r\nhost: localhost\r\nhost: localhost\r\n\r\n", b"400"),
        (b"NONSENSE\r\n\r\n", b"400"),
        (HEAD + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", b"400"),
        (HEAD + b"content-length: 5\r\ncontent-length: 6\r\n\r\nhello", b"400"),
        (HEAD + b"transfer-encoding: chunked\r\n\r\nzz\r\n", b"400"),
        (HEAD + b"content-length: -1\r\n\r\n", b"400"),
        (HEAD + b"content-length: 99999999999999999999999\r\n\r\n", b"400"),
        (HEAD + b"transfer-encoding : chunked\r\n\r\n0\r\n\r\n", b"400"),
        (HEAD + b"transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n", b"400"),
        (HEAD + b"transfer-encoding: chunked\r\n\r\n-1\r\n\r\n", b"400"),
        (HEAD + b"transfer-encoding: chunked\r\n\r\n" + b"f" * 20 + b"\r\n", b"400"),
        (b"GET /health/live HTTP/1.1\r\n host: localhost\r\n\r\n", b"400"),
        (b"GET /health/live HTTP/1.1\r\nhost: localhost\r\nx: a\0b\r\n\r\n", b"400"),
        (b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nhost: localhost\r\n\r\n", b"431"),
        (b"GET / HTTP/1.1\r\nhost: localhost\r\n" + MANY_HEADERS, b"431"),
    ],
    ids=[
        "strange host", "no host", "two hosts", "nonsense", "two lengths", "other lengths", "bad chunk", "below zero",
        "huge length", "space before colon", "another coding", "negative chunk", "huge chunk", "folded", "NUL",
        "long line", "many headers",
    ],
)  # fmt: skip
def test_requests_that_are_none_are_closed(served: Served, text: bytes, wanted: bytes) -> None:
    with served.connect() as connection:
        with suppress(OSError):  # it may be closed before all is sent
            connection.sendall(text)
            connection.shutdown(socket.SHUT_WR)
        answer = received(connection)
    assert answer == b"" or answer.split(b" ", 2)[1] == wanted
    assert b"200 OK" not in answer
    assert served.is_well()


def test_a_body_that_stalls_and_a_head_that_never_ends_are_dropped(served: Served) -> None:
    texts = [
        HEAD + b"transfer-encoding: chunked\r\n\r\n5\r\n[1,2",
        HEAD + b"content-length: 1000\r\n\r\n[",
        b"POST /v1/events HTTP/1.1\r\nhost: lo",
        b"",
    ]
    with ThreadPoolExecutor(len(texts)) as pool:
        chunked, measured, half, silent = pool.map(served.sent, texts)
    for stalled in (chunked, measured):
        assert b" 408 " in stalled.partition(b"\r\n")[0]
        assert b"request-timeout" in stalled
    assert (half, silent) == (b"", b"")
    assert served.is_well()


@pytest.mark.slow
def test_a_body_that_drips_has_a_limit_in_all(served: Served) -> None:
    with served.connect() as connection:
        connection.sendall(HEAD + b"content-length: 1000\r\n\r\n")
        began = time.monotonic()
        with pytest.raises(OSError, match=r"Broken pipe|reset"):
            _drip(connection)
        assert time.monotonic() - began >= BOUNDS.body_seconds - 1
    assert served.is_well()


def _drip(connection: socket.socket) -> None:
    for _ in range(200):
        connection.sendall(b" ")
        time.sleep(0.5)


def test_many_idle_connections_take_no_place_of_who_asks(served: Served) -> None:
    with ExitStack() as stack:
        for number in range(BOUNDS.connections * 2):
            connection = stack.enter_context(served.connect())
            if number % 2:
                connection.sendall(HEAD)
            if number % 100 == 0:
                assert served.is_well()
        assert served.is_well()


def test_who_does_not_read_the_answer_is_dropped(served: Served) -> None:
    with served.connect() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        body = json.dumps([{"event_id": str(number)} for number in range(5_000)]).encode()
        head = HEAD + b"content-length: %d\r\n\r\n" % len(body)
        connection.sendall(head + body)
        assert served.is_well()


@pytest.mark.slow
def test_it_answers_what_is_in_hand_and_then_ends(tmp_path: Path) -> None:
    with (
        Served(tmp_path, "no-worker") as server,
        closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)) as connection,
    ):
        connection.request("POST", "/v1/events", json.dumps(event("acme")).encode(), {**HEADERS, "prefer": "wait=30"})
        deadline = time.monotonic() + 60
        while b"unacknowledged_bytes" not in _metrics(server) or not _is_in_hand(server):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        server.process.send_signal(signal.SIGTERM)
        answer = connection.getresponse()
        (result,) = json.loads(answer.read())["results"]
        assert (answer.status, result["status"], result["decision"]) == (200, "stored", {"status": "pending"})
        assert server.process.wait(60) == 0, server.log.read_text()
        with pytest.raises(ConnectionError):
            server.connect()


def _metrics(server: Served) -> bytes:
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)) as connection:
        connection.request("GET", "/metrics", headers={"host": "localhost"})
        return connection.getresponse().read()


def _is_in_hand(server: Served) -> bool:
    return b"creditmeter_http_requests_in_hand 2.0" in _metrics(server)

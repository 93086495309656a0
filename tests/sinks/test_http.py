"""The loader's window: others read while it loads, and read only."""

from __future__ import annotations

import http.client
import json
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from sinks import http as query_http
from sinks.embedded import EmbeddedSink
from sinks.folder import keep_store_id, store_id
from sinks.http import MAX_STATEMENT, ForeignStore, QueryServer, StoreIdentity, remote_health, remote_query
from sinks.sink import Limits, SinkRejected, SinkUnavailable
from tests.sinks.outputs import load, random_log

pytestmark = pytest.mark.slow


@pytest.fixture
def server(embedded: EmbeddedSink) -> Iterator[QueryServer]:
    load(embedded, random_log(1).batches)
    with QueryServer(embedded, limits=Limits(rows=50)) as running:
        yield running


def ask(server: QueryServer, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, str, str]:
    address = urlsplit(server.url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=20)
    connection.request(method, path, body=body, headers=headers)
    response = connection.getresponse()
    answer = response.status, response.headers["Content-Type"], response.read().decode()
    connection.close()
    return answer


def test_a_statement_is_answered_in_the_format_asked_for(server: QueryServer, embedded: EmbeddedSink) -> None:
    total = embedded.query("SELECT sum(credits) FROM billed_events").rows[0][0]
    sql = "SELECT sum(credits) AS credits FROM billed_events"
    assert remote_query(server.url, sql) == f"credits\n{total}\n".encode()
    assert json.loads(remote_query(server.url, sql, "JSONEachRow")) == {"credits": total}
    assert ask(server, "POST", "/query?format=csv", sql.encode()) == (200, "text/csv; charset=utf-8", f"{total}\n")
    assert "🦊" in remote_query(server.url, "SELECT '🦊' AS fox", "Pretty").decode()


def test_health(server: QueryServer) -> None:
    assert ask(server, "GET", "/health") == (200, "text/plain; charset=utf-8", "ok\n")


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("DROP TABLE billed_rows", "only reading"),
        ("SELECT nonsense", "nonsense"),
        ("SELEC", "only reading"),
        ("SELECT number FROM system.numbers LIMIT 51", "LIMIT"),
        ("", "empty"),
    ],
)
def test_a_statement_that_is_refused_says_why(server: QueryServer, sql: str, reason: str) -> None:
    with pytest.raises(SinkRejected, match=reason):
        remote_query(server.url, sql)
    status, kind, _ = ask(server, "POST", "/query", sql.encode())
    assert (status, kind) == (400, "text/plain; charset=utf-8")


def test_a_statement_that_takes_too_long_is_refused(embedded: EmbeddedSink) -> None:
    with (
        QueryServer(embedded, limits=Limits(seconds=1)) as server,
        pytest.raises(SinkRejected, match="too much"),
    ):
        remote_query(server.url, "SELECT max(number) FROM system.numbers")


def test_an_unknown_format_is_refused(server: QueryServer) -> None:
    with pytest.raises(SinkRejected, match="JSONEachRow"):
        remote_query(server.url, "SELECT 1", "Par quet&x=1")


def test_other_paths_methods_and_sizes_are_refused(server: QueryServer) -> None:
    assert ask(server, "GET", "/query?query=SELECT+1")[0] == 404
    assert ask(server, "POST", "/")[0] == 404
    assert ask(server, "PUT", "/query")[0] == 501
    assert ask(server, "POST", "/query", **{"Content-Length": str(MAX_STATEMENT + 1)})[0] == 413
    assert ask(server, "POST", "/query", **{"Content-Length": "-1"})[0] == 411
    with pytest.raises(SinkRejected, match="at most"):
        remote_query(server.url, "SELECT " + "1" * MAX_STATEMENT)


def test_web_pages_are_refused(server: QueryServer) -> None:
    assert ask(server, "POST", "/query", b"SELECT 1", Host="bills.example")[0] == 403
    assert ask(server, "POST", "/query", b"SELECT 1", Origin="http://localhost:3000")[0] == 403


def answer_of(server: QueryServer, request: bytes) -> bytes:
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname or "", address.port or 0), timeout=10) as connection:
        connection.sendall(request)
        return connection.recv(4096)


def test_strange_requests_are_answered_and_leave_no_trace(
    server: QueryServer, capfd: pytest.CaptureFixture[str]
) -> None:
    for host in (b"[", b"[::1", b"localhost:http", b"\xff"):
        status = answer_of(server, b"GET /health HTTP/1.1\r\nHost: " + host + b"\r\n\r\n").split(b" ")[1]
        assert status == (b"200" if b"localhost" in host else b"403")
    huge = b"POST /query HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + b"9" * 5_000 + b"\r\n\r\n"
    assert answer_of(server, huge).startswith(b"HTTP/1.1 413 ")
    assert "Traceback" not in capfd.readouterr().err


def test_whoever_leaves_before_the_answer_leaves_no_trace(
    server: QueryServer, capfd: pytest.CaptureFixture[str]
) -> None:
    address = urlsplit(server.url)
    sql = b"SELECT sleep(0.5), repeat('x', 1000000)"
    head = b"POST /query HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(sql)
    with socket.create_connection((address.hostname or "", address.port or 0), timeout=10) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # closing resets
        connection.sendall(head + sql)
    deadline = time.monotonic() + 60
    while any("process_request" in thread.name for thread in threading.enumerate()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [thread for thread in threading.enumerate() if "process_request" in thread.name]
    assert "Traceback" not in capfd.readouterr().err


def test_a_connection_that_was_kept_is_answered_no_more_after_stop(embedded: EmbeddedSink) -> None:
    """The store is closed next: a statement would be asked of what is no more there."""
    server = QueryServer(embedded).start()
    address = urlsplit(server.url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=10)
    connection.request("POST", "/query", body=b"SELECT 1")
    assert connection.getresponse().read() == b"1\n1\n"
    server.stop()
    connection.request("POST", "/query", body=b"SELECT 1")
    assert connection.getresponse().status == 503


def test_it_listens_on_this_machine_only(server: QueryServer) -> None:
    assert urlsplit(server.url).hostname == "127.0.0.1"


def test_nobody_there_is_unavailable() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(SinkUnavailable, match="nobody answers"):
            remote_query(f"http://127.0.0.1:{taken.getsockname()[1]}", "SELECT 1")


class Away(EmbeddedSink):
    """A sink whose store cannot answer."""

    def __init__(self) -> None:
        """Opens nothing."""

    def query_text(self, *_: object, **__: object) -> bytes:
        raise SinkUnavailable("the store is away")


def test_a_store_that_is_away_is_unavailable() -> None:
    with QueryServer(Away()) as server:
        with pytest.raises(SinkUnavailable, match="the store is away"):
            remote_query(server.url, "SELECT 1")
        assert ask(server, "GET", "/health")[0] == 503


def test_many_read_while_the_loader_inserts(server: QueryServer, embedded: EmbeddedSink) -> None:
    batches = random_log(1).batches
    sql = "SELECT count(), sum(credits) FROM billed_events"
    expected = remote_query(server.url, sql)
    answers: list[bytes] = []

    def read() -> None:
        answers.extend(remote_query(server.url, sql) for _ in range(5))

    readers = [threading.Thread(target=read) for _ in range(6)]
    for reader in readers:
        reader.start()
    for _ in range(5):
        load(embedded, batches, "BilledBatch")
    for reader in readers:
        reader.join()
    assert answers == [expected] * 30


def test_every_answer_says_whose_it_is(embedded: EmbeddedSink) -> None:
    ours = StoreIdentity(embedded.store_id, "crédits", str(embedded.folder))
    with QueryServer(embedded, identity=ours) as server:
        assert remote_health(server.url) == (True, ours)
        asked: list[StoreIdentity | None] = []

        def note(identity: StoreIdentity | None) -> None:
            asked.append(identity)

        assert remote_query(server.url, "SELECT 1", "TabSeparated", is_ours=note) == b"1\n"
        with pytest.raises(ForeignStore, match="another one's"):
            remote_query(server.url, "SELECT nonsense", is_ours=lambda _identity: "another one's")
        assert asked == [ours]
    with QueryServer(embedded) as server:
        assert remote_health(server.url) == (True, None)
    with pytest.raises(SinkUnavailable, match="nobody answers"):
        remote_health(server_url_of_nobody())


def server_url_of_nobody() -> str:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}"


def test_a_data_directory_keeps_its_id(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    assert store_id(one) is None
    first = keep_store_id(one)
    assert keep_store_id(one) == store_id(one) == first
    assert keep_store_id(two) != first


def test_a_large_answer_is_sent_from_the_disk_and_whole(embedded: EmbeddedSink, tmp_path: Path) -> None:
    sql = "SELECT number, repeat('x', 100) FROM numbers(100000)"
    expected = embedded.query_text(sql, "CSV")
    with QueryServer(embedded, spool=tmp_path) as server:
        body = server.answer(sql, "CSV", server.analysts).body
        assert not isinstance(body, bytes)
        assert Path(f"/proc/self/fd/{body.fileno()}").readlink().parent == tmp_path
        body.close()
        assert remote_query(server.url, sql, "CSV") == expected
        assert len(expected) > query_http.MAX_IN_MEMORY
    assert list(tmp_path.iterdir()) == []
    with QueryServer(embedded, spool=tmp_path / "gone") as server, pytest.raises(SinkUnavailable, match="be kept"):
        remote_query(server.url, sql, "CSV")


def test_a_customers_statement_has_its_own_turns_and_limits(embedded: EmbeddedSink) -> None:
    few = Limits(rows=3, seconds=2)
    with QueryServer(embedded, customer_limits=few) as server:
        rows = remote_query(
            server.url, "SELECT arrayJoin({names:Array(String)}) AS n", "CSV", parameters={"names": ["a'", "b"]}
        )
        assert rows == b'"a\'"\n"b"\n'
        with pytest.raises(SinkRejected, match="takes too much"):
            remote_query(server.url, "SELECT number FROM numbers(4)", "CSV", parameters={})
        for _ in range(2):
            assert server.analysts.take()
        assert remote_query(server.url, "SELECT {n:Int64} AS n", "CSV", parameters={"n": 7}) == b"7\n"
        for _ in range(2):
            server.analysts.release()


@pytest.mark.parametrize(
    "body",
    [
        b"SELECT 1", b"[]", b"{}", b"\xff", b"[" * 100_000, b'{"statement": "SELECT 1"}',
        b'{"statement": 1, "parameters": {}}', b'{"statement": "SELECT 1", "parameters": [1]}',
        b'{"statement": "SELECT 1", "parameters": {"a": 1.5}}', b'{"statement": "SELECT 1", "parameters": {"a": true}}',
        b'{"statement": "SELECT 1", "parameters": {"a": [1, "b"]}}', b'{"statement": "\\ud800", "parameters": {}}',
        b'{"statement": "SELECT {a:String}", "parameters": {"a": "\\ud800"}}',
    ],
)  # fmt: skip
def test_a_wrong_statement_with_parameters_is_refused(server: QueryServer, body: bytes) -> None:
    assert ask(server, "POST", "/read", body)[0] == 400


def test_a_statement_that_finds_no_turn_is_told_to_come_again(server: QueryServer) -> None:
    server.analysts.wait = 0.1
    for _ in range(server.analysts.at_once):
        assert server.analysts.take()
    with pytest.raises(SinkUnavailable, match="2 other statements"):
        remote_query(server.url, "SELECT 1")
    assert remote_health(server.url)[0]
    server.analysts.release()
    assert remote_query(server.url, "SELECT 1", "CSV") == b"1\n"
    server.analysts.release()

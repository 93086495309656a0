"""What is particular to a server: it may be away, and come back."""

from __future__ import annotations

import socket

import pytest

from local.shared import SharedClickHouse
from local.start import ClickHouse
from sinks.errors import insert_failed, reading_failed
from sinks.migrate import migrate
from sinks.server import ServerAddress, ServerSink
from sinks.sink import SinkRejected, SinkUnavailable
from tests.sinks.old_server import OldServerSink, rewritten
from tests.sinks.outputs import load, random_log


@pytest.mark.clickhouse_server
@pytest.mark.slow
def test_a_server_that_is_killed_is_unavailable_and_used_again_when_it_is_back(own_clickhouse: ClickHouse) -> None:
    old = own_clickhouse.version.startswith("18.")
    address = ServerAddress(own_clickhouse.host, own_clickhouse.port, timeout=5)
    sink = OldServerSink(address) if old else ServerSink(address)
    migrate(sink)
    batches = random_log(5).batches
    load(sink, batches)
    expected = sink.query("SELECT count(), sum(credits) FROM billed_events").rows
    own_clickhouse.kill()
    with pytest.raises(SinkUnavailable, match=f"{own_clickhouse.port}"):
        load(sink, batches)
    with pytest.raises(SinkUnavailable):
        sink.query("SELECT 1")
    own_clickhouse.restart()
    load(sink, batches)
    assert sink.query("SELECT count(), sum(credits) FROM billed_events").rows == expected
    sink.close()


def test_nobody_at_the_address_is_unavailable() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        sink = ServerSink(ServerAddress("127.0.0.1", taken.getsockname()[1], timeout=2))
        with pytest.raises(SinkUnavailable, match="ClickHouse at 127"):
            sink.insert("billed_rows", {"event_id": ["x"]})
        with pytest.raises(SinkUnavailable, match="ClickHouse at 127"):
            sink.query("SELECT 1")
        sink.close()


def test_the_password_is_not_shown() -> None:
    assert "hush" not in repr(ServerAddress("somewhere", password="hush"))


def test_errors_that_pass_and_errors_that_stay() -> None:
    assert isinstance(insert_failed(252, "Too many parts (300)", "billed_rows"), SinkUnavailable)
    assert isinstance(insert_failed(241, "Memory limit exceeded", "billed_rows"), SinkUnavailable)
    stays = insert_failed(16, "DB::Exception: There is no column `plan` in table billed_rows. Stack trace: 0x1", "t")
    assert isinstance(stays, SinkRejected)
    assert (stays.table, stays.column) == ("t", "plan")
    assert "Stack" not in str(stays)
    assert isinstance(reading_failed(241, "Memory limit (for query) exceeded"), SinkRejected)
    twice = (
        "Code: 241. DB::Exception: Query memory limit exceeded: maximum: 1.00 GiB. (MEMORY_LIMIT_EXCEEDED) "
        "(version 26.9.2.1 (official build)). (MEMORY_LIMIT_EXCEEDED)"
    )
    said = "the statement takes too much: Query memory limit exceeded: maximum: 1.00 GiB. Ask for less, or add a LIMIT"
    assert str(reading_failed(241, twice)) == said
    assert str(reading_failed(62, "Syntax error at (a) and (B)")) == "Syntax error at (a) and (B)"
    assert isinstance(reading_failed(202, "Too many simultaneous queries"), SinkUnavailable)


def test_the_rewriting_for_the_old_server_leaves_no_new_type() -> None:
    ddl = "a LowCardinality(Nullable(String)), b Array(LowCardinality(String)), c Nullable(DateTime64(3, 'UTC'))"
    assert rewritten(ddl) == "a Nullable(String), b Array(String), c Nullable(Int64)"


class FutureSink(ServerSink):
    """A sink that needs a newer server than there is."""

    least_version = (99, 1)


@pytest.mark.clickhouse_server
def test_a_server_that_is_too_old_is_named_before_anything_is_changed(clickhouse_server: SharedClickHouse) -> None:
    database = clickhouse_server.fresh_database()
    user, password = clickhouse_server.user, clickhouse_server.password
    address = ServerAddress(clickhouse_server.host, clickhouse_server.port, user, password, database)
    sink = FutureSink(address)
    for use in (lambda: migrate(sink), lambda: sink.query("SELECT 1"), lambda: sink.insert("t", {"a": [1]})):
        with pytest.raises(SinkRejected, match=r"has version \d+\..*: 99\.1 or newer is needed"):
            use()
    client = sink._connect({}, database="")
    assert (database,) not in client.execute("SHOW DATABASES")
    client.disconnect()


@pytest.mark.parametrize("version", ["18.16.1", "21.8.15.7", "23.9.6.20", "23.3", "", "x"])
def test_versions_that_lack_something_are_refused(version: str) -> None:
    with pytest.raises(SinkRejected, match=r"23\.10 or newer is needed"):
        ServerSink(ServerAddress("nowhere"))._check_version(version)


@pytest.mark.parametrize("version", ["23.10.1.1976", "24.3.2.1-lts", "26.9.2.1"])
def test_versions_that_have_everything_are_taken(version: str) -> None:
    ServerSink(ServerAddress("nowhere"))._check_version(version)

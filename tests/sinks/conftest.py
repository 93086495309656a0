"""Sinks to test: chDB, and a server (an old one through rewritten DDL), each with the schema and nothing else in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from local.shared import SharedClickHouse
from sinks.embedded import EmbeddedSink
from sinks.inserts import CURRENT
from sinks.isolated import IsolatedSink
from sinks.migrate import migrate
from sinks.rows import SHAPES
from sinks.server import ServerAddress, ServerSink
from sinks.sink import Sink
from tests.sinks.native_client import CurrentServerSink
from tests.sinks.old_server import OldServerSink
from tests.stores import with_schema

TABLES = (*(shape.table for shape in SHAPES.values()), CURRENT)


def server_sink(server: SharedClickHouse) -> ServerSink:
    """A sink on a database of its own."""
    address = ServerAddress(
        server.host, server.port, user=server.user, password=server.password, database=server.fresh_database()
    )
    return OldServerSink(address) if server.version.startswith("18.") else ServerSink(address)


@pytest.fixture(scope="module")
def embedded_of_module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedSink]:
    """chDB, started once a module: a process can hold only one at a time."""
    sink = EmbeddedSink(with_schema(tmp_path_factory.mktemp("chdb") / "data"))
    yield sink
    sink.close()


@pytest.fixture(scope="module")
def isolated_of_module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IsolatedSink]:
    """chDB in a process of its own."""
    sink = IsolatedSink(with_schema(tmp_path_factory.mktemp("isolated") / "data"))
    yield sink
    sink.close()


@pytest.fixture(scope="module")
def server_of_module(clickhouse_server: SharedClickHouse) -> Iterator[ServerSink]:
    sink = server_sink(clickhouse_server)
    migrate(sink)
    yield sink
    sink.execute(f"DROP DATABASE {sink.address.database}")
    sink.close()


@pytest.fixture(scope="module")
def current_of_module(embedded_of_module: EmbeddedSink) -> Iterator[ServerSink]:
    """The driver's own columns, with chDB's engine for a current server."""
    sink = CurrentServerSink(embedded_of_module.folder, "current")
    migrate(sink)
    yield sink
    sink.close()


@pytest.fixture
def embedded(embedded_of_module: EmbeddedSink) -> EmbeddedSink:
    empty(embedded_of_module)
    return embedded_of_module


@pytest.fixture(params=["isolated", "current", pytest.param("server", marks=pytest.mark.clickhouse_server)])
def sink(request: pytest.FixtureRequest) -> Sink:
    """Each of the sinks, empty."""
    chosen: Sink = request.getfixturevalue(f"{request.param}_of_module")
    empty(chosen)
    return chosen


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data directory for a sink of the test's own, where no other is open in this process."""
    return tmp_path / "data"


def empty(sink: Sink) -> None:
    for table in TABLES:
        sink.execute(f"TRUNCATE TABLE {table}")

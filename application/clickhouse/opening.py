"""Opens the configured ClickHouse, in a process of its own or on a server; errors are worded for people."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from application.errors import ErrorCode, Failed
from sinks.sink import Sink, SinkRejected, SinkUnavailable

if TYPE_CHECKING:
    from pathlib import Path

    from application.configuration.settings import Settings
    from sinks.http import QueryServer


def open_sink(settings: Settings) -> Sink:
    """The store. An embedded one takes hold of its data directory: one process at a time. Raises SinkUnavailable."""
    if settings.store == "embedded":
        from sinks.isolated import IsolatedSink

        return IsolatedSink(_folder(settings), settings.clickhouse_database)
    from sinks.server import ServerAddress, ServerSink

    return ServerSink(
        ServerAddress(
            settings.clickhouse_host,
            settings.clickhouse_port,
            settings.clickhouse_user,
            settings.clickhouse_password.get_secret_value(),
            settings.clickhouse_database,
            settings.clickhouse_secure,
        )
    )


def has_data(settings: Settings) -> bool:
    """Whether an embedded store was ever made here."""
    return _folder(settings).is_dir()


def store_id_of(settings: Settings) -> str | None:
    """The id of the embedded store's directory; None where there is none."""
    from sinks.folder import store_id

    return store_id(_folder(settings))


def served(sink: Sink, settings: Settings) -> Sink:
    """The embedded store, which from now on answers SQL at query_port, too. Raises Failed where the port is taken."""
    from sinks.http import QueryServer, StoreIdentity

    folder = _folder(settings).absolute()
    identity = StoreIdentity(store_id_of(settings) or "", settings.topic_prefix, str(folder))
    port = settings.query_port
    try:
        return ServedSink(sink, QueryServer(sink, port, identity=identity, spool=folder))
    except OSError as error:
        from local.port_holder import why_not_listening

        raise Failed(f"query_port {port}: {why_not_listening('query_port', error, port)}") from error


def _folder(settings: Settings) -> Path:
    return settings.data_dir / "clickhouse"


class ServedSink:
    """A sink that a query server reads from: closed only after the server has stopped."""

    def __init__(self, sink: Sink, server: QueryServer) -> None:
        """Start the server. Raises OSError when its port is taken."""
        self._server = server.start()
        self.insert, self.execute = sink.insert, sink.execute
        self.query, self.query_text = sink.query, sink.query_text
        self._close = sink.close

    def close(self) -> None:
        """Stop the server, then close the store."""
        self._server.stop()
        self._close()


@contextmanager
def opened_sink(settings: Settings) -> Iterator[Sink]:
    """The store, closed afterwards; whatever it refuses becomes Failed."""
    try:
        sink = open_sink(settings)
        try:
            yield sink
        finally:
            sink.close()
    except SinkUnavailable as error:
        raise Failed(str(error), ErrorCode.UNAVAILABLE) from error
    except SinkRejected as error:
        raise Failed(str(error)) from error

"""ClickHouse as the configuration wants it: inside this process, or a server; and what goes wrong, said for people."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cli.errors import Failed
from sinks.sink import Sink, SinkRejected, SinkUnavailable

if TYPE_CHECKING:
    from cli.config import Settings


def open_sink(settings: Settings) -> Sink:
    """The store. An embedded one takes hold of its data directory: one process at a time. Raises SinkUnavailable."""
    if settings.store == "embedded":
        from sinks.embedded import EmbeddedSink

        return EmbeddedSink(settings.data_dir / "clickhouse", settings.clickhouse_database)
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


@contextmanager
def opened_sink(settings: Settings) -> Iterator[Sink]:
    """The store, closed afterwards; whatever it refuses becomes Failed."""
    try:
        sink = open_sink(settings)
        try:
            yield sink
        finally:
            sink.close()
    except (SinkUnavailable, SinkRejected) as error:
        raise Failed(str(error)) from error

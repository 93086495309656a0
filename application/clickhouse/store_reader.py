"""The store's rows for long readings such as an audit's: from its own folder where that is free, else its loader."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Protocol

from application.clickhouse.asking import ask_loader
from application.clickhouse.opening import has_data, open_sink
from application.configuration.settings import Settings
from sinks.sink import Sink, SinkUnavailable


class StoreReader(Protocol):
    """Answers reading statements without the limits of people's queries."""

    def text(self, sql: str, output_format: str) -> bytes:
        """The result in one of `sinks.formats.FORMATS`. Raises SinkUnavailable, SinkRejected."""
        ...


class ConfiguredStore:
    """The configuration's store, opened at the first question: a loader that is starting may have to open it first.

    An embedded store's own folder comes first, where no process holds it; else the loader that does is asked. Another
    pipeline's loader that answers at its port is refused.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._sink: Sink | None = None
        self._is_opened = False

    def text(self, sql: str, output_format: str) -> bytes:
        if not self._is_opened:
            self._open()
        if self._sink is not None:
            return self._sink.query_text(sql, output_format)
        return ask_loader(self._settings, sql, output_format)

    def close(self) -> None:
        """Let go of the store."""
        if self._sink is not None:
            self._sink.close()

    def _open(self) -> None:
        settings = self._settings
        if settings.store == "server":
            self._sink = open_sink(settings)
        elif settings.query_url is None and has_data(settings):
            with suppress(SinkUnavailable):  # the loader holds it
                self._sink = open_sink(settings)
        self._is_opened = True


@contextmanager
def opened_store(settings: Settings) -> Iterator[ConfiguredStore]:
    """The configuration's store for the time of the block."""
    store = ConfiguredStore(settings)
    try:
        yield store
    finally:
        store.close()

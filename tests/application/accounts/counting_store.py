"""A store that keeps the statements which it is asked."""

from __future__ import annotations

from application.usage.store import Row, SinkUsage
from sinks.embedded import EmbeddedSink
from sinks.parameters import Parameters
from sinks.sink import Limits


class CountingStore:
    """`UsageStore` over a sink."""

    def __init__(self, sink: EmbeddedSink) -> None:
        self.statements: list[str] = []
        self._store = SinkUsage(sink, Limits(seconds=60))

    def rows(self, sql: str, parameters: Parameters) -> list[Row]:
        self.statements.append(sql)
        return self._store.rows(sql, parameters)

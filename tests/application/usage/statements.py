"""A store that keeps the statements which it is asked."""

from __future__ import annotations

from application.usage.store import Row, UsageStore
from sinks.parameters import Parameters


class Statements:
    """Another store, and what it was asked."""

    def __init__(self, store: UsageStore) -> None:
        self.asked: list[str] = []
        self._store = store

    def rows(self, sql: str, parameters: Parameters) -> list[Row]:
        self.asked.append(sql)
        return self._store.rows(sql, parameters)

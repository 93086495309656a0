"""Whether the store answers, known without asking it: for a readiness check that must not wait."""

from __future__ import annotations

import threading

from application.errors import UseCaseError
from application.usage.store import UsageStore

_SECONDS = 5.0
"""Between two questions."""


class StoreWatch:
    """Asks the store in a thread of its own between `start` and `close`."""

    def __init__(self, store: UsageStore, seconds: float = _SECONDS) -> None:
        self._store = store
        self._seconds = seconds
        self._problem: str | None = "ClickHouse was not asked yet"
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="store-watch", daemon=True)

    def start(self) -> None:
        """Begins to ask. Returns at once."""
        self._thread.start()

    def close(self) -> None:
        """Ends; waits for a question that is under way."""
        self._ended.set()
        self._thread.join()

    def problem(self) -> str | None:
        """Why the store cannot be read, by its last answer; None where it can."""
        return self._problem

    def _watch(self) -> None:
        while True:
            try:
                self._store.rows("SELECT 1 AS one", {})
                self._problem = None
            except UseCaseError as error:
                self._problem = error.message
            if self._ended.wait(self._seconds):
                return

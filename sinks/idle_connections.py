"""Connections of readers that wait for their next statement: opening one costs as much as a small statement."""

from __future__ import annotations

import threading
from collections import deque

from sinks.engine import Connection

MOST_IDLE = 8
"""As many as statements run at once with room to spare; the one that waits longest is closed for the next."""


class IdleConnections:
    """By their settings. A connection belongs to whoever has taken it; one that failed must not come back."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: deque[tuple[str, Connection]] = deque()
        self._is_open = True

    def take(self, settings: str) -> Connection | None:
        """One that was made with these settings; None where there is none."""
        with self._lock:
            for at in range(len(self._idle) - 1, -1, -1):
                if self._idle[at][0] == settings:
                    connection = self._idle[at][1]
                    del self._idle[at]
                    return connection
        return None

    def put(self, settings: str, connection: Connection) -> None:
        """Keeps it for the next statement, or closes it where enough wait."""
        with self._lock:
            self._idle.append((settings, connection))
            surplus = self._idle.popleft()[1] if len(self._idle) > MOST_IDLE or not self._is_open else None
        if surplus is not None:
            surplus.close()

    def close(self) -> None:
        """Closes all that wait; those that come back later are closed then."""
        with self._lock:
            self._is_open = False
            idle = [connection for _, connection in self._idle]
            self._idle.clear()
        for connection in idle:
            connection.close()

"""Counts calls that were refused, and records few events with their number instead of one each."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from creditmeter_client.usage import Event, Outcome, Usage, event_of

WINDOW = 10.0
"""Seconds: at most one event for an account, endpoint and outcome in each."""
_MOST_KEYS = 10_000

_Key = tuple[str, str, str, Outcome]


class RefusedCalls:
    """Counts by account, endpoint, channel and outcome. A ticker of the meter: `Meter.add_ticker`. Safe in threads."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self.after_fork()

    def after_fork(self) -> None:
        """In a child: what the parent has counted, the parent records."""
        self._lock = threading.Lock()
        self._counts: dict[_Key, int] = {}
        self._since: dict[_Key, float] = {}

    def note(self, usage: Usage, outcome: Outcome, now: float) -> list[Event]:
        """Counts one; `now` in monotonic seconds. Returns events to record at once, where too many kinds have come."""
        key = usage.account_id, usage.endpoint, usage.channel, outcome
        with self._lock:
            early = self._due(float("inf")) if key not in self._counts and len(self._counts) >= _MOST_KEYS else []
            self._counts[key] = self._counts.get(key, 0) + 1
            self._since.setdefault(key, now)
            return early

    def __call__(self, now: float) -> Sequence[Event]:
        """The events of the windows that are over; inf: of all."""
        with self._lock:
            return self._due(now)

    def _due(self, now: float) -> list[Event]:
        over = [key for key, since in self._since.items() if now - since >= WINDOW]
        events = []
        for key in over:
            account_id, endpoint, channel, outcome = key
            del self._since[key]
            usage = Usage(account_id, endpoint, channel, outcome, quantities={"refused": self._counts.pop(key)})
            events.append(event_of(usage, now=self._now_ms()))
        return events

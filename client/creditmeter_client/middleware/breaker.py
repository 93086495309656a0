"""Stops waiting for a meter that does not answer in time: answers come at once instead, and say `null`."""

from __future__ import annotations

import threading
from dataclasses import dataclass


@dataclass(frozen=True)
class BreakerPolicy:
    """Opens after `failures` waits in a row that ended without a decision; after `pause` seconds one may try again."""

    failures: int = 5
    pause: float = 5.0


class Breaker:
    """The state of one process. `now` is monotonic seconds. Safe in threads."""

    def __init__(self, policy: BreakerPolicy | None = None) -> None:
        self._policy = policy or BreakerPolicy()
        self._lock = threading.Lock()
        self._failures = 0
        self._next_try = 0.0

    def may_wait(self, now: float) -> bool:
        """Whether to wait. While it is open one in `pause` seconds may."""
        with self._lock:
            if self._failures < self._policy.failures:
                return True
            if now < self._next_try:
                return False
            self._next_try = now + self._policy.pause
            return True

    def note(self, now: float, *, answered: bool) -> None:
        with self._lock:
            if answered:
                self._failures = 0
                return
            self._failures += 1
            if self._failures == self._policy.failures:
                self._next_try = now + self._policy.pause

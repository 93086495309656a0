"""Limits how many readers run at the same time: customers wait for no analyst, and neither fills the memory."""

from __future__ import annotations

import threading

from sinks.sink import Limits

AT_ONCE = 2
"""Statements that run at the same time; others wait. Each may take the memory that its limits allow."""
WAIT = 20.0
"""Seconds that a statement waits for its turn."""
CUSTOMERS_AT_ONCE = 4
CUSTOMERS_WAIT = 2.0
"""The same for statements of customers: short ones, none of which waits for an analyst's."""


class Turns:
    """Statements of one kind of reader: so many at once, each within `limits`, after at most `wait` seconds."""

    def __init__(self, at_once: int, wait: float, limits: Limits) -> None:
        self.at_once = at_once
        self.wait = wait
        self.limits = limits
        self._free = threading.BoundedSemaphore(at_once)

    def take(self) -> bool:
        """Waits for a turn; False where none came in time."""
        return self._free.acquire(timeout=self.wait)

    def release(self) -> None:
        self._free.release()

    def drain(self) -> None:
        """Returns when no statement runs any more."""
        for _ in range(self.at_once):
            self._free.acquire()
        self._free.release(self.at_once)


def customers_turns(limits: Limits) -> Turns:
    """Turns for statements of customers."""
    return Turns(CUSTOMERS_AT_ONCE, CUSTOMERS_WAIT, limits)

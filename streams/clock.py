"""The only module that reads a clock. Everything else takes the time as an argument or from a record."""

from __future__ import annotations

import time


def now_ms() -> int:
    """Wall clock, ms since the epoch, UTC. May jump; never decides a charge."""
    return time.time_ns() // 1_000_000


def monotonic() -> float:
    """Seconds on a clock that never goes back, for waits and durations."""
    return time.monotonic()


def sleep(seconds: float) -> None:
    """Wait, in a thread."""
    time.sleep(seconds)

"""When to try again after a failure."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class BackoffPolicy:
    """Doubles the pause from `first` to `longest` seconds; each pause is between half and all of it, at random."""

    first: float = 0.1
    longest: float = 30.0


class Backoff:
    """The state of one row of failures. `now` is monotonic seconds."""

    def __init__(self, policy: BackoffPolicy, fraction: Callable[[], float] = random.random) -> None:
        self._policy = policy
        self._fraction = fraction
        self._failures = 0
        self._until = 0.0

    @property
    def failing(self) -> bool:
        return self._failures > 0

    def failed(self, now: float, at_least: float | None = None) -> float:
        """Notes a failure and returns the seconds to wait, `at_least` as the meter asked (an hour at most)."""
        pause = min(self._policy.longest, self._policy.first * float(1 << min(self._failures, 30)))
        pause *= 0.5 + self._fraction() / 2
        if at_least is not None:
            pause = max(pause, min(at_least, 3600.0))
        self._failures += 1
        self._until = now + pause
        return pause

    def succeeded(self) -> None:
        self._failures = 0
        self._until = 0.0

    def remaining(self, now: float) -> float:
        """Seconds until the next try may begin; 0 now."""
        return max(0.0, self._until - now)

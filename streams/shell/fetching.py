"""How long Kafka gathers records before it answers a fetch: the longer the more comes, not at all where little does.

Each answer costs the broker and the shell, and each small group costs whoever works on it. Under load they would take
the time that the work needs; with little load there is time enough, and a record should not wait.
"""

from __future__ import annotations

import math

GATHERED_BYTES = 1024 * 1024
"""Kafka answers as soon as it has so much, though its wait is not over."""
FULL_RATE = 4 * 1024 * 1024
"""Bytes a second from which on Kafka waits longest; with fewer it waits shorter in proportion."""
SHORTEST = 0.01
"""Seconds: where Kafka would wait less, it answers at once."""
_MEAN_SECONDS = 1.0
"""The rate is a mean over about so long: what came longer ago counts less and less."""


class FetchPace:
    """How long Kafka may wait, by what came lately. ``longest`` in seconds; 0: it always answers at once."""

    def __init__(self, longest: float) -> None:
        self._longest = longest
        self._rate = 0.0
        self._at: float | None = None

    def note(self, size: int, now: float) -> None:
        """So many bytes have come; ``now`` in seconds, by a clock that never goes back."""
        if self._at is not None:
            self._rate *= math.exp((self._at - now) / _MEAN_SECONDS)
        self._rate += size / _MEAN_SECONDS
        self._at = now

    @property
    def wait(self) -> float:
        """Seconds that Kafka may gather; 0: it is to answer at once with whatever there is."""
        wait = self._longest * min(1.0, self._rate / FULL_RATE)
        return wait if wait >= SHORTEST else 0.0

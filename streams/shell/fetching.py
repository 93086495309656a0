"""How long Kafka gathers records before it answers a fetch: the longer the more comes, not at all where little does.

Each answer costs the broker and the shell, and each small group costs whoever works on it. Under load they would take
the time that the work needs; with little load there is time enough, and a record should not wait.
"""

from __future__ import annotations

import math

GATHERED_BYTES = 1024 * 1024
"""Kafka answers at once when it has so much, though it may wait on."""
FULL_RATE = 4 * 1024 * 1024
"""Bytes a second from which on it may wait longest; with fewer it waits shorter in proportion."""
SHORTEST = 0.01
"""Seconds: where it would wait less, it answers at once."""
_MEMORY = 1.0
"""Seconds over which the rate is a mean: what came longer ago counts less and less."""


class FetchPace:
    """How long Kafka may wait, by what came lately. ``longest`` in seconds; 0: it always answers at once."""

    def __init__(self, longest: float) -> None:
        self._longest = longest
        self._rate = 0.0
        self._at: float | None = None

    def note(self, size: int, now: float) -> None:
        """So many bytes have come; ``now`` in seconds, by a clock that never goes back."""
        if self._at is not None:
            self._rate *= math.exp((self._at - now) / _MEMORY)
        self._rate += size / _MEMORY
        self._at = now

    @property
    def wait(self) -> float:
        """Seconds that Kafka may gather; 0: it is to answer at once with whatever there is."""
        wait = self._longest * min(1.0, self._rate / FULL_RATE)
        return wait if wait >= SHORTEST else 0.0

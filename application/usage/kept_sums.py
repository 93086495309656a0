"""Sums that were answered before: the same question again reads only the rows that came since.

What counts up to an instant never changes, however much is loaded meanwhile (`as_of`): so the sum up to it and the rows
behind it, late ones included, are the present sum. An instant that is not behind the kept one (a store that was emptied
and is loaded again) is added up anew, and so is everything once in a while: rows that somebody changed by hand are
seen then.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field

from application.usage.as_of import AsOf
from streams import clock

Group = tuple[str | int | None, ...]
"""The values of the fields grouped by."""
Counts = Mapping[tuple[int, Group], Mapping[str, int]]
"""By bucket (its first ms) and group, the columns that measures are made of."""

_SUM, _PARTITION, _CELL, _NUMBER, _TEXT = 1_000, 200, 400, 60, 60
"""Bytes, rather too many: of a sum, of each partition of its instant, of each cell, of each number in it, and of each
text beside its characters. A sum without a cell takes memory, too, and there may be any number of such questions."""


@dataclass(frozen=True, slots=True)
class KeptSum:
    """The counts of one question, of one instant.

    `begun`: when the rows were last added up anew, in seconds of the monotonic clock; what is added later keeps it.
    """

    as_of: AsOf
    counts: Counts
    begun: float = field(compare=False)

    @property
    def size(self) -> int:
        """About how many bytes it takes."""
        texts = [value for _, group in self.counts for value in group if isinstance(value, str)]
        return (
            _SUM
            + _PARTITION * len(self.as_of.reached)
            + _CELL * len(self.counts)
            + _NUMBER * sum(map(len, self.counts.values()))
            + sum(_TEXT + 4 * len(text) for text in texts)
        )


@dataclass(frozen=True, slots=True)
class KeepingSums:
    """How long a sum is added to before it is added up anew, and how many bytes are kept: in all, and of one sum.

    The sums that were asked for longest ago go first.
    """

    seconds: float = 900.0
    size: int = 32 << 20
    size_of_one: int = 2 << 20


class KeptSums:
    """The sums of one server. From any thread."""

    def __init__(self, keeping: KeepingSums | None = None) -> None:
        self._keeping = keeping or KeepingSums()
        self._lock = threading.Lock()
        self._kept: OrderedDict[bytes, KeptSum] = OrderedDict()
        self._size = 0

    def before(self, question: bytes, as_of: AsOf) -> KeptSum | None:
        """What was kept of this question for this instant or one before it."""
        with self._lock:
            kept = self._kept.get(question)
            if kept is None:
                return None
            if kept.begun + self._keeping.seconds < clock.monotonic() or not as_of.is_after(kept.as_of):
                self._drop(question)
                return None
            self._kept.move_to_end(question)
            return kept

    def keep(self, question: bytes, kept_sum: KeptSum) -> None:
        """Keep it in place of an earlier one. One of an instant that is not whole is not kept."""
        size = kept_sum.size  # looks through all of it: not while others wait for the lock
        if not kept_sum.as_of.is_whole or size > self._keeping.size_of_one:
            return
        with self._lock:
            earlier = self._kept.get(question)
            if earlier is not None and not kept_sum.as_of.is_after(earlier.as_of):
                return  # somebody else was quicker, and saw more
            self._drop(question)
            self._kept[question] = kept_sum
            self._size += size
            while self._size > self._keeping.size:
                self._drop(next(iter(self._kept)))

    def _drop(self, question: bytes) -> None:
        kept = self._kept.pop(question, None)
        if kept is not None:
            self._size -= kept.size

"""The newest of many dead letters, while they are read partition by partition."""

from __future__ import annotations

import heapq

from application.dead_letters.reading import DeadLetter

_Age = tuple[int, int, int, int]


class Newest:
    """Keeps the newest `limit` of the dead letters that are added, by the log's time; the others are only counted.

    Letters of the same millisecond are in order of their places.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._heap: list[tuple[_Age, DeadLetter]] = []
        self._count = 0

    def add(self, letter: DeadLetter) -> None:
        self._count += 1
        entry = _age(letter), letter
        if len(self._heap) < self._limit:
            heapq.heappush(self._heap, entry)
        elif self._heap:
            heapq.heappushpop(self._heap, entry)

    @property
    def letters(self) -> list[DeadLetter]:
        """Those kept, the newest first."""
        return [letter for _, letter in sorted(self._heap, reverse=True)]

    @property
    def hidden(self) -> int:
        """How many were given and not kept."""
        return self._count - len(self._heap)


def _age(letter: DeadLetter) -> _Age:
    place = letter.place
    return letter.record["recorded_at"], place.partition, place.offset, -1 if place.index is None else place.index

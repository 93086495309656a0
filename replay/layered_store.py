"""A store over another: what is written goes into the upper one, and the lower one is only read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from metering.store import Store, Value

Rows = Iterator[tuple[bytes, Value]]


class LayeredStore:
    """A `Store` of what `lower` holds with the changes that `upper` holds: `upper` begins empty and is this store's.

    In `upper` a row is [value], and [] where a row of the lower store is deleted.
    """

    def __init__(self, lower: Store, upper: Store) -> None:
        self._lower = lower
        self._upper = upper

    def get(self, key: bytes) -> Value | None:
        row = self._upper.get(key)
        if row is None:
            return self._lower.get(key)
        return row[0] if row else None

    def scan(self, prefix: bytes, after: bytes = b"") -> Rows:
        upper, lower = self._upper.scan(prefix, after), self._lower.scan(prefix, after)
        over, under = next(upper, None), next(lower, None)
        while over is not None or under is not None:
            if over is None or (under is not None and under[0] < over[0]):
                if under is not None:
                    yield under
                under = next(lower, None)
                continue
            if under is not None and under[0] == over[0]:
                under = next(lower, None)
            if over[1]:
                yield over[0], over[1][0]
            over = next(upper, None)

    def write(self, changes: Mapping[bytes, Value | None]) -> None:
        self._upper.write({key: [] if value is None else [value] for key, value in changes.items()})

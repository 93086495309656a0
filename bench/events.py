"""The work that every contestant gets: seeded request events in batches, and the price book that they are charged by.

Half of the events make one line, half make two; each event has one unique charge. One event in twenty is a repeat of
an earlier one, one subject in ten was seen before. Ids are random, as real ones are: no store gains by their order.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator
from typing import Any, NamedTuple

from streams.log.partitioner import partition_of

ACCOUNTS = 300
PARTITIONS = 8
BATCH = 200
START = 1_767_571_200_000
"""2026-01-05T00:00:00Z: within the book's only version."""
MS_AN_EVENT = 864
"""100,000 events are a day of the stream's time."""

BOOK = """\
versions:
  - version: "2026-01"
    effective_from: 2026-01-01T00:00:00Z
    charges:
      - charge: pageview
        feature: Pixel
        action: Pageview
        when: {endpoint: /pixel/hit, channel: js}
        credits: 1
      - charge: pixel-lookup
        feature: Identification
        action: IP to company lookup
        when: {endpoint: /pixel/hit, channel: js}
        credits: 20
        unique: {by: [user_id, ip], within: 24h}
      - charge: ip-lookup
        feature: Identification
        action: IP to company lookup
        when: {endpoint: /v1/ip-lookup, channel: api}
        credits: 20
        unique: {by: [ip], within: 24h}
"""

_REPEATS, _SEEN_BEFORE, _PIXEL = 0.05, 0.10, 0.50
_RECENT = 2_000

Event = dict[str, Any]


class Batch(NamedTuple):
    """The events of one message, all of accounts of one partition. ``fresh`` of them are no repeats."""

    partition: int
    events: list[Event]
    fresh: int


def batches(count: int, seed: int = 1, partitions: int = PARTITIONS) -> Iterator[Batch]:
    """So many batches, the same for the same seed, in turn for each of the first ``partitions``: all get the same."""
    rng = random.Random(seed)
    sources = [_Source(rng, partition) for partition in range(partitions)]
    for number in range(count):
        source = sources[number % partitions]
        events = [source.event(START + (number * BATCH + index) * MS_AN_EVENT) for index in range(BATCH)]
        fresh = sum(event is not None for event in events)
        yield Batch(source.partition, [event or source.repeat() for event in events], fresh)


class _Source:
    """The accounts of one partition and their visitors."""

    def __init__(self, rng: random.Random, partition: int) -> None:
        self.partition = partition
        self._rng = rng
        names = [f"account-{number:03d}" for number in range(ACCOUNTS)]
        self._accounts = [name for name in names if partition_of(name, PARTITIONS) == partition]
        self._recent: deque[Event] = deque(maxlen=_RECENT)
        self._visitors: deque[tuple[str, str, str]] = deque(maxlen=_RECENT)

    def event(self, at: int) -> Event | None:
        """A new event at this time (ms), or None where a repeat is due."""
        rng = self._rng
        if self._recent and rng.random() < _REPEATS:
            return None
        if self._visitors and rng.random() < _SEEN_BEFORE:
            account, user_id, ip = self._visitors[rng.randrange(len(self._visitors))]
        else:
            bits = rng.getrandbits(48)
            account = self._accounts[bits % len(self._accounts)]
            user_id = f"visitor-{bits:012x}"
            ip = f"10.{bits & 255}.{bits >> 8 & 255}.{bits >> 16 & 255}"
            self._visitors.append((account, user_id, ip))
        pixel = rng.random() < _PIXEL
        event_id = f"{rng.getrandbits(128):032x}"
        event = {
            "event_id": event_id,
            "account_id": account,
            "occurred_at": at,
            "endpoint": "/pixel/hit" if pixel else "/v1/ip-lookup",
            "channel": "js" if pixel else "api",
            "outcome": "processed",
            "request_id": None if pixel else f"req-{event_id[:16]}",
            "actor": None if pixel else "key-1",
            "user_id": user_id if pixel else None,
            "ip": ip,
            "domain": None,
            "plan": None,
            "quantities": {} if pixel else {"results": 1},
            "attributes": {"page": "/pricing"} if pixel else {},
        }
        self._recent.append(event)
        return event

    def repeat(self) -> Event:
        return dict(self._recent[self._rng.randrange(len(self._recent))])

"""Commands in memory, in order, bounded by number and by bytes. Not safe for threads: `Outbox` holds the lock."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from creditmeter_client.recording.segments import Segment
from creditmeter_client.recording.spool import LoadedSegment
from creditmeter_client.usage import Command


@dataclass(eq=False)
class Entry:
    """A command on its way. `size`: bytes of its line; `recorded_at`: ms since the epoch."""

    command: Command
    line: bytes
    recorded_at: int
    copy: Segment | None = None
    """The durable segment that has a copy of it."""
    origin: LoadedSegment | None = None
    """The segment that it was read back from: it doesn't count against memory."""


class MemoryQueue:
    """What waits, and what is being sent: both count against the bounds."""

    def __init__(self, max_entries: int, max_bytes: int) -> None:
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._waiting: deque[Entry] = deque()
        self._entries = 0
        self._bytes = 0

    def __len__(self) -> int:
        """Everything that is not settled, what is being sent included."""
        return self._entries

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def reserve(self, size: int) -> bool:
        """Takes the room for one entry, if there is some. Follow with `add`, or `free`."""
        if self._entries >= self._max_entries or self._bytes + size > self._max_bytes:
            return False
        self._entries += 1
        self._bytes += size
        return True

    def add(self, entry: Entry) -> None:
        self._waiting.append(entry)

    def free(self, size: int) -> None:
        self._entries -= 1
        self._bytes -= size

    def take(self, most: int) -> list[Entry]:
        """The first entries, to be sent. Each comes back by `put_back` or is freed."""
        return [self._waiting.popleft() for _ in range(min(most, len(self._waiting)))]

    def put_back(self, entries: Iterable[Entry]) -> None:
        """Entries that were taken and have to be sent again, before all others, in their order."""
        self._waiting.extendleft(reversed(list(entries)))

"""The queue between Kafka and the shell: what is fetched and not worked on yet, bounded by bytes as well as by number.

Faust bounds it by number alone: groups of a thousand one-event messages would take as many of half a megabyte each,
whenever those who work on them are slower than Kafka. And Faust's is first in, first out: a message would wait behind
all of another partition's backlog.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection
from typing import Any

from mode.utils.queues import ThrowableQueue

Place = tuple[str, int]
"""Topic and partition."""


class Lines:
    """First in, first out in each partition; the partitions in turn, one message each."""

    def __init__(self) -> None:
        self._lines: dict[Place, deque[Any]] = {}
        self._turns: deque[Place] = deque()
        self._length = 0
        self.bytes: dict[Place, int] = {}
        """Of the messages of each partition that has any."""

    def __len__(self) -> int:
        return self._length

    def append(self, event: Any) -> None:
        place = place_of(event)
        line = self._lines.get(place)
        if line is None:
            line = self._lines[place] = deque()
            self._turns.append(place)
            self.bytes[place] = 0
        line.append(event)
        self._length += 1
        self.bytes[place] += event_bytes(event)

    def bring_forward(self, blocked: Collection[Place]) -> bool:
        """Gives the next turn to the first partition in turn that is not blocked; False where there is none."""
        for _ in range(len(self._turns)):
            if self._turns[0] not in blocked:
                return True
            self._turns.rotate(-1)
        return False

    def popleft(self) -> Any:
        """The next event; IndexError where there is none."""
        place = self._turns.popleft()
        line = self._lines[place]
        event = line.popleft()
        self._length -= 1
        self.bytes[place] -= event_bytes(event)
        if line:
            self._turns.append(place)
        else:
            del self._lines[place], self.bytes[place]
        return event

    def clear(self) -> None:
        self._lines.clear()
        self._turns.clear()
        self.bytes.clear()
        self._length = 0


class WaitingQueue(ThrowableQueue[Any]):
    """Full at ``maxsize`` events, or as soon as those in it have ``most_bytes``; whoever puts waits then.

    A partition with more than ``share_bytes`` in it is crowded: Faust takes no more of that one from what is fetched,
    and goes on with the others, until it has half of that.
    """

    _queue: Lines

    def __init__(self, most_bytes: int, share_bytes: int, *args: Any, **kwargs: Any) -> None:
        self._most_bytes = most_bytes
        self._share_bytes = share_bytes
        self._when_relieved: dict[Place, Callable[[], object]] = {}
        self.bytes = 0
        """Of the messages in it."""
        super().__init__(*args, **kwargs)

    def full(self) -> bool:
        return self.bytes >= self._most_bytes or super().full()

    def has_next(self, blocked: Collection[Place] = ()) -> bool:
        """Whether an event of a partition that is not blocked waits; it is the next that `get_nowait` gives."""
        return self._queue.bring_forward(blocked)

    def put_nowait_enhanced(
        self, value: Any, *, on_pressure_high: Callable[[], object], on_pressure_drop: Callable[[], object]
    ) -> bool:
        """As Faust's, whose pressure is that of all partitions together."""
        self.force_put_nowait(value)
        place = place_of(value)
        is_crowded = self._queue.bytes.get(place, 0) > self._share_bytes
        if is_crowded and place not in self._when_relieved:
            self._when_relieved[place] = on_pressure_drop
            on_pressure_high()
        return is_crowded

    def maybe_endorse_pressure_drop(self) -> None:
        """Nothing: `_get` sees to it, by partition."""

    def clear(self) -> None:
        self.bytes = 0
        super().clear()
        for relieved in self._when_relieved.values():
            relieved()
        self._when_relieved.clear()

    def _init(self, maxsize: int) -> None:  # noqa: ARG002 -- asyncio's
        self._queue = Lines()

    def _put(self, item: Any) -> None:
        self.bytes += event_bytes(item)
        self._queue.append(item)

    def _get(self) -> Any:
        item = self._queue.popleft()
        self.bytes -= event_bytes(item)
        place = place_of(item)
        if place in self._when_relieved and self._queue.bytes.get(place, 0) <= self._share_bytes // 2:
            self._when_relieved.pop(place)()
        return item


def event_bytes(event: Any) -> int:
    """How large the message of a Faust event is."""
    return len(event.message.value or b"")


def place_of(event: Any) -> Place:
    """Where the message of a Faust event was read."""
    return event.message.topic, event.message.partition

"""The queue between Kafka and the shell: what is fetched and not worked on yet, bounded by bytes as well as by number.

Faust bounds it by number alone. A queue that holds groups of a thousand one-event messages would take as many of half a
megabyte each, whenever those who work on them are slower than Kafka.
"""

from __future__ import annotations

from typing import Any

from mode.utils.queues import ThrowableQueue


class WaitingQueue(ThrowableQueue[Any]):
    """Full at ``maxsize`` events, or as soon as those in it have ``most_bytes``; whoever puts waits then."""

    def __init__(self, most_bytes: int, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._most_bytes = most_bytes
        self.bytes = 0
        """Of the messages in it."""

    def full(self) -> bool:
        return self.bytes >= self._most_bytes or super().full()

    def clear(self) -> None:
        self.bytes = 0
        super().clear()

    def _put(self, item: Any) -> None:
        self.bytes += event_bytes(item)
        super()._put(item)

    def _get(self) -> Any:
        item = super()._get()
        self.bytes -= event_bytes(item)
        return item


def event_bytes(event: Any) -> int:
    """How large the message of a Faust event is."""
    return len(event.message.value or b"")

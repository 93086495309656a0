"""What the shell hands over, and to whom: groups of waiting messages, and the handler that carries them through."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from faust.types import EventT

from streams.log.protocols import Message, producer_of, seal_of

Groups = dict[str, list[Message]]
"""Waiting messages by topic; each partition's messages are in order."""


class Progress(NamedTuple):
    """How far a handler is with all that it was given.

    ``carried``: by (topic, partition), the next offset that is not carried through; an absent one is where it was.
    ``messages`` and ``size`` (bytes) are what waits in it and is not begun: with a group of that, it is given no more.
    ``blocked``: the (topic, partition) pairs that it is given nothing of now; what it has of them is not counted.
    """

    carried: Mapping[tuple[str, int], int]
    messages: int = 0
    size: int = 0
    blocked: Collection[tuple[str, int]] = frozenset()


class GroupHandler(Protocol):
    """Processes groups of messages. All calls come from one thread, one after another."""

    def process(self, groups: Groups) -> Progress | None:
        """Takes the messages, works for a while, and returns what may be acknowledged; None: all of them.

        While something that it was given may not be acknowledged, it is called again and again, with what has come
        meanwhile or with nothing. Raises CatchUpInterrupted, only while the shell's ``leaving`` is set: then nothing of
        what it has may be acknowledged, and it has let go of all. Any other exception ends the process.
        """

    def starts(self, places: Sequence[tuple[str, int]]) -> Mapping[tuple[str, int], int]:
        """The offsets to begin newly assigned partitions at, before they are read; absent: at the group's own.

        Nothing of them is read meanwhile, however long a store may be away. Any exception ends the process.
        """

    def assign(self, places: Sequence[tuple[str, int]]) -> None:
        """Takes newly assigned partitions on; their first group may have come before. An exception ends the process."""

    def release(self, partitions: Iterable[tuple[str, int]]) -> None:
        """Lets go of (topic, partition) pairs that now belong to another worker."""

    def abandon(self) -> None:
        """Ends a `process` that waits for Kafka or a store, by an exception; comes from another thread."""

    def close(self) -> None:
        """Lets go of everything."""


def groups_of(events: Sequence[EventT[bytes]]) -> Groups:
    """Faust's events as messages, by topic."""
    groups: Groups = {}
    for event in events:
        message = event.message
        headers = list(_header_pairs(message.headers))
        groups.setdefault(message.topic, []).append(
            Message(
                message.partition,
                message.offset,
                round(message.timestamp * 1_000),
                message.value or b"",
                producer_of(headers),
                seal_of(headers),
            )
        )
    return groups


def _header_pairs(headers: Any) -> Iterable[tuple[str, bytes | None]]:
    return headers.items() if isinstance(headers, Mapping) else headers or ()

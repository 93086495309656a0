"""Checks that the loader reads on where the store is: no record is missed, and no other log is loaded.

The loader begins behind the store's own position, not the consumer group's. Faust goes on at a topic's beginning where
the offset that it wants is gone, and says nothing; so holes are looked for here. Offsets without a record (the markers
of transactions) are no hole: a record is lost only where the log now begins behind what is read next.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Protocol

from streams import clock
from streams.loading.positions import Loaded, TopicAndPartition, loaded_of
from streams.log.protocols import InputLog, LogChanged, LostPrefix, Message

logger = logging.getLogger(__name__)

SETTLING = 10.0
"""Seconds that a partition's end may seem to lie before what was read already, while its leader comes back."""
_PAUSE = 0.2


class OutputTopics(Protocol):
    """The output topics as the loader checks them."""

    def bounds(self, place: TopicAndPartition) -> tuple[int, int]:
        """The first offset that is kept and the next one to be given. Raises LogUnavailable."""
        ...

    def record(self, place: TopicAndPartition, offset: int) -> Message | None:
        """The record at an offset that is kept; None where it holds none. Raises LogUnavailable."""
        ...


class LogTopics:
    """The output topics over their logs, by name."""

    def __init__(self, logs: Mapping[str, InputLog]) -> None:
        self._logs = logs

    @property
    def names(self) -> Collection[str]:
        """The topics."""
        return self._logs.keys()

    def bounds(self, place: TopicAndPartition) -> tuple[int, int]:
        topic, partition = place
        return self._logs[topic].bounds(partition)

    def record(self, place: TopicAndPartition, offset: int) -> Message | None:
        topic, partition = place
        return next(iter(self._logs[topic].read(partition, offset, offset + 1)), None)


class Continuity:
    """Follows the topics' partitions from where the store is.

    `compacted`: topics of which a record may be gone because a newer one of its key is there.
    `skip_lost`: go on where retention was quicker than the loader, without the rows that are lost. `patience`, in
    seconds, is for a topic that seems shorter than what is loaded.
    """

    def __init__(
        self, topics: OutputTopics, *, skip_lost: bool = False, patience: float = SETTLING,
        compacted: Collection[str] = (),
    ) -> None:  # fmt: skip
        self._topics = topics
        self._skip_lost = skip_lost
        self._compacted = compacted
        self._patience = patience
        self._next: dict[TopicAndPartition, int] = {}

    def begin(
        self, places: Sequence[TopicAndPartition], loaded: Mapping[TopicAndPartition, Loaded]
    ) -> dict[TopicAndPartition, int]:
        """Where to go on reading each place. Raises LogChanged, LostPrefix, LogUnavailable."""
        for place in places:
            self._next[place] = self._begin(place, loaded.get(place))
        return {place: self._next[place] for place in places}

    def follow(self, place: TopicAndPartition, offset: int) -> None:
        """Notes a record that is read. Raises LostPrefix where others before it were deleted unread."""
        expected = self._next.get(place)
        if expected is not None and offset > expected:
            first, _ = self._topics.bounds(place)
            if first > expected:
                self._lose(place, expected, first)
        self._next[place] = offset + 1

    def release(self, places: Iterable[TopicAndPartition]) -> None:
        """Forgets places that another process may carry on."""
        for place in places:
            self._next.pop(place, None)

    def _begin(self, place: TopicAndPartition, loaded: Loaded | None) -> int:
        if loaded is None:
            first, _ = self._topics.bounds(place)
            if first > 0:
                logger.warning(
                    "%s[%d] begins at offset %d: what stood before is deleted, and is not loaded into this store now",
                    *place, first,
                )  # fmt: skip
            return first
        check_loaded(self._topics, place, loaded, self._patience, is_compacted=place[0] in self._compacted)
        first, _ = self._topics.bounds(place)
        if first > loaded.offset + 1:
            self._lose(place, loaded.offset + 1, first)
        return max(first, loaded.offset + 1)

    def _lose(self, place: TopicAndPartition, expected: int, first: int) -> None:
        topic, partition = place
        lost = f"{topic}[{partition}]: retention deleted offsets {expected} to {first - 1} before they were loaded"
        if not self._skip_lost:
            raise LostPrefix(
                f"{lost}: their rows are missing in ClickHouse (`creditmeter audit` names them). Give the topic a "
                "longer retention. To go on without them: `creditmeter load --skip-lost`"
            )
        logger.error("%s: their rows are missing in ClickHouse, and are left out as --skip-lost says", lost)


def check_loaded(
    topics: OutputTopics, place: TopicAndPartition, loaded: Loaded, patience: float = SETTLING, *,
    is_compacted: bool = False,
) -> None:  # fmt: skip
    """Raises LogChanged where the topic is not the one that the store has loaded; LogUnavailable.

    Where retention or compaction has deleted the record only the end is compared. `patience` in seconds.
    """
    topic, partition = place
    deadline = clock.monotonic() + patience
    first, end = topics.bounds(place)
    while loaded.offset >= end and clock.monotonic() < deadline:
        clock.sleep(_PAUSE)
        first, end = topics.bounds(place)
    if loaded.offset >= end:
        raise LogChanged(
            f"{topic}[{partition}]: ClickHouse has loaded offsets up to {loaded.offset}, but the topic ends at {end}: "
            f"it was restored to an earlier copy than ClickHouse. {_ADVICE}"
        )
    if loaded.offset < first:
        return
    message = topics.record(place, loaded.offset)
    if message is None and is_compacted:
        return
    if message is None or loaded_of(message).digest != loaded.digest:
        what = "no record" if message is None else "another record"
        raise LogChanged(
            f"{topic}[{partition}]@{loaded.offset}: the topic has {what} there, not the one that ClickHouse has "
            f"loaded: it was restored to an earlier copy, and went on from there. {_ADVICE}"
        )


_ADVICE = (
    "Rows of what the log no longer has would stay beside the new ones. Put the newer copy of Kafka's data back, or "
    "empty ClickHouse, which then loads itself again: docs/operations.md, A log that was restored"
)

"""Whether what a group reads follows on what it has carried through: records that retention took must not go unseen.

Faust goes on at a topic's beginning where the offset that it wants is gone, and says nothing. Offsets without a record
(the markers of transactions) are no hole: a record is lost only where the log now begins behind what is read next.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from streams.log.group_offsets import GroupOffsets
from streams.log.protocols import LostPrefix
from streams.log.reader import KafkaReader

log = logging.getLogger(__name__)

Place = tuple[str, int]


class Positions(Protocol):
    """What the broker knows of a topic's partition."""

    def begins(self, place: Place) -> int:
        """The first offset that is kept."""
        ...

    def committed(self, places: Sequence[Place]) -> Mapping[Place, int]:
        """The next offset of each that the group has not carried through; absent where it never had any."""
        ...


class GroupPositions:
    """One group's positions in Kafka, asked without joining it."""

    def __init__(self, bootstrap: str, group: str, security: Mapping[str, str] | None = None) -> None:
        self._reader = KafkaReader(bootstrap, security=security)
        self._offsets = GroupOffsets(bootstrap, group, security)

    def begins(self, place: Place) -> int:
        return self._reader.bounds(*place)[0]

    def committed(self, places: Sequence[Place]) -> Mapping[Place, int]:
        topics = sorted({topic for topic, _ in places})
        return self._offsets.committed(topics, 1 + max(partition for _, partition in places))

    def close(self) -> None:
        self._reader.close()
        self._offsets.close()


class Continuity:
    """Follows one group through its topics. `positions` are asked at the start and where offsets are passed over."""

    def __init__(self, group: str, positions: Positions) -> None:
        self._group = group
        self._positions = positions
        self._next: dict[Place, int] = {}

    def begin(self, places: Sequence[Place]) -> None:
        """Looks at every place once. Raises LostPrefix; warns where a group that is new finds a beginning gone."""
        beginnings = [self._positions.begins(place) for place in places]
        known = self._positions.committed(places)  # asked last: what another loader does meanwhile is no hole
        for place, begins in zip(places, beginnings, strict=True):
            committed = known.get(place)
            if committed is None and begins > 0:
                log.warning(
                    "%s[%d] begins at offset %d: what stood before was deleted before %s read anything of it, and is "
                    "not in the tables", *place, begins, self._group,
                )  # fmt: skip
            elif committed is not None and committed < begins:
                raise self._lost(place, committed, begins)

    def follow(self, place: Place, offset: int) -> None:
        """Notes a record that is read. Raises LostPrefix where others before it were deleted unread."""
        expected = self._next.get(place)
        if expected is None:
            expected = self._positions.committed([place]).get(place)
        if expected is not None and offset > expected and (begins := self._positions.begins(place)) > expected:
            raise self._lost(place, expected, begins)
        self._next[place] = offset + 1

    def release(self, places: Iterable[Place]) -> None:
        """Forgets places that another process may carry on."""
        for place in places:
            self._next.pop(place, None)

    def _lost(self, place: Place, expected: int, begins: int) -> LostPrefix:
        topic, partition = place
        return LostPrefix(
            f"{topic}[{partition}]: retention deleted offsets {expected} to {begins - 1} before {self._group} had "
            "loaded them: their rows are missing in ClickHouse (`creditmeter audit` names them). Give the topic a "
            f"longer retention. To go on without them, stop every loader and set the group to what is kept: "
            f"kafka-consumer-groups --bootstrap-server ... --group {self._group} --topic {topic}:{partition} "
            "--reset-offsets --to-earliest --execute"
        )

"""How far a pipeline is behind: messages that a consumer group has not acknowledged yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from streams.log.group_offsets import GroupOffsets
from streams.log.reader import KafkaReader


class GroupLag:
    """Asks about one consumer group without joining it."""

    def __init__(self, bootstrap: str, group: str, security: Mapping[str, str]) -> None:
        self._offsets = GroupOffsets(bootstrap, group, security)
        self._reader = KafkaReader(bootstrap, security=security)

    def behind(self, topics: Sequence[str], partitions: int) -> int:
        """Messages in these topics behind what the group has acknowledged. Raises LogUnavailable, LogError."""
        return sum(self.by_partition(topics, partitions).values())

    def by_partition(self, topics: Sequence[str], partitions: int) -> dict[tuple[str, int], int]:
        """The same by topic and partition.

        Offsets that hold no record (a transaction's marker, an aborted record) are not waited for: nobody ever
        acknowledges one that is last in its partition.
        """
        committed = self._offsets.committed(topics, partitions)
        return {
            (topic, each): self._behind(topic, each, committed.get((topic, each), 0))
            for topic in topics
            for each in range(partitions)
        }

    def has_begun(self, topics: Sequence[str], partitions: int) -> bool:
        """Whether the group has ever acknowledged anything of these topics."""
        return bool(self._offsets.committed(topics, partitions))

    def members(self) -> int:
        """How many processes are in the group now. Raises LogUnavailable."""
        return self._offsets.members()

    def close(self) -> None:
        """Let go of the clients."""
        self._offsets.close()
        self._reader.close()

    def _behind(self, topic: str, partition: int, committed: int) -> int:
        low, high = self._reader.bounds(topic, partition)
        first = max(low, committed)
        if first >= high or next(iter(self._reader.read(topic, partition, first, high)), None) is None:
            return 0
        return high - first

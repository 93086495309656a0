"""An account's newest outputs, as the tail of decisions has them: what ClickHouse may not have yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from schemas.codec import Codec
from sinks.current import Unloaded
from sinks.rows import SHAPES, Record
from streams.log.decision_tail import DecisionTail
from streams.log.partitioner import partition_of
from streams.log.topics import TopicNames

MOST_BYTES = 4 << 20
"""Of the newest billed batches with lines of the account: each says the whole balance, so older ones say little."""
EVERYTHING: Mapping[str, int] = {}


def overlaid_topics(names: TopicNames) -> tuple[str, ...]:
    """The topics whose outputs change what an account is now: a tail has to follow them all."""
    return (names.billed, names.refunds, names.grants, names.holds, names.accounts)


class UnloadedOutputs:
    """The outputs of the last minute by account. Its methods may be called from any thread."""

    def __init__(self, tail: DecisionTail, codec: Codec, names: TopicNames, partitions: int) -> None:
        self._tail = tail
        self._codec = codec
        self._names = names
        self._partitions = partitions

    def of(self, account_id: str, loaded: Mapping[str, int] = EVERYTHING) -> Unloaded:
        """The account's batches, by the name of their record. `loaded`: by topic, the input offset that is loaded."""
        return self._of(overlaid_topics(self._names), account_id, loaded)

    def settings_of(self, account_id: str) -> Unloaded:
        """The batches with the account's settings alone: few, however much is charged."""
        return self._of((self._names.accounts,), account_id, EVERYTHING)

    def _of(self, topics: Sequence[str], account_id: str, loaded: Mapping[str, int]) -> Unloaded:
        partition, holding = partition_of(account_id, self._partitions), account_id.encode()
        batches: dict[str, list[Record]] = {}
        for topic in topics:
            answers = self._tail.since(topic, partition, loaded.get(topic, -1), holding)
            parts = [part for _, parts in answers for part in parts if holding in part]
            for part in _newest(parts) if topic == self._names.billed else parts:
                name, batch = self._codec.decode(part)
                items = SHAPES[name].items
                own = [item for item in batch[items] if item["account_id"] == account_id]
                if own:
                    batches.setdefault(name, []).append(batch | {items: own})
        return batches


def _newest(parts: list[bytes]) -> list[bytes]:
    """The last ones, up to `MOST_BYTES` of them."""
    size = 0
    for index in range(len(parts) - 1, -1, -1):
        size += len(parts[index])
        if size > MOST_BYTES:
            return parts[index + 1 :]
    return parts

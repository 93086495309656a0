"""The twin of `KafkaAccessWriter` on a `MemoryBroker`: writers of one topic fence each other as Kafka's do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.log.access_writer import PARTITION, WriteInterrupted
from streams.log.seals import SEAL_HEADER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streams.log.access_writer import KeyedRecord
    from streams.log.memory import MemoryBroker
    from streams.log.seals import Sealer


class MemoryAccessWriter:
    """Writes to `topic` of the broker; see `AccessWriter`."""

    def __init__(self, broker: MemoryBroker, topic: str, sealer: Sealer) -> None:
        self._broker = broker
        self._topic = topic
        self._sealer = sealer
        self._is_writer = False

    def begin(self) -> None:
        if not self._is_writer:
            self._broker.take_over(self._topic, self)
            self._is_writer = True

    def commit(self, records: Sequence[KeyedRecord]) -> int:
        with self._broker.lock:
            if not self._broker.is_writer(self._topic, self):
                self._is_writer = False
                raise WriteInterrupted(f"{self._topic}: another writer has begun")
            last = self._append(records)
            self._broker.skip(self._topic, PARTITION)  # a transaction's marker
        return last

    def release(self) -> None:
        self._is_writer = False

    def append(self, records: Sequence[KeyedRecord]) -> None:
        with self._broker.lock:
            self._append(records)

    def close(self) -> None:
        self._is_writer = False

    def _append(self, records: Sequence[KeyedRecord]) -> int:
        offset = -1
        for record in records:
            value = record.value or b""
            headers = {} if record.value is None else {SEAL_HEADER: self._sealer.seal(self._topic, PARTITION, value)}
            offset = self._broker.append(self._topic, PARTITION, value, headers=headers, key=record.key)
        return offset

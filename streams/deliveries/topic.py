"""Reading and writing the topic of deliveries: records as values, of this pipeline alone."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from schemas.errors import Undecodable
from streams.deliveries.records import CLASSES, DeliveryRecord
from streams.log.access_writer import KeyedRecord
from streams.log.keyed_writer import KeyedWriter, PlacedRecord
from streams.log.protocols import Message, RecordLog
from streams.log.seals import SealCheck, stray

if TYPE_CHECKING:
    from schemas.codec import Codec

logger = logging.getLogger(__name__)


class Written(NamedTuple):
    """A record and where it stands, or is to stand (`offset` -1)."""

    partition: int
    record: DeliveryRecord
    offset: int = -1


class DeliveryTopic:
    """The topic of one pipeline. What others wrote there counts nowhere: it is logged and skipped."""

    def __init__(self, log_: RecordLog, topic: str, seals: SealCheck, codec: Codec, writer: KeyedWriter) -> None:
        self.topic = topic
        self._log = log_
        self._seals = seals
        self._codec = codec
        self._writer = writer

    def read(self, partition: int, first: int, stop: int) -> Iterator[tuple[int, DeliveryRecord]]:
        """The records that are ours with first <= offset < stop. Raises LogError, RegistryUnavailable."""
        for message in self._log.read(partition, first, stop):
            record = self.decoded(message)
            if record is not None:
                yield message.offset, record

    def bounds(self, partition: int) -> tuple[int, int]:
        """First offset that is kept, next one to be given. Raises LogUnavailable."""
        return self._log.bounds(partition)

    def decoded(self, message: Message) -> DeliveryRecord | None:
        """The record of a message; None for one that is not for us, or that only removes another."""
        if not message.value:
            return None
        if not self._seals.is_ours(self.topic, message):
            logger.warning("%s", stray(self.topic, message))
            return None
        place = f"{self.topic}[{message.partition}]@{message.offset}"
        try:
            name, fields = self._codec.decode(message.value)
            return CLASSES[name].of(fields)
        except (Undecodable, KeyError, ValueError) as error:
            logger.warning("%s: skipped: %s; a newer version may have written it: upgrade this process", place, error)
            return None

    def write(self, records: Sequence[Written]) -> list[Written]:
        """The same with their offsets, once all are acknowledged; of one partition they stand in this order.

        Raises DeliveryFailed, RegistryUnavailable.
        """
        placed = [
            PlacedRecord(partition, KeyedRecord(record.record_key.encode(), self._encoded(record)))
            for partition, record, _ in records
        ]
        offsets = self._writer.write(placed)
        return [written._replace(offset=offset) for written, offset in zip(records, offsets, strict=True)]

    def forget(self, partition: int, keys: Sequence[str]) -> None:
        """Removes what these records are about. Raises DeliveryFailed."""
        self._writer.write([PlacedRecord(partition, KeyedRecord(key.encode(), None)) for key in keys])

    def close(self) -> None:
        """End the writer."""
        self._writer.close()

    def _encoded(self, record: DeliveryRecord) -> bytes:
        return self._codec.encode(record.schema, record.fields())

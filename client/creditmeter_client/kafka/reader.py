"""Reads billed events for consumers that keep their position with their own data.

Delivery is at-least-once, so that a batch may come again after a crash: what is not greater than the last
(source_offset, part) is skipped. Store `batch.position` in the same transaction as what you made of the batch, give the
stored positions to the next reader, and every line counts once.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient

from creditmeter_client.errors import MeterUnavailable
from creditmeter_client.kafka.schema_files import NotOurs, decode
from creditmeter_client.kafka.sealing import SEAL, Seals

logger = logging.getLogger(__name__)

_SECONDS = 15.0
_POLL = 0.5


@dataclass(frozen=True)
class Position:
    """How far one partition was read. `offset`: the next record of the topic; (source_offset, part): the last seen."""

    offset: int
    source_offset: int = -1
    part: int = -1

    def as_text(self) -> str:
        """For a column of text; `parse` reads it."""
        return f"{self.offset}:{self.source_offset}:{self.part}"

    @classmethod
    def parse(cls, text: str) -> Position:
        """Raises ValueError for anything that `as_text` did not write."""
        offset, source_offset, part = (int(number) for number in text.split(":"))
        return cls(offset, source_offset, part)


@dataclass(frozen=True)
class BilledBatch:
    """The answer to one message of `credits.requests`, or a part of it; fields as in docs/schemas.md, BilledBatch."""

    partition: int
    position: Position
    """Store this with what you make of the batch, by partition."""
    events: Sequence[Mapping[str, Any]]
    repeated: Sequence[Mapping[str, Any]]
    set_aside: Sequence[Mapping[str, Any]]
    applied: Sequence[Mapping[str, Any]]


class BilledReader:
    """Iterates over the batches of `<prefix>.billed`, each partition in order, each batch once.

    `positions`: what was stored, by partition; a partition without one is read from its beginning. `partitions`: those
    to read (None: all), so that several readers can share the work. `stop_at_end` ends the iteration where the topic
    ended when it began; otherwise it waits for more. Records without the pipeline's seal are skipped and logged.
    """

    def __init__(
        self,
        servers: str,
        *,
        positions: Mapping[int, Position] | None = None,
        partitions: Sequence[int] | None = None,
        seal_keys: Sequence[bytes] = (),
        prefix: str = "credits",
        security: Mapping[str, str] | None = None,
        stop_at_end: bool = False,
    ) -> None:
        """Raises MeterUnavailable without Kafka or topics, WrongSealKey."""
        self._topic = f"{prefix}.billed"
        self._ledger = f"{prefix}.seals"
        config = {"bootstrap.servers": servers, **(security or {})}
        topics = _described(config, [f"{prefix}.requests", self._topic, self._ledger])
        self._positions = dict(positions or {})
        self._partitions = list(range(len(topics[self._topic].partitions))) if partitions is None else list(partitions)
        self._config = config
        self._consumer: Any = self._new_consumer()
        self._seals = Seals(seal_keys, str(topics[f"{prefix}.requests"].topic_id), self._ledger)
        self._ledger_read = 0
        self._stop_at_end = stop_at_end
        self._read_ledger()
        self._consumer.assign([TopicPartition(self._topic, p, self._start(p)) for p in self._partitions])

    def __iter__(self) -> Iterator[BilledBatch]:
        """Raises MeterUnavailable where Kafka is away or offsets were deleted before they were read."""
        ended: set[int] = set()
        while not (self._stop_at_end and len(ended) == len(self._partitions)):
            message = self._consumer.poll(_POLL)
            if message is None:
                continue
            error = message.error()
            if error is not None:
                if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 -- the client's public name for it
                    ended.add(message.partition())
                    continue
                if error.retriable():
                    logger.warning("%s: %s", self._topic, error)
                    continue
                raise MeterUnavailable(f"{self._topic}: {error}")
            batch = self._batch(message)
            if batch is not None:
                yield batch

    def close(self) -> None:
        self._consumer.close()

    def __enter__(self) -> BilledReader:  # noqa: PYI034 -- Python 3.10 has no Self
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _batch(self, message: Any) -> BilledBatch | None:
        partition, offset, value = message.partition(), message.offset(), message.value() or b""
        place = f"{self._topic}[{partition}]@{offset}"
        if not self._is_ours(message):
            logger.warning("%s: a stray record, not written by this pipeline: it is skipped", place)
            return None
        try:
            record = decode("BilledBatch", value)
        except NotOurs as error:
            raise NotOurs(f"{place}: {error}") from error
        last = self._positions.get(partition, Position(0))
        if (record["source_offset"], record["part"]) <= (last.source_offset, last.part):
            return None
        position = Position(offset + 1, record["source_offset"], record["part"])
        self._positions[partition] = position
        return BilledBatch(
            partition, position, record["events"], record["repeated"], record["set_aside"], record["applied"]
        )

    def _is_ours(self, message: Any) -> bool:
        if self._is_sealed(message):
            return True
        self._read_ledger()  # a key may have been rotated since
        return self._is_sealed(message)

    def _is_sealed(self, message: Any) -> bool:
        return self._seals.is_ours(
            self._topic, message.partition(), message.offset(), message.value() or b"", _seal_in(message)
        )

    def _start(self, partition: int) -> int:
        position = self._positions.get(partition)
        low, _ = self._bounds(self._topic, partition)
        if position is None:
            return low
        if position.offset < low:
            raise MeterUnavailable(
                f"{self._topic}[{partition}]: offsets {position.offset} to {low} were deleted before they were read"
            )
        return position.offset

    def _bounds(self, topic: str, partition: int) -> tuple[int, int]:
        try:
            low, high = self._consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=_SECONDS)
        except KafkaException as error:
            raise MeterUnavailable(f"{topic}[{partition}]: {error}") from error
        return low, high

    def _read_ledger(self) -> None:
        """Reads what was added to the ledger of seals. Its records are few."""
        _, end = self._bounds(self._ledger, 0)
        if end <= self._ledger_read:
            return
        consumer = self._new_consumer()
        try:
            consumer.assign([TopicPartition(self._ledger, 0, self._ledger_read)])
            while self._ledger_read < end:
                message = consumer.poll(_SECONDS)
                if message is None:
                    raise MeterUnavailable(f"{self._ledger}: no answer within {_SECONDS:g} s")
                if message.error() is None:
                    self._seals.add_note(message.value() or b"", _seal_in(message))
                    self._ledger_read = message.offset() + 1
        finally:
            consumer.close()

    def _new_consumer(self) -> Any:
        return Consumer(
            {
                **self._config,
                "group.id": "creditmeter-billed-reader",  # never committed to: positions are the caller's
                "enable.auto.commit": False,
                "auto.offset.reset": "error",
                "enable.partition.eof": True,
                "isolation.level": "read_committed",
                "fetch.message.max.bytes": 16 << 20,
            }
        )


def _seal_in(message: Any) -> bytes | None:
    return next((value for name, value in message.headers() or () if name == SEAL), None)


def _described(config: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    admin = AdminClient(dict(config))  # it has to be there until the answers are
    try:
        futures = admin.describe_topics(TopicCollection(list(names)), request_timeout=_SECONDS)
        return {name: future.result(_SECONDS) for name, future in futures.items()}
    except (KafkaException, FutureTimeout) as error:
        raise MeterUnavailable(f"{', '.join(names)}: {error}") from error

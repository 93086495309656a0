"""The input log in Kafka, read directly: for catching up and for audits. The running stream comes through Faust."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self, cast

from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME

from streams.log.protocols import HeldBack, LogChanged, Message, first_headers, producer_of, seal_of
from streams.log.reader import KafkaReader

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from confluent_kafka import Message as Record

    Headers = Iterable[tuple[str, bytes | None]]


class KafkaInputLog:
    """The commands of one pipeline; see `InputLog`. `timeout` in seconds bounds every wait for the broker."""

    def __init__(
        self, bootstrap: str, topic: str, *, security: Mapping[str, str] | None = None, timeout: float = 30.0
    ) -> None:
        self._topic = topic
        self._reader = KafkaReader(bootstrap, security=security, timeout=timeout)

    @classmethod
    def over(cls, reader: KafkaReader, topic: str) -> Self:
        """One that shares a reader with others. `close` closes the reader, so leave it to the reader's owner."""
        log = cls.__new__(cls)
        log._topic, log._reader = topic, reader  # noqa: SLF001 -- its own
        return log

    def bounds(self, partition: int) -> tuple[int, int]:
        return self._reader.bounds(self._topic, partition)

    def read(self, partition: int, first: int, stop: int) -> Iterator[Message]:
        for message, _ in self._records(partition, first, stop):
            yield message

    def read_with_headers(self, partition: int, first: int, stop: int) -> Iterator[tuple[Message, Mapping[str, bytes]]]:
        for message, headers in self._records(partition, first, stop):
            yield message, dict(first_headers(headers))

    def _records(self, partition: int, first: int, stop: int) -> Iterator[tuple[Message, Headers | None]]:
        for message in self._reader.read(self._topic, partition, first, stop):
            if message.timestamp()[0] != TIMESTAMP_LOG_APPEND_TIME:
                raise LogChanged(
                    f"{self._topic}[{partition}]@{message.offset()}: the record's time is its producer's, not the "
                    "broker's; charges would not be the same again: see the topic's message.timestamp.type"
                )
            yield as_message(message), cast("Headers | None", message.headers())

    def held_back(self, partition: int) -> HeldBack:
        return self._reader.held_back(self._topic, partition)

    def offset_at(self, partition: int, timestamp: int) -> int:
        """The first offset whose record is not before the time (ms, the broker's); where there is none, the end."""
        return self._reader.offset_at(self._topic, partition, timestamp)

    def close(self) -> None:
        self._reader.close()


def as_message(record: Record) -> Message:
    """Converts a record of the Kafka client."""
    headers = cast("Iterable[tuple[str, bytes | None]] | None", record.headers())
    return Message(
        record.partition() or 0,
        record.offset() or 0,
        record.timestamp()[1],
        record.value() or b"",
        producer_of(headers),
        seal_of(headers),
    )

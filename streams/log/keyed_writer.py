"""Writing a compacted topic of several partitions, in which several processes may write: records with keys, sealed."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, NamedTuple, Protocol

from confluent_kafka import KafkaException, Producer

from streams import clock
from streams.log.access_writer import KeyedRecord
from streams.log.client import logger
from streams.log.output_log import ordered_config
from streams.log.protocols import DeliveryFailed
from streams.log.seals import SEAL_HEADER

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from confluent_kafka import KafkaError, Message

    from streams.log.memory import MemoryBroker
    from streams.log.seals import Sealer

_ONE_CALL = 0.5
_TIMEOUT_MS = 120_000
_SAY_EVERY = 10.0


class PlacedRecord(NamedTuple):
    """One record and the partition that it goes to."""

    partition: int
    record: KeyedRecord


class KeyedWriter(Protocol):
    """Writes records with keys; those of one partition stand there in the order of writing. Any thread, one at a time.

    After a failure nothing more is written: the process ends, and begins again with what the topic says.
    """

    def write(self, records: Sequence[PlacedRecord]) -> list[int]:
        """Their offsets, once every one of them is acknowledged. Raises DeliveryFailed: not all may be there."""
        ...

    def close(self) -> None:
        """End the client."""
        ...


class KafkaKeyedWriter:
    """`KeyedWriter` over Kafka. `sealer` is asked at each write, so that a rotated key is seen."""

    def __init__(
        self, bootstrap: str, topic: str, sealer: Callable[[], Sealer], security: Mapping[str, str] | None = None, *,
        timeout_ms: int = _TIMEOUT_MS,
    ) -> None:  # fmt: skip
        self._topic = topic
        self._sealer = sealer
        self._lock = threading.Lock()
        self._producer = Producer(
            ordered_config(bootstrap, security, linger_ms=0, message_timeout_ms=timeout_ms)
        )  # fmt: skip

    def write(self, records: Sequence[PlacedRecord]) -> list[int]:
        if not records:
            return []
        offsets = [-1] * len(records)
        failures: list[str] = []
        with self._lock:
            sealer = self._sealer()
            for place, (partition, record) in enumerate(records):
                self._produce(partition, record, sealer, self._report(place, offsets, failures))
            self._flush(failures)
        if failures:
            raise DeliveryFailed(f"{self._topic}: {len(failures)} records were not taken: {failures[0]}")
        return offsets

    def close(self) -> None:
        with self._lock:
            self._producer.purge()
            self._producer.flush(_ONE_CALL)

    def _produce(
        self, partition: int, record: KeyedRecord, sealer: Sealer, report: Callable[[KafkaError | None, Message], None]
    ) -> None:
        headers: list[tuple[str, str | bytes | None]] = []
        if record.value is not None:
            headers = [(SEAL_HEADER, sealer.seal(self._topic, partition, record.value))]
        while True:
            try:
                self._producer.produce(self._topic, record.value, record.key, partition, report, headers=headers)
            except BufferError:
                self._producer.poll(_ONE_CALL)
            except KafkaException as error:
                raise DeliveryFailed(f"{self._topic}[{partition}]: {error.args[0].str()}") from error
            else:
                return

    def _flush(self, failures: list[str]) -> None:
        say_at = clock.monotonic() + _SAY_EVERY
        try:
            while self._producer.flush(_ONE_CALL):
                if clock.monotonic() >= say_at:
                    say_at = clock.monotonic() + _SAY_EVERY
                    logger.warning("%s: %d records wait for Kafka", self._topic, len(self._producer))
        except KafkaException as error:
            failures.append(str(error.args[0].str()))

    @staticmethod
    def _report(
        place: int, offsets: list[int], failures: list[str]
    ) -> Callable[[KafkaError | None, Message], None]:  # fmt: skip
        def delivered(error: KafkaError | None, message: Message) -> None:
            if error is None:
                offsets[place] = message.offset() or 0
            else:
                failures.append(f"{error.str()} ({error.name()})")

        return delivered


class MemoryKeyedWriter:
    """The twin of `KafkaKeyedWriter`. `fault` is called before each record is written, and may raise."""

    def __init__(
        self, broker: MemoryBroker, topic: str, sealer: Sealer, fault: Callable[[], None] = lambda: None,
        after_writing: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        self._broker = broker
        self._topic = topic
        self._sealer = sealer
        self._fault = fault
        self._after_writing = after_writing

    def write(self, records: Sequence[PlacedRecord]) -> list[int]:
        offsets = [self._append(*placed) for placed in records]
        self._after_writing()
        return offsets

    def close(self) -> None:
        """Nothing is open."""

    def _append(self, partition: int, record: KeyedRecord) -> int:
        self._fault()
        value = record.value or b""
        seal = {} if record.value is None else {SEAL_HEADER: self._sealer.seal(self._topic, partition, value)}
        with self._broker.lock:
            return self._broker.append(self._topic, partition, value, headers=seal, key=record.key)

"""Writing the topic of who may do what (`<prefix>.access`): one writer at a time, whatever process it is in.

A change is: `begin` (whoever wrote before is fenced: what it has not committed will never be there), read the topic to
its end, decide, `commit`. So no change is decided on anything but the newest state, and none is lost.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple, Protocol

from confluent_kafka import KafkaException, Producer

from streams import clock
from streams.log.client import client_config
from streams.log.protocols import DeliveryFailed, LogError, LogUnavailable
from streams.log.seals import SEAL_HEADER

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from confluent_kafka import KafkaError, Message

    from streams.log.seals import Sealer

PARTITION = 0
"""The topic's only one."""
_TRANSACTION_MS = 10_000
"""For how long a transaction of a writer that died hides what stands behind it, where no other writer begins."""
_TIMEOUT = 15.0
_ONE_CALL = 5.0
_PAUSE = 0.05


class KeyedRecord(NamedTuple):
    """One record. Of those with the same key the topic keeps the newest; `value` None removes it altogether."""

    key: bytes
    value: bytes | None


class WriteInterrupted(LogError):
    """The records may or may not be there: another writer took over, or Kafka did not answer.

    After the next `begin` the topic says which: read it to its end, and look.
    """


class AccessWriter(Protocol):
    """Writes records of access, sealed. One thread at a time."""

    def begin(self) -> None:
        """Take the writing over, unless this writer still has it. Raises LogUnavailable, LogError."""
        ...

    def commit(self, records: Sequence[KeyedRecord]) -> int:
        """Write all of them or none; returns the offset of the last. Raises WriteInterrupted.

        They are there for good then, and readers see them a moment later. Before that the next change must not be
        decided: wait until the topic is read beyond the offset, or `release`.
        """
        ...

    def release(self) -> None:
        """Let the writing go: the next `begin` takes it again, and waits until all that was committed is seen."""
        ...

    def append(self, records: Sequence[KeyedRecord]) -> None:
        """Write records that undo nothing, whoever writes meanwhile. Raises DeliveryFailed: not all may be there."""
        ...

    def close(self) -> None:
        """End every client."""
        ...


class KafkaAccessWriter:
    """`AccessWriter` over Kafka. `sealer` is asked at each write, so that a rotated key is seen."""

    def __init__(
        self, bootstrap: str, topic: str, transactional_id: str, sealer: Callable[[], Sealer],
        security: Mapping[str, str] | None = None, *, timeout: float = _TIMEOUT,
    ) -> None:  # fmt: skip
        self._bootstrap = bootstrap
        self._topic = topic
        self._sealer = sealer
        self._timeout = timeout
        self._config = client_config(
            bootstrap,
            security,
            transactional_id=transactional_id,
            transaction_timeout_ms=_TRANSACTION_MS,
            linger_ms=0,
        )
        self._plain_config = client_config(
            bootstrap,
            security,
            enable_idempotence=True,
            acks="all",
            linger_ms=0,
            message_timeout_ms=int(timeout * 1000),
        )
        self._producer: Producer | None = None
        self._plain: Producer | None = None

    def begin(self) -> None:
        if self._producer is not None:  # if another writer has begun since, `commit` says so
            return
        producer = Producer(self._config)
        deadline = clock.monotonic() + self._timeout
        while True:
            left = deadline - clock.monotonic()
            try:
                producer.init_transactions(max(0.1, min(left, _ONE_CALL)))
            except KafkaException as error:
                cause: KafkaError = error.args[0]
                if not cause.retriable():
                    raise LogError(f"{self._topic}: cannot be written: {cause.str()} ({cause.name()})") from error
                if left <= _PAUSE:
                    raise LogUnavailable(
                        f"{self._topic}: no answer from {self._bootstrap} within {self._timeout:g} s; "
                        "see that Kafka runs"
                    ) from error
                clock.sleep(_PAUSE)
            else:
                self._producer = producer
                return

    def commit(self, records: Sequence[KeyedRecord]) -> int:
        producer = self._producer
        if producer is None:
            raise WriteInterrupted(f"{self._topic}: `begin` comes first")
        sealer = self._sealer()
        deadline = clock.monotonic() + self._timeout
        offsets: list[int] = []

        def delivered(_error: KafkaError | None, message: Message) -> None:
            offsets.append(message.offset() or 0)

        try:
            producer.begin_transaction()
            for record in records:
                producer.produce(
                    self._topic, record.value, record.key, PARTITION, delivered, headers=self._headers(sealer, record)
                )
            while True:
                try:
                    producer.commit_transaction(max(0.1, min(deadline - clock.monotonic(), _ONE_CALL)))
                except KafkaException as error:
                    if not error.args[0].retriable() or clock.monotonic() >= deadline:
                        raise
                    clock.sleep(_PAUSE)
                else:
                    return max(offsets)
        except KafkaException as error:
            self._let_go(producer, error.args[0])
            raise WriteInterrupted(f"{self._topic}: {error.args[0].str()} ({error.args[0].name()})") from error

    def release(self) -> None:
        if self._producer is not None:
            self._producer.purge()
            self._producer = None

    def append(self, records: Sequence[KeyedRecord]) -> None:
        if self._plain is None:
            self._plain = Producer(self._plain_config)
        failures: list[str] = []

        def delivered(error: KafkaError | None, _message: Message) -> None:
            if error is not None:
                failures.append(f"{error.str()} ({error.name()})")

        sealer = self._sealer()
        try:
            for record in records:
                self._plain.produce(
                    self._topic, record.value, record.key, PARTITION, delivered, headers=self._headers(sealer, record)
                )
            while self._plain.flush(_ONE_CALL):
                pass
        except (KafkaException, BufferError) as error:
            failures.append(str(error))
        if failures:
            self._plain = None  # a producer that has failed for good stays so
            raise DeliveryFailed(f"{self._topic}: {len(failures)} records were not taken: {failures[0]}")

    def close(self) -> None:
        for producer in (self._producer, self._plain):
            if producer is not None:
                producer.purge()
                producer.flush(0)
        self._producer = self._plain = None

    def _headers(self, sealer: Sealer, record: KeyedRecord) -> list[tuple[str, str | bytes | None]]:
        if record.value is None:
            return []
        return [(SEAL_HEADER, sealer.seal(self._topic, PARTITION, record.value))]

    def _let_go(self, producer: Producer, cause: KafkaError) -> None:
        """The next `begin` makes a new client; what this one has open is taken back where that can be done."""
        self._producer = None
        if cause.txn_requires_abort():
            with suppress(KafkaException):  # then the next writer's `begin` does it
                producer.abort_transaction(_ONE_CALL)
        producer.purge()

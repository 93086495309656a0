"""The producer with which `emit` and users' own programs put commands into the input log."""

from __future__ import annotations

import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from confluent_kafka import KafkaError, KafkaException, Producer

from metering.mistakes import CHECKS, first_mistake
from metering.records import Command
from schemas.errors import Unencodable
from schemas.reading import MAX_EVENTS
from streams import clock
from streams.log.client import MESSAGE_BYTES, logger
from streams.log.output_log import ordered_config
from streams.log.partitioner import partition_of
from streams.log.protocols import PRODUCER_HEADER, DeliveryFailed, LogError
from streams.log.topics import TopicNames, partition_count

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from confluent_kafka import Message

    from schemas.codec import Codec

RECORD_NAME: Mapping[Command, str] = {
    Command.HOLD: "Hold",
    Command.REFUND: "RefundRequest",
    Command.GRANT: "Grant",
    Command.ACCOUNT: "AccountUpdate",
    Command.PRICE_BOOK: "PriceBook",
}
_POLL = 0.2
_TICK = 0.005


class TooLarge(LogError):
    """A record that is too large for a message."""


class Delivery(NamedTuple):
    """What became of one message: some events, or one other command. `offset` is -1 where there is an error."""

    partition: int
    offset: int
    records: list[Mapping[str, Any]]
    error: str | None


@dataclass(frozen=True, slots=True)
class Batching:
    """When waiting events become a message: at this many, this many bytes, or this many seconds after the first.

    200 events are about 6 ms of a worker's time: who waits for a decision in the same partition waits for no longer
    message than that, and larger ones would save a worker 1 % only.
    """

    events: int = 200
    size: int = 512 << 10
    seconds: float = 0.02

    def __post_init__(self) -> None:
        if not 1 <= self.events <= MAX_EVENTS:
            raise ValueError(f"events: {self.events}; a batch holds 1 to {MAX_EVENTS}: a larger one is a dead letter")


@dataclass(slots=True)
class _Waiting:
    """Events of one partition that are no message yet, and each as its bytes."""

    since: float
    events: list[Mapping[str, Any]] = field(default_factory=list)
    encoded: list[bytes] = field(default_factory=list)
    size: int = 0


class CommandProducer:
    """Sends commands to the partitions of their accounts, in the order of the calls. Thread-safe.

    Blocks, and never drops, while Kafka is slower than the caller. After a failed delivery nothing more is sent: every
    later call raises DeliveryFailed. Sending everything again that was not reported as delivered is always right, since
    repeats are dropped by their ids.

    `on_delivery` is called for every message, from any of its threads; it must be quick and must not call back.
    `producer` goes into each message's `creditmeter-producer` header and so into dead letters. `delivery_timeout` in
    seconds bounds how long a broker that went away is waited for. Raises LogUnavailable and TopicMissing when made.
    """

    def __init__(
        self,
        bootstrap: str,
        names: TopicNames,
        codec: Codec,
        *,
        producer: str | None = None,
        batching: Batching | None = None,
        on_delivery: Callable[[Delivery], None] | None = None,
        delivery_timeout: float = 60.0,
        connect_timeout: float = 15.0,
        security: Mapping[str, str] | None = None,
    ) -> None:
        self._bootstrap = bootstrap
        self._topic = names.requests
        self._codec = codec
        self._batching = batching or Batching()
        self._on_delivery = on_delivery
        self._headers: dict[str, str | bytes | None] = {PRODUCER_HEADER: (producer or socket.gethostname()).encode()}
        self.partitions = partition_count(bootstrap, self._topic, security=security, timeout=connect_timeout)
        self._producer = Producer(
            ordered_config(
                bootstrap,
                security,
                message_timeout_ms=int(delivery_timeout * 1000),
                queue_buffering_max_kbytes=64 << 10,
            )
        )
        self._delivery_timeout = delivery_timeout
        self._waiting: dict[int, _Waiting] = {}
        self._failure: str | None = None
        self._lock = threading.RLock()
        self._closed = threading.Event()
        self._ticker = threading.Thread(target=self._tick, name="creditmeter-producer", daemon=True)
        self._ticker.start()

    def add(self, event: Mapping[str, Any]) -> None:
        """Queue a request event (a RequestEvent's fields) for the next batch of its account's partition.

        Raises Unencodable for a record that does not fit the schema, with the sentence that `emit` has for the first
        wrong field (metering/mistakes.py), TooLarge, DeliveryFailed. The mapping must not be changed afterwards.
        """
        value, size = encoded_event(self._codec, event)
        partition = partition_of(event["account_id"], self.partitions)
        with self._lock:
            self._check()
            waiting = self._waiting.get(partition)
            if waiting is not None and waiting.size + size > self._batching.size:
                self._send_waiting(partition)
                waiting = None
            if waiting is None:
                waiting = self._waiting[partition] = _Waiting(clock.monotonic())
            waiting.events.append(event)
            waiting.encoded.append(value)
            waiting.size += size
            if len(waiting.events) >= self._batching.events:
                self._send_waiting(partition)

    def send_command(self, name: str, record: Mapping[str, Any], partition: int | None = None) -> None:
        """Queue a command by its word: refund, grant, account, price_book (request is `add`).

        It goes behind the events that were added before it. A price book goes to every partition, or to `partition`
        alone where a publication that was cut short is resumed. Raises as `add`.
        """
        command = Command(name)
        if command is Command.REQUEST:
            self.add(record)
            return
        value = encoded(self._codec, command, record)
        if partition is not None:
            partitions = [partition]
        elif command is Command.PRICE_BOOK:
            partitions = list(range(self.partitions))
        else:
            partitions = [partition_of(record["account_id"], self.partitions)]
        with self._lock:
            for number in partitions:
                self._send_waiting(number)
                self._send(number, value, [record])

    def flush(self) -> None:
        """Return when everything that was given is acknowledged. Raises DeliveryFailed. Bounded by delivery_timeout."""
        with self._lock:
            self._check()
            for partition in list(self._waiting):
                self._send_waiting(partition)
        while self._serve(self._producer.flush, _POLL):
            if self._failure is not None:
                self._producer.purge(in_flight=False, blocking=False)
        self._check()

    def close(self) -> None:
        """Flush and end; the second time does nothing. Raises DeliveryFailed where something was not delivered."""
        if self._closed.is_set():
            return
        try:
            self.flush()
        finally:
            self._closed.set()
            self._ticker.join()
            self._failure = self._failure or "the producer is closed"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _send_waiting(self, partition: int) -> None:
        waiting = self._waiting.pop(partition, None)
        if waiting is not None:
            self._send(partition, self._codec.join_events(waiting.encoded), waiting.events)

    def _send(self, partition: int, value: bytes, records: list[Mapping[str, Any]]) -> None:
        def delivered(error: KafkaError | None, message: Message) -> None:
            self._delivered(partition, records, error, message)

        while True:
            self._check()
            try:
                self._producer.produce(
                    self._topic, value, partition=partition, headers=self._headers, on_delivery=delivered
                )
            except BufferError:  # the queue is full: let the caller wait
                self._serve(self._producer.poll, _POLL)
            except KafkaException as error:
                self._failure = self._failure or self._explain(partition, error.args[0])
            else:
                return

    def _delivered(
        self, partition: int, records: list[Mapping[str, Any]], error: KafkaError | None, message: Message
    ) -> None:
        text = None if error is None else self._explain(partition, error)
        self._failure = self._failure or text
        if self._on_delivery is not None:
            offset = message.offset()
            try:
                self._on_delivery(Delivery(partition, -1 if text or offset is None else offset, records, text))
            except Exception:  # noqa: BLE001 - else the client raises it from whatever call has the turn, and forgets reports
                logger.exception("on_delivery failed")

    def _explain(self, partition: int, error: KafkaError) -> str:
        place = f"{self._topic}[{partition}]"
        if error.code() == KafkaError._MSG_TIMED_OUT:  # noqa: SLF001 (their name)
            return (
                f"{place}: not acknowledged within {self._delivery_timeout:g} s by {self._bootstrap}; "
                "see that Kafka runs, then send again what was not delivered"
            )
        return f"{place}: not delivered: {error.str()} ({error.name()})"

    def _serve(self, call: Callable[[float], int], timeout: float) -> int:
        try:
            return call(timeout)
        except KafkaException as error:  # the whole producer has ended
            self._failure = self._failure or f"{self._topic}: nothing more can be sent: {error.args[0].str()}"
            return len(self._producer)

    def _tick(self) -> None:
        """Send batches that have waited long enough, and hand on reports, until closed."""
        while not self._closed.wait(_TICK):
            due = clock.monotonic() - self._batching.seconds
            try:
                with self._lock:
                    for partition in [key for key, waiting in self._waiting.items() if waiting.since <= due]:
                        self._send_waiting(partition)
            except DeliveryFailed:
                pass  # the caller's next call says it
            self._serve(self._producer.poll, 0)

    def _check(self) -> None:
        if self._failure is not None:
            self._producer.purge(in_flight=False, blocking=False)
            raise DeliveryFailed(self._failure)


def encoded(codec: Codec, command: Command, record: Mapping[str, Any]) -> bytes:
    """The message of one command, an event alone in its batch. Raises as `CommandProducer.add`."""
    if command is Command.REQUEST:
        return codec.join_events([encoded_event(codec, record)[0]])
    try:
        value = codec.encode(RECORD_NAME[command], record)
    except Unencodable as error:
        raise _in_words(command, record, error) from error
    if len(value) > MESSAGE_BYTES:
        raise TooLarge(f"the {command} has {len(value)} bytes, {MESSAGE_BYTES} is the most")
    return value


def encoded_event(codec: Codec, event: Mapping[str, Any]) -> tuple[bytes, int]:
    """An event as `Codec.join_events` takes it, and its bytes in a message alone. Raises as `CommandProducer.add`."""
    try:
        value = codec.encode_event(event)
    except Unencodable as error:
        raise _in_words(Command.REQUEST, event, error) from error
    size = len(codec.join_events([value]))
    if size > MESSAGE_BYTES:
        what = f"event {event['event_id']!r}"
        raise TooLarge(f"{what} has {size} bytes, {MESSAGE_BYTES} is the most; shorten its fields")
    return value, size


def _in_words(command: Command, record: Mapping[str, Any], error: Unencodable) -> Unencodable:
    """The error with the sentence for the first wrong field; as it is where the rules of metering know none."""
    if command not in CHECKS or not isinstance(record, Mapping):
        return error
    return Unencodable(first_mistake(command, {name: _plain(value) for name, value in record.items()}) or str(error))


def _plain(value: Any) -> Any:
    """A field's value in the plain types that `metering` judges, where the schema takes its relatives too."""
    if isinstance(value, Mapping):
        return {name: _plain(inner) for name, inner in value.items()}
    return str(value) if isinstance(value, str) else value

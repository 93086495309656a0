"""Sends messages to the input as they are, with headers of the caller's: for what is to be decided again."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from confluent_kafka import KafkaError, Message, Producer

from streams.log.output_log import ordered_config
from streams.log.protocols import DeliveryFailed

_POLL_SECONDS = 0.2


class KafkaRawSender:
    """Sends in order to chosen partitions; `finish` before anything is believed to be there."""

    def __init__(self, bootstrap: str, topic: str, security: Mapping[str, str], *, timeout_ms: int) -> None:
        self._topic = topic
        self._producer = Producer(ordered_config(bootstrap, security, message_timeout_ms=timeout_ms))
        self._failures: list[str] = []
        self._places: dict[str, tuple[int, int]] = {}

    def send(self, partition: int, value: bytes, headers: Mapping[str, bytes], name: str) -> None:
        """Queue one message; `name` is what the caller knows it by. Waits while the queue is full."""
        carried: list[tuple[str, str | bytes | None]] = list(headers.items())
        delivered = self._delivered(name)
        while True:
            try:
                self._producer.produce(self._topic, value, partition=partition, headers=carried, on_delivery=delivered)
            except BufferError:
                self._producer.poll(_POLL_SECONDS)
            else:
                return

    def finish(self) -> dict[str, tuple[int, int]]:
        """(partition, offset) of each message by its name, once all are acknowledged. Raises DeliveryFailed."""
        while self._producer.flush(_POLL_SECONDS):
            pass
        if self._failures:
            raise DeliveryFailed("\n  ".join(["not acknowledged; send them again:", *self._failures]))
        return self._places

    def _delivered(self, name: str) -> Callable[[KafkaError | None, Message], None]:
        def note(error: KafkaError | None, message: Message) -> None:
            if error is not None:
                self._failures.append(f"{name}: {message.topic()}[{message.partition()}]: {error.str()}")
            else:
                self._places[name] = message.partition() or 0, message.offset() or 0

        return note

"""Sending dead letters to the input again, each marked with the place that it comes from."""

from __future__ import annotations

from collections.abc import Callable

from confluent_kafka import KafkaError, Message, Producer

from application.dead_letters.reading import Place
from application.dead_letters.resent import CORRECTED_HEADER, REPLAY_HEADER
from application.errors import Failed
from application.pipeline import Cluster
from streams.log.output_log import ordered_config
from streams.log.protocols import PRODUCER_HEADER

_DELIVERY_MS = 120_000
_POLL_SECONDS = 0.2


class Replayer:
    """Sends messages in order; `finish` before anything is believed to be there."""

    def __init__(self, cluster: Cluster) -> None:
        self._topic = cluster.names.requests
        config = ordered_config(cluster.bootstrap, cluster.security, message_timeout_ms=_DELIVERY_MS)
        self._producer = Producer(config)
        self._failures: list[str] = []
        self._offsets: dict[Place, tuple[int, int]] = {}

    def send(self, partition: int, value: bytes, producer: str | None, place: Place, *, corrected: bool) -> None:
        """Queue one message, with headers that say who sent it first, what it is a replay of, and if it was edited."""
        headers: list[tuple[str, str | bytes | None]] = [(REPLAY_HEADER, str(place).encode())]
        if producer is not None:
            headers.insert(0, (PRODUCER_HEADER, producer.encode()))
        if corrected:
            headers.append((CORRECTED_HEADER, b"true"))
        delivered = self._delivered(place)
        while True:
            try:
                self._producer.produce(self._topic, value, partition=partition, headers=headers, on_delivery=delivered)
            except BufferError:
                self._producer.poll(_POLL_SECONDS)
            else:
                return

    def finish(self) -> dict[Place, tuple[int, int]]:
        """The partition and offset that each replay has got, once all are acknowledged. Raises Failed."""
        while self._producer.flush(_POLL_SECONDS):
            pass
        if self._failures:
            raise Failed("\n  ".join(["Not acknowledged; replay them again:", *self._failures]))
        return self._offsets

    def _delivered(self, place: Place) -> Callable[[KafkaError | None, Message], None]:
        def note(error: KafkaError | None, message: Message) -> None:
            if error is not None:
                self._failures.append(f"{place}: {message.topic()}[{message.partition()}]: {error.str()}")
            else:
                self._offsets[place] = message.partition() or 0, message.offset() or 0

        return note

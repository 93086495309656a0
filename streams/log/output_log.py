"""The output topics in Kafka: ordered, without gaps, acknowledged by every in-sync replica.

Faust's own producer cannot be made idempotent, so outputs go out through confluent-kafka's.
"""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaError, KafkaException, Producer

from streams import clock
from streams.log.client import client_config, logger
from streams.log.input_log import as_message
from streams.log.protocols import DeliveryFailed
from streams.log.reader import KafkaReader
from streams.log.seals import SEAL_HEADER

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from confluent_kafka import Message

    from streams.log.seals import Sealer

_POLL = 0.2
_SAY_EVERY = 10.0


def ordered_config(bootstrap: str, security: Mapping[str, str] | None, **settings: Any) -> dict[str, Any]:
    """Settings of a producer that keeps each partition an ordered log without gaps and without doubles.

    `enable.gapless.guarantee`: when one message of a partition fails, those after it fail too, instead of going out.
    """
    return client_config(
        bootstrap,
        security,
        **{
            "enable_idempotence": True,
            "enable_gapless_guarantee": True,
            "acks": "all",
            "linger_ms": 5,
            "batch_size": 1 << 20,
            "batch_num_messages": 10_000,
            "compression_type": "lz4",
            "partitioner": "murmur2_random",
            **settings,
        },
    )


class KafkaOutputLog:
    """A worker's outputs; see `OutputLog`. Used by one thread at a time; `abandon` may come from any.

    There is no time limit on delivery: a broker that restarts is waited for (the log says so every 10 s), since giving
    up would only mean to begin again. `timeout`, in seconds, is for reading `last_position`.

    With `seals` every record gets its seal, and no position is believed of a record without the right one. A sender to
    the input topic has none: commands are judged by what they say.
    """

    def __init__(
        self,
        bootstrap: str,
        position_of: Callable[[bytes], tuple[int, int]],
        *,
        security: Mapping[str, str] | None = None,
        seals: Sealer | None = None,
        timeout: float = 30.0,
        **settings: Any,
    ) -> None:
        self._bootstrap = bootstrap
        self._seals = seals
        self._position_of = position_of
        self._reader = KafkaReader(bootstrap, security=security, timeout=timeout)
        self._producer = Producer(
            ordered_config(
                bootstrap,
                security,
                **{
                    "message_timeout_ms": 0,
                    "queue_buffering_max_messages": 100_000,
                    "queue_buffering_max_kbytes": 128 << 10,
                    **settings,
                },
            )
        )
        self._failure: str | None = None
        self._abandoned = threading.Event()
        self._unacknowledged: Counter[int] = Counter()
        self._is_moving = True
        """Whether, since the last look, an output was acknowledged, or none was waiting."""
        self._say_at = 0.0

    def last_position(self, topic: str, partition: int) -> tuple[int, int] | None:
        seals = self._seals

        def counts(message: Message) -> bool:
            return seals is None or seals.is_ours(topic, as_message(message))

        record = self._reader.last(topic, partition, counts)
        return None if record is None else self._position_of(record.value() or b"")

    def send(self, topic: str, partition: int, value: bytes) -> None:
        headers: dict[str, str | bytes | None] | None = None
        if self._seals is not None:
            headers = {SEAL_HEADER: self._seals.seal(topic, partition, value)}
        self._is_moving = self._is_moving or not self._waiting()
        while True:
            self._check()
            try:
                self._producer.produce(topic, value, partition=partition, headers=headers, on_delivery=self._delivered)
            except BufferError:  # the queue is full: the broker is slower than we are
                self._serve(self._producer.poll, _POLL)
                self._say_if_stuck()
            except KafkaException as error:
                self._fail(topic, partition, error.args[0])
            else:
                self._unacknowledged[partition] += 1
                self._serve(self._producer.poll, 0)
                return

    def serve(self, seconds: float) -> None:
        # A flush does not wait for more to fill a batch with, as sends otherwise do (linger).
        self._serve(self._producer.flush if seconds else self._producer.poll, seconds)
        self._check()
        self._say_if_stuck()

    def unacknowledged(self, partition: int) -> int:
        return self._unacknowledged[partition]

    def wait(self) -> None:
        while self._serve(self._producer.flush, _POLL):
            self._check()
            self._say_if_stuck()
        self._check()

    def abandon(self) -> None:
        """Let a `send` or `wait` that blocks end with DeliveryFailed: the process is to stop and Kafka is away."""
        self._abandoned.set()

    def close(self) -> None:
        self._failure = self._failure or "the output log is closed"
        self._producer.purge()
        self._serve(self._producer.flush, _POLL)
        self._reader.close()

    def _say_if_stuck(self) -> None:
        now = clock.monotonic()
        waiting = self._waiting()
        if self._is_moving or not waiting:
            self._is_moving, self._say_at = False, now + _SAY_EVERY
        elif now >= self._say_at:
            self._say_at = now + _SAY_EVERY
            logger.warning("%d outputs wait for Kafka at %s", waiting, self._bootstrap)

    def _waiting(self) -> int:
        """Outputs without an acknowledgement; the producer's own length also counts its reports of errors."""
        return sum(self._unacknowledged.values())

    def _serve(self, call: Callable[[float], int], timeout: float) -> int:
        """Poll or flush; both also raise what ended the whole producer, after the reports that say where it began."""
        try:
            return call(timeout)
        except KafkaException as error:
            if self._failure is None:
                self._failure = f"outputs cannot be sent any more: {error.args[0].str()} ({error.args[0].name()})"
            return len(self._producer)

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is None:
            self._unacknowledged[message.partition() or 0] -= 1
            self._is_moving = True
        else:
            self._fail(message.topic() or "?", message.partition() or 0, error)

    def _fail(self, topic: str, partition: int, error: KafkaError) -> None:
        if self._failure is None:  # those that fail after it fail because of it
            self._failure = f"{topic}[{partition}]: an output was not taken: {error.str()} ({error.name()})"

    def _check(self) -> None:
        if self._abandoned.is_set() and self._failure is None:
            self._failure = f"stopped while {len(self._producer)} outputs waited for Kafka at {self._bootstrap}"
        if self._failure is not None:
            self._producer.purge(blocking=False)  # what is still queued, for other partitions too
            raise DeliveryFailed(self._failure)

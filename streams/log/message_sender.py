"""Sending messages to the input log from an event loop: Kafka's producer behind a thread that serves it.

What an event loop calls never blocks. Reports come from the thread, all of one turn in one call. After a failed
delivery nothing of that producer counts: whatever was under way is reported as unknown, and once a broker answers again
a new producer takes over, without a restart of the process (SERVER.md 1).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from confluent_kafka import KafkaError, KafkaException, Producer

from streams import clock
from streams.log.client import logger
from streams.log.output_log import ordered_config
from streams.log.protocols import PRODUCER_HEADER, LogUnavailable

if TYPE_CHECKING:
    from confluent_kafka import Message

_POLL = 0.1
_PROBE = 2.0
_PAUSE = 0.25


class Report(NamedTuple):
    """What became of one message: its offset, or None where it may or may not be in the log."""

    token: int
    offset: int | None


Reports = Callable[[Sequence[Report]], None]
"""Called from a thread of the sender's own; must be quick."""


class MessageSender(Protocol):
    """Sends messages to chosen partitions of the input log. `start` comes first; `reports` gets each token once."""

    def start(self, reports: Reports) -> None: ...

    def send(self, partition: int, value: bytes, producer: str, token: int) -> None:
        """Queue one message; never blocks. Raises LogUnavailable: then it is not in the log, and has no report."""
        ...

    def problem(self) -> str | None:
        """Why nothing can be sent now; None: all is well."""
        ...

    def close(self, seconds: float) -> None:
        """Wait up to `seconds` for what is under way, then end; what is left is reported as unknown."""
        ...


class KafkaMessageSender:
    """`MessageSender` over a cluster. `delivery_timeout` in seconds: when a message counts as failed."""

    def __init__(
        self, bootstrap: str, topic: str, security: Mapping[str, str] | None = None, *, delivery_timeout: float = 20.0
    ) -> None:
        self._bootstrap = bootstrap
        self._topic = topic
        self._config = ordered_config(
            bootstrap, security, message_timeout_ms=int(delivery_timeout * 1_000), linger_ms=0,
            queue_buffering_max_messages=500_000, queue_buffering_max_kbytes=256 << 10,
        )  # fmt: skip
        self._lock = threading.Lock()
        self._producer = Producer(self._config)
        self._under_way: set[int] = set()
        self._reported: list[Report] = []
        self._failure: str | None = None
        self._closing = threading.Event()
        self._reports: Reports = lambda _reports: None
        self._thread = threading.Thread(target=self._run, name="creditmeter-sender", daemon=True)

    def start(self, reports: Reports) -> None:
        self._reports = reports
        self._thread.start()

    def send(self, partition: int, value: bytes, producer: str, token: int) -> None:
        headers: dict[str, str | bytes | None] = {PRODUCER_HEADER: producer.encode()}

        def delivered(error: KafkaError | None, message: Message) -> None:
            self._delivered(token, error, message)

        with self._lock:
            if self._failure is not None:
                raise LogUnavailable(self._failure)
            self._under_way.add(token)  # before its report may come
            try:
                self._producer.produce(self._topic, value, partition=partition, headers=headers, on_delivery=delivered)
            except (BufferError, KafkaException) as error:
                self._under_way.discard(token)
                raise LogUnavailable(f"{self._topic}[{partition}]: nothing more can be queued: {error}") from error

    def problem(self) -> str | None:
        return self._failure

    def close(self, seconds: float) -> None:
        deadline = clock.monotonic() + seconds
        while self._under_way and clock.monotonic() < deadline and self._thread.is_alive():
            clock.sleep(0.01)
        self._closing.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._closing.is_set():
            self._serve(_POLL)
            if self._failure is not None:
                self._begin_anew()
        self._give_up("the sender is closed")

    def _serve(self, seconds: float) -> None:
        """Hand on the reports of everything that has been delivered meanwhile; waits for the first only."""
        try:
            self._producer.poll(seconds)
        except KafkaException as error:
            self._fail(f"{self._topic}: {error.args[0].str()}")
        reported, self._reported = self._reported, []
        if reported:
            self._reports(reported)

    def _delivered(self, token: int, error: KafkaError | None, message: Message) -> None:
        self._under_way.discard(token)
        self._reported.append(Report(token, None if error is not None else message.offset()))
        if error is not None:
            self._fail(f"{self._topic}[{message.partition()}]: not delivered: {error.str()} ({error.name()})")

    def _fail(self, why: str) -> None:
        if self._failure is None:
            logger.error("%s; a new producer takes over once Kafka answers", why)
            self._failure = why

    def _give_up(self, why: str) -> None:
        """Report everything that is under way as unknown."""
        with self._lock:  # `send` has put in everything that it took
            self._failure = self._failure or why
        self._producer.purge()
        self._serve(0)
        left, self._under_way = self._under_way, set()
        if left:
            self._reports([Report(token, None) for token in sorted(left)])

    def _begin_anew(self) -> None:
        """A new producer, once a broker has answered it that the topic is there: one that just came back may not know.

        Until then nothing is taken: it would be neither stored nor refused, and its sender told so late.
        """
        self._give_up("")
        producer = Producer(self._config)
        while not self._closing.is_set():
            if not self._is_known(producer):
                self._closing.wait(_PAUSE)
                continue
            with self._lock:
                self._producer, self._failure = producer, None
            logger.warning("%s: Kafka answers again", self._topic)
            return

    def _is_known(self, producer: Producer) -> bool:
        try:
            answer = producer.list_topics(self._topic, timeout=_PROBE).topics[self._topic]
        except KafkaException:
            return False
        return answer.error is None and bool(answer.partitions)

"""The twins of `KafkaMessageSender` and `KafkaTailSource` on a `MemoryBroker`."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from streams import clock
from streams.log.decision_tail import TailRecord
from streams.log.message_sender import Report, Reports
from streams.log.protocols import PRODUCER_HEADER, LogUnavailable

if TYPE_CHECKING:
    from streams.log.memory import MemoryBroker

_LOOK = 0.02
_ENOUGH = 500


class _Sent(NamedTuple):
    partition: int
    value: bytes
    producer: str
    token: int


class MemoryMessageSender:
    """A thread puts what is sent into the log, reports it, and gives the worker its turn.

    `lets_through` can be cleared, as a broker that does not answer; `fail` is a delivery that failed, `mend` a broker
    that answers again.
    """

    def __init__(self, broker: MemoryBroker, topic: str, after_sending: Callable[[], None]) -> None:
        self._broker = broker
        self._topic = topic
        self._after_sending = after_sending
        self._lock = threading.Lock()
        self._queue: deque[_Sent] = deque()
        self._queued = threading.Event()
        self._failure: str | None = None
        self._closing = threading.Event()
        self.lets_through = threading.Event()
        self.lets_through.set()
        self._reports: Reports = lambda _reports: None
        self._thread = threading.Thread(target=self._run, name="memory-sender", daemon=True)

    def start(self, reports: Reports) -> None:
        self._reports = reports
        self._thread.start()

    def send(self, partition: int, value: bytes, producer: str, token: int) -> None:
        if self._failure is not None:
            raise LogUnavailable(self._failure)
        with self._lock:
            self._queue.append(_Sent(partition, value, producer, token))
            self._queued.set()

    def problem(self) -> str | None:
        return self._failure

    def fail(self, why: str = "not delivered") -> None:
        """What is under way is lost or not, nobody knows; nothing can be sent until `mend`."""
        self._failure = why
        self._report_lost()

    def mend(self) -> None:
        self._failure = None

    def close(self, seconds: float) -> None:
        deadline = clock.monotonic() + seconds
        while self._queue and clock.monotonic() < deadline:
            clock.sleep(_LOOK)
        self._closing.set()
        self._thread.join()
        self._report_lost()

    def _run(self) -> None:
        while not self._closing.is_set():
            if not (self.lets_through.wait(_LOOK) and self._queued.wait(_LOOK)):
                continue
            with self._lock:
                sent = self._queue.popleft() if self._queue and self.lets_through.is_set() else None
                if not self._queue:
                    self._queued.clear()
            if sent is None:
                continue
            headers = {PRODUCER_HEADER: sent.producer.encode()}
            offset = self._broker.append(self._topic, sent.partition, sent.value, None, sent.producer, headers)
            self._reports([Report(sent.token, offset)])
            if not self._queue:
                self._after_sending()

    def _report_lost(self) -> None:
        with self._lock:
            lost = [Report(sent.token, None) for sent in self._queue]
            self._queue.clear()
        if lost:
            self._reports(lost)


class MemoryTailSource:
    """Reads the ends of some topics of a broker in memory; waits for its appends."""

    def __init__(self, broker: MemoryBroker, topics: Sequence[str], partitions: int) -> None:
        self._broker = broker
        self._places = [(topic, partition) for topic in topics for partition in range(partitions)]
        self._next: dict[tuple[str, int], int] = {}
        self._appended = threading.Event()

    def start(self) -> None:
        self._next = {place: self._broker.bounds(*place)[1] for place in self._places}
        self._broker.listeners.append(self._appended.set)

    def poll(self, seconds: float) -> Sequence[TailRecord]:
        self._appended.wait(seconds)
        self._appended.clear()
        records: list[TailRecord] = []
        for place in self._places:
            new = [message for message in self._broker.records(*place) if message.offset >= self._next[place]]
            new = new[: max(0, _ENOUGH - len(records))]
            records.extend(TailRecord(place[0], message) for message in new)
            if new:
                self._next[place] = new[-1].offset + 1
        if len(records) == _ENOUGH:
            self._appended.set()
        return records

    def problem(self) -> str | None:
        return None

    def close(self) -> None:
        if self._appended.set in self._broker.listeners:
            self._broker.listeners.remove(self._appended.set)

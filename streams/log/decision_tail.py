"""Follows the answers of workers as they come, and keeps the recent ones: what somebody waits for is seen at once.

One thread reads `credits.billed` and the other topics that it is given, sealed records only. Each answer is kept by the
place of the input message that it answers, awaited or not, since a decision may be seen before its message's
acknowledgement. What is kept are the bytes as they came: only what is asked for is decoded. Nothing here polls: a
waiting caller's future is set from the thread.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

from schemas.batches import read_head
from schemas.errors import Undecodable
from streams import clock
from streams.log.seals import stray

if TYPE_CHECKING:
    from streams.log.protocols import Message
    from streams.log.seals import SealCheck

logger = logging.getLogger(__name__)

_POLL = 0.2


class TailRecord(NamedTuple):
    """One record of a followed topic."""

    topic: str
    message: Message


class TailSource(Protocol):
    """The ends of some topics' partitions. `start` fixes where reading begins; nothing after it is missed."""

    def start(self) -> None:
        """Begin. Raises LogError."""
        ...

    def poll(self, seconds: float) -> Sequence[TailRecord]:
        """What has come, in order within each partition; waits up to `seconds` for the first."""
        ...

    def problem(self) -> str | None:
        """Why nothing comes now; None: all is well."""
        ...

    def close(self) -> None: ...


class AnswerKey(NamedTuple):
    """Which answer: the topic that it is in, and the place of the input message."""

    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Keeping:
    """How long recent answers are kept, and in how many bytes; the oldest go first."""

    seconds: float = 60.0
    size: int = 256 << 20


@dataclass(slots=True)
class _Answer:
    """The parts of one answer as far as they have come; `whole` once the last is there."""

    parts: list[bytes] = field(default_factory=list)
    whole: bool = False


class _Kept(NamedTuple):
    key: AnswerKey
    at: float
    size: int


class DecisionTail:
    """See the module. Made within the running loop; `start` and `close` by who made it."""

    def __init__(self, source: TailSource, seals: SealCheck, keeping: Keeping | None = None) -> None:
        self._source = source
        self._seals = seals
        self._keeping = keeping or Keeping()
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._answers: dict[AnswerKey, _Answer] = {}
        self._order: deque[_Kept] = deque()
        self._places: dict[tuple[str, int], deque[AnswerKey]] = {}
        self._waiting: dict[AnswerKey, list[asyncio.Future[None]]] = {}
        self._progress: dict[int, float] = {}
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="creditmeter-tail", daemon=True)
        self.bytes = 0
        """Bytes of the answers that are kept."""
        self.lag_seconds = 0.0
        """From the broker's time of the newest record to its being read here, by this machine's clock."""

    def start(self) -> None:
        """Fix where reading begins, then follow. Raises LogError. Blocks for the broker's answer."""
        self._source.start()
        self._thread.start()

    def close(self) -> None:
        """End the thread and its client."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join()
        self._source.close()

    def problem(self) -> str | None:
        """Why answers do not come now; None: all is well."""
        return self._source.problem() if self._thread.is_alive() else "the tail of decisions has ended"

    def progressed_at(self, partition: int) -> float:
        """When an answer of this partition was last read, by the monotonic clock; -inf before the first."""
        return self._progress.get(partition, float("-inf"))

    def kept(self, key: AnswerKey) -> list[bytes] | None:
        """The messages of a whole answer that came recently, in the order of their parts; else None."""
        with self._lock:
            answer = self._answers.get(key)
            return list(answer.parts) if answer is not None and answer.whole else None

    def watch(self, key: AnswerKey) -> asyncio.Future[None]:
        """A future that is set once the answer is kept, at once where it is. Whoever gives up must `unwatch` it."""
        future: asyncio.Future[None] = self._loop.create_future()
        with self._lock:
            answer = self._answers.get(key)
            if answer is not None and answer.whole:
                future.set_result(None)
            else:
                self._waiting.setdefault(key, []).append(future)
        return future

    def unwatch(self, key: AnswerKey, future: asyncio.Future[None]) -> None:
        """Forget a future that nobody waits for any more."""
        with self._lock:
            futures = self._waiting.get(key)
            if futures is not None and future in futures:
                futures.remove(future)
                if not futures:
                    del self._waiting[key]

    def recent(self, topic: str, partition: int, holding: bytes) -> list[tuple[AnswerKey, list[bytes]]]:
        """The whole answers of a partition with these bytes somewhere in them, oldest first. From any thread."""
        return self.since(topic, partition, -1, holding)

    def since(self, topic: str, partition: int, offset: int, holding: bytes) -> list[tuple[AnswerKey, list[bytes]]]:
        """As `recent`, but only answers to input messages behind this offset."""
        with self._lock:
            answers = [
                (key, list(answer.parts))
                for key in self._places.get((topic, partition), ())
                if key.offset > offset and (answer := self._answers[key]).whole
            ]
        return [(key, parts) for key, parts in answers if any(holding in part for part in parts)]

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                records = self._source.poll(_POLL)
                ready = self._kept_now(records, clock.monotonic())
            except Exception:
                logger.exception("the tail of decisions cannot go on; who waits is told that it is pending")
                return
            if ready and not self._loop.is_closed():
                self._loop.call_soon_threadsafe(_set_all, ready)

    def _kept_now(self, records: Iterable[TailRecord], now: float) -> list[asyncio.Future[None]]:
        """Keeps what came; returns the futures of those who waited for it."""
        ready: list[asyncio.Future[None]] = []
        ours = list(self._ours(records))
        if ours:
            self.lag_seconds = max(0, clock.now_ms() - ours[-1].message.timestamp) / 1_000
        with self._lock:
            for topic, message in ours:
                ready.extend(self._keep(topic, message, now))
            self._forget(now)
        return ready

    def _ours(self, records: Iterable[TailRecord]) -> Iterator[TailRecord]:
        for record in records:
            if self._seals.is_ours(*record):
                yield record
            else:
                logger.warning("%s", stray(*record))

    def _keep(self, topic: str, message: Message, now: float) -> list[asyncio.Future[None]]:
        try:
            head = read_head(message.value)
        except Undecodable:
            return []
        self._progress[message.partition] = now
        key = AnswerKey(topic, head.source_partition, head.source_offset)
        answer = self._answers.get(key) or _Answer()
        if head.part != len(answer.parts):
            return []  # sent again by a worker that had lost its partition, or its beginning was before the tail's
        self._answers[key] = answer
        if not answer.parts:
            self._places.setdefault(key[:2], deque()).append(key)
        answer.parts.append(message.value)
        self._order.append(_Kept(key, now, len(message.value)))
        self.bytes += len(message.value)
        if head.part < head.parts - 1:
            return []
        answer.whole = True
        return self._waiting.pop(key, [])

    def _forget(self, now: float) -> None:
        oldest = now - self._keeping.seconds
        while self._order and (self._order[0].at < oldest or self.bytes > self._keeping.size):
            kept = self._order.popleft()
            self.bytes -= kept.size
            if self._answers.pop(kept.key, None) is not None:
                self._places[kept.key[:2]].remove(kept.key)  # it is the first one, but for answers sent again


def _set_all(futures: Iterable[asyncio.Future[None]]) -> None:
    for future in futures:
        if not future.done():
            future.set_result(None)

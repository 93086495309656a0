"""The topic of access read to its end and followed, so that whoever asks is answered from memory."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from schemas.errors import RegistryUnavailable, Undecodable
from streams import clock
from streams.access.records import CLASSES
from streams.access.state import AccessState
from streams.log.access_writer import PARTITION
from streams.log.protocols import LogChanged, LogError, LogUnavailable
from streams.log.seals import stray

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from schemas.codec import Codec
    from streams.access.records import AccessRecord
    from streams.log.protocols import Message, RecordLog
    from streams.log.seals import SealCheck

FOLLOW_SECONDS = 0.5
"""How often the end is looked at: a change holds everywhere within 2 s (SERVER 3)."""
PATIENCE = 5.0
"""Seconds that somebody who asks for the newest state waits."""
_SAY_EVERY = 10.0
_PAUSE = 0.005
logger = logging.getLogger(__name__)


class AccessReader:
    """Decodes the topic: only what this pipeline's processes wrote; what else is there is logged and skipped."""

    def __init__(self, log_: RecordLog, topic: str, seals: SealCheck, codec: Codec) -> None:
        self._log = log_
        self._topic = topic
        self._seals = seals
        self._codec = codec

    def bounds(self) -> tuple[int, int]:
        """First offset that is kept, and the end. Raises LogUnavailable."""
        return self._log.bounds(PARTITION)

    def offset_at(self, timestamp: int) -> int:
        """The first offset that was written at this time (ms) or later. Raises LogUnavailable."""
        return self._log.offset_at(PARTITION, timestamp)

    def read(self, first: int, stop: int) -> Iterator[tuple[int, AccessRecord | None]]:
        """Each offset with its record, None where it is not for us. Raises LogError, RegistryUnavailable."""
        for message in self._log.read(PARTITION, first, stop):
            yield message.offset, self._decoded(message)

    def _decoded(self, message: Message) -> AccessRecord | None:
        if not message.value:  # the mark that a key is gone; what it removes says itself that its time is over
            return None
        if not self._seals.is_ours(self._topic, message):
            logger.warning("%s", stray(self._topic, message))
            return None
        place = f"{self._topic}[{PARTITION}]@{message.offset}"
        try:
            name, record = self._codec.decode(message.value)
        except Undecodable as error:
            logger.warning("%s: skipped: %s; a newer version may have written it: upgrade this process", place, error)
            return None
        kind = CLASSES.get(name)
        if kind is None:
            logger.warning("%s: skipped: a %s does not belong here", place, name)
            return None
        return kind.of(record)


class AccessView:
    """The state of access, as new as the last look at the topic's end.

    `read_to_end` looks now; `follow` keeps looking in a thread of its own. `state` may be asked from any thread.
    """

    def __init__(self, reader: AccessReader) -> None:
        self._reader = reader
        self._turn = threading.Lock()
        self._next: int | None = None
        self._failure: tuple[float, Exception] | None = None
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self.state = AccessState()
        self.caught_up_at: float | None = None
        """On the monotonic clock: when the end was asked for that everything is read up to; None before the first."""

    def read_to_end(self, patience: float = PATIENCE) -> None:
        """Return when all is read that was written before this call.

        Those who ask at the same time share one look. Raises LogUnavailable after `patience` seconds, LogError.
        """
        asked_at = clock.monotonic()
        if not self._turn.acquire(timeout=patience):
            raise LogUnavailable(f"the topic of access was not read to its end within {patience:g} s; try again")
        try:
            if self.caught_up_at is not None and self.caught_up_at >= asked_at:
                return
            if self._failure is not None and self._failure[0] >= asked_at:
                raise LogUnavailable(str(self._failure[1])) from self._failure[1]
            self._look()
        finally:
            self._turn.release()

    def read_past(self, offset: int, patience: float = PATIENCE) -> None:
        """Return when the record at this offset is read: what is committed shows a moment later.

        Raises LogUnavailable after `patience` seconds, LogError.
        """
        deadline = clock.monotonic() + patience
        self.read_to_end(patience)
        while self._next is None or self._next <= offset:
            if clock.monotonic() >= deadline:
                raise LogUnavailable(f"the record {offset} of the topic of access does not show; try again")
            clock.sleep(_PAUSE)
            self.read_to_end(patience)

    def age(self) -> float:
        """Seconds since the end that everything is read up to was asked for; infinite before the first time."""
        return float("inf") if self.caught_up_at is None else clock.monotonic() - self.caught_up_at

    def follow(self, every: float = FOLLOW_SECONDS, tick: Callable[[], None] | None = None) -> None:
        """Keep looking at the end every so many seconds; after each time call `tick`. `close` ends it."""
        self._thread = threading.Thread(target=self._run, args=(every, tick), name="access view", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread, if there is one."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def _look(self) -> None:
        asked_at = clock.monotonic()
        try:
            first, end = self._reader.bounds()
            begin = first if self._next is None else self._next
            if end < begin:
                raise LogChanged(
                    f"the topic of access ends at {end}, and had been read up to {begin}: it was made again or cut; "
                    "start this process again when you know why"
                )
            for offset, record in self._reader.read(begin, end):
                if record is not None:
                    self.state.apply(record)
                self._next = offset + 1
        except (LogError, RegistryUnavailable) as error:
            self._failure = clock.monotonic(), error
            if isinstance(error, LogError):
                raise
            raise LogUnavailable(str(error)) from error
        self._next = max(begin, end)
        self.caught_up_at = asked_at

    def _run(self, every: float, tick: Callable[[], None] | None) -> None:
        said_at = clock.monotonic() - _SAY_EVERY
        while not self._ended.wait(every):
            try:
                self.read_to_end()
                if tick is not None:
                    tick()
            except Exception as error:  # it goes on whatever happens: its age says that it is behind
                if clock.monotonic() - said_at >= _SAY_EVERY:
                    said_at = clock.monotonic()
                    logger.warning("the topic of access cannot be followed: %s", error, exc_info=not _is_known(error))


def _is_known(error: Exception) -> bool:
    return isinstance(error, LogError)

"""The price book in force, known at any moment: read back once, then only what the log has grown by.

A book is written to every partition; one of them is followed. Which book counts is `BookLog`'s answer.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator

from application.errors import ErrorCode, Failed
from application.pipeline import Pipeline
from application.prices.publishing import BookLog, PublishedBook
from streams.log.protocols import InputLog, LogError, Message

logger = logging.getLogger(__name__)

_PARTITION = 0
_SECONDS = 10.0
"""Between two looks at the log's end: a book that was just published is known so much later at most."""


class BookFollower:
    """Follows the book in a thread of its own between `start` and `close`; until it is known, `book` raises Failed."""

    def __init__(self, pipeline: Pipeline, seconds: float = _SECONDS) -> None:
        self._pipeline = pipeline
        self._seconds = seconds
        self._next = -1
        self._book: PublishedBook | None = None
        self._is_known = False
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begins to follow. Returns at once."""
        self._thread = threading.Thread(target=self._follow, name="price-book", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends; waits for a look that is under way."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def book(self) -> PublishedBook:
        """The book in force. Raises Failed: UNAVAILABLE while it is not known, NOT_FOUND where none was published."""
        if not self._is_known:
            raise Failed("the price book is still being read: ask again in a moment", ErrorCode.UNAVAILABLE)
        if self._book is None:
            raise Failed("no price book was published yet", ErrorCode.NOT_FOUND)
        return self._book

    def look(self) -> None:
        """Reads what the log has grown by, the first time all back to the last publication. Raises LogError."""
        log = self._pipeline.input_log
        end = log.bounds(_PARTITION)[1]
        books = BookLog(_Since(log, self._next, end), self._pipeline.codec, self._pipeline.names.requests, 1).in_force()
        if books[_PARTITION] is not None:
            self._book = books[_PARTITION]
        self._next, self._is_known = end, True

    def _follow(self) -> None:
        while True:
            try:
                self.look()
            except LogError as error:
                logger.warning("the price book cannot be read now: %s", error)
            if self._ended.wait(self._seconds):
                return


class _Since:
    """A log from an offset up to its end at one moment."""

    def __init__(self, log: InputLog, first: int, end: int) -> None:
        self._log, self._first, self._end = log, first, end

    def bounds(self, partition: int) -> tuple[int, int]:
        first, _ = self._log.bounds(partition)
        return max(first, self._first), self._end

    def read(self, partition: int, start: int, stop: int) -> Iterator[Message]:
        return iter(self._log.read(partition, start, stop))

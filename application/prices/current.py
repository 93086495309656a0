"""The price book in force now, as a long-running process knows it: found once, then followed.

Every partition has the same book, so that the first one suffices. Finding the book reads back to its publication, in a
thread, however long that takes; nobody waits for it.
"""

from __future__ import annotations

import logging
import threading

from application.errors import ErrorCode, Failed
from application.pipeline import Pipeline
from application.prices.publishing import BookLog
from metering.book import Book
from streams.log.protocols import LogError

logger = logging.getLogger(__name__)

_FOLLOW_SECONDS = 5.0
_PARTITION = 0


class CurrentBook:
    """Knows the book in force, some seconds after it was published. `close` ends its thread."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._books = BookLog.of(pipeline)
        self._log = pipeline.input_log
        self._closing = threading.Event()
        self._book: Book | None = None
        self._reached: int | None = None
        self._thread = threading.Thread(target=self._run, name="creditmeter-book", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._closing.set()

    def book(self) -> Book:
        """The book in force. Raises Failed: UNAVAILABLE while it is looked for, CONFLICT where there is none."""
        if self._book is not None:
            return self._book
        if self._reached is None:
            raise Failed("the price book in force is still looked for; ask again", ErrorCode.UNAVAILABLE)
        raise Failed("no price book was published", ErrorCode.CONFLICT)

    def look(self) -> None:
        """Find the newest book, from what was reached before on. Raises LogError."""
        end = self._log.bounds(_PARTITION)[1]
        newest = self._books.newest(_PARTITION, after=-1 if self._reached is None else self._reached)
        if newest is not None:
            self._book = newest.book
        self._reached = end - 1

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                self.look()
            except LogError as error:
                logger.warning("the price book in force is not known: %s", error)
            self._closing.wait(_FOLLOW_SECONDS)

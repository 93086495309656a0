"""Publishing a price book: the same command in every partition of the log, so that prices are part of each.

1. Read, from each partition's end backwards, the book in force there.
2. Judge what the new book would change, at the time of publication: now, or the time that an interrupted publication
   of the same book has put into the partitions that it reached.
3. Send the book to the partitions that do not have it in force, and wait for every acknowledgement.
4. Read the books in force again: they are all the new one, or the publication has failed.

A crash after any step is mended by publishing again: step 2 finds the partitions that were reached, and keeps their
time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from application.errors import ErrorCode, Failed
from application.pipeline import Pipeline
from application.prices.in_force import check_past
from application.rerating.plan import RerateScope
from application.wording import shown_time
from metering.book import DEFAULT_LIMITS
from metering.prices import Book
from metering.validation import check_price_book
from schemas.codec import Codec
from schemas.errors import Undecodable
from schemas.price_book import BookFileError, book_id, read_book
from schemas.wire import frame_length
from streams.log.protocols import InputLog, Message, OutputLog

_FIRST_STRETCH = 1_024
_STRETCH_FACTOR = 4
_RECORD_NAME = "PriceBook"


class PublishedBook(NamedTuple):
    """A book as it stands in one partition of the log; times in ms."""

    partition: int
    offset: int
    book_id: str
    text: str
    book: Book
    published_at: int
    recorded_at: int


class Publication(NamedTuple):
    """What a publication did: `written` partitions of `partitions` got the book now."""

    book_id: str
    published_at: int
    partitions: int
    written: int
    resumed: bool

    def sentence(self) -> str:
        """The result for people."""
        if not self.written:
            return f"Already in force in all {self.partitions} partitions: {self.book_id}"
        how = "Finished the publication of" if self.resumed else "Published"
        when = shown_time(self.published_at)
        return (
            f"{how} {self.book_id}: in force in all {self.partitions} partitions, {self.written} written now, at {when}"
        )


class Rerated(NamedTuple):
    """The plan of a re-rating that lets a book change the past, and the id of the log that is published to."""

    plan: RerateScope
    log_id: str


class _PublicationSteps(NamedTuple):
    published_at: int
    missing: tuple[int, ...]
    resumed: bool


class BookLog:
    """The price books of one input log."""

    @classmethod
    def of(cls, pipeline: Pipeline) -> BookLog:
        """Those of a pipeline."""
        return cls(pipeline.input_log, pipeline.codec, pipeline.names.requests, pipeline.partitions)

    def __init__(self, log: InputLog, codec: Codec, topic: str, partitions: int) -> None:
        self._log = log
        self._codec = codec
        self._topic = topic
        self._partitions = partitions
        self._names: dict[bytes, str] = {}

    def in_force(self) -> list[PublishedBook | None]:
        """The book in force at the end of each partition; None where there is none.

        Reads back to the last publication, so it takes as long as the log has grown since. Raises LogError.
        """
        return [self._in_force(partition) for partition in range(self._partitions)]

    def publish(self, out: OutputLog, text: str, now: int, rerated: Rerated | None = None) -> Publication:
        """Put the book in force in every partition. Raises Failed, LogError, BookFileError."""
        wanted = book_id(text)
        plan = plan_publication(self.in_force(), text, max(now, self._newest()), rerated)
        record = {"book_id": wanted, "yaml": text, "published_at": plan.published_at}
        value = self._codec.encode(_RECORD_NAME, record)
        for partition in plan.missing:
            out.send(self._topic, partition, value)
        if plan.missing:
            out.wait()
            self._verify(wanted)
        return Publication(wanted, plan.published_at, self._partitions, len(plan.missing), plan.resumed)

    def _newest(self) -> int:
        """The broker's time of the newest record (ms): a slow clock here must not reach behind it."""
        newest = 0
        for partition in range(self._partitions):
            low, stop = self._log.bounds(partition)
            for message in self._log.read(partition, max(low, stop - 1), stop):
                newest = max(newest, message.timestamp)
        return newest

    def _verify(self, wanted: str) -> None:
        others = [
            f"{self._topic}[{partition}]"
            for partition, book in enumerate(self.in_force())
            if book is None or book.book_id != wanted
        ]
        if others:
            raise Failed(
                f"The book was sent and is not in force in {', '.join(others)}. Either another book was published at "
                "the same time, or this machine's clock is far ahead of the broker's: look, and publish again.",
                ErrorCode.CONFLICT,
            )

    def _in_force(self, partition: int) -> PublishedBook | None:
        """A book counts unless its time is further ahead of the log than the book before it allows."""
        candidates: list[PublishedBook] = []
        for book in self._backwards(partition):
            candidates.append(book)
            if book.published_at <= book.recorded_at:
                break
        in_force: PublishedBook | None = None
        for book in reversed(candidates):
            skew = in_force.book.future_skew if in_force else DEFAULT_LIMITS.future_skew
            if book.published_at <= book.recorded_at + skew:
                in_force = book
        return in_force

    def _backwards(self, partition: int) -> Iterator[PublishedBook]:
        low, stop = self._log.bounds(partition)
        length = _FIRST_STRETCH
        while stop > low:
            first = max(low, stop - length)
            books = [book for message in self._log.read(partition, first, stop) if (book := self._book(message))]
            yield from reversed(books)
            stop, length = first, length * _STRETCH_FACTOR

    def _book(self, message: Message) -> PublishedBook | None:
        """The book that a message holds and that a worker would accept; None for any other message."""
        try:
            header = message.value[: frame_length(message.value)]
            if self._names.get(header, _RECORD_NAME) != _RECORD_NAME:
                return None  # most messages, recognised by their first bytes
            name, record = self._codec.decode(message.value)
        except Undecodable:
            return None
        self._names[header] = name
        if name != _RECORD_NAME or check_price_book(record) is not None:
            return None
        text = record["yaml"]
        if record["book_id"] != book_id(text):
            return None
        try:
            book = read_book(text)
        except BookFileError:
            return None
        place = message.partition, message.offset
        return PublishedBook(*place, record["book_id"], text, book, record["published_at"], message.timestamp)


def plan_publication(
    books: Sequence[PublishedBook | None], text: str, now: int, rerated: Rerated | None = None
) -> _PublicationSteps:
    """Where the book has to go, and with which time. Raises Failed where it would change prices in force."""
    wanted = book_id(text)
    here = [book for book in books if book is not None and book.book_id == wanted]
    others = [book for book in books if book is not None and book.book_id != wanted]
    missing = tuple(at for at, book in enumerate(books) if book is None or book.book_id != wanted)
    begun_at = max((book.published_at for book in here), default=None)
    resumed = begun_at is not None and all(other.published_at <= begun_at for other in others)
    published_at = begun_at if begun_at is not None and resumed else now
    plan, log_id = rerated or (None, None)
    is_stale = plan is not None and not all(plan.has_read(other.partition, other.offset) for other in others)
    in_force = [*{other.book_id: other.book for other in others}.values()]
    check_past(in_force, text, published_at, log_id, plan, is_stale=is_stale)
    return _PublicationSteps(published_at, missing, resumed and bool(missing))


def publish_book(pipeline: Pipeline, text: str, now: int, plan: RerateScope | None = None) -> Publication:
    """Puts a book in force in every partition; topics that are missing are made. `now` in ms.

    `plan` is that of a re-rating, which lets the book change the past. Raises Failed, LogError, BookFileError.
    """
    pipeline.ensure_topics()
    rerated = None if plan is None else Rerated(plan, pipeline.log_id)
    return BookLog.of(pipeline).publish(pipeline.connections.output_log(), text, now, rerated)


def book_in_force(pipeline: Pipeline) -> Book:
    """The one book in force in every partition. Raises Failed where there is none, LogError."""
    published = BookLog.of(pipeline).in_force()
    books = {book.book_id: book.book for book in published if book is not None}
    if None in published or len(books) != 1:
        raise Failed(
            "No book is in force in every partition: "
            + ("none was ever published." if not books else "a publication was cut short; publish that book again."),
            ErrorCode.CONFLICT,
        )
    return books.popitem()[1]

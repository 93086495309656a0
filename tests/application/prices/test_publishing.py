"""Publishing a price book: everywhere, resumed when cut short, refused where it would change prices in force."""

from typing import Any

import pytest

from application.errors import Failed
from application.prices.publishing import BookLog, Publication, Rerated
from application.rerating.plan import RerateScope
from schemas.codec import Codec
from schemas.price_book import book_id
from streams.log.memory import MemoryBroker, MemoryInputLog
from tests.command import BOOK

TOPIC = "credits.requests"
PARTITIONS = 3
NOW = 1_770_000_000_000
DAY = 86_400_000
MINUTE = 60_000


class Sender:
    """An output log that writes at a broker's time, and may end after some records."""

    def __init__(self, broker: MemoryBroker, at: int, fail_after: int = 99) -> None:
        self._broker, self._at, self._left = broker, at, fail_after

    def send(self, topic: str, partition: int, value: bytes) -> None:
        if self._left == 0:
            raise KeyboardInterrupt
        self._left -= 1
        self._broker.append(topic, partition, value, timestamp=self._at)

    def wait(self) -> None: ...
    def close(self) -> None: ...
    def last_position(self, topic: str, partition: int) -> tuple[int, int] | None: ...


class Log:
    """A log and a publisher, at a time of its own."""

    def __init__(self) -> None:
        self.broker = MemoryBroker()
        self.codec = Codec()
        self.books = BookLog(MemoryInputLog(self.broker, TOPIC), self.codec, TOPIC, PARTITIONS)

    def publish(
        self,
        text: str,
        at: int = NOW,
        *,
        fail_after: int = 99,
        broker_at: int | None = None,
        plan: RerateScope | None = None,
    ) -> Publication:
        rerated = None if plan is None else Rerated(plan, "this log")
        return self.books.publish(Sender(self.broker, broker_at or at, fail_after), text, at, rerated)

    def add(self, partition: int, value: bytes, at: int = NOW) -> None:
        self.broker.append(TOPIC, partition, value, timestamp=at)

    def add_book(self, partition: int, text: str, at: int = NOW, **fields: Any) -> None:
        record = {"book_id": book_id(text), "yaml": text, "published_at": at} | fields
        self.add(partition, self.codec.encode("PriceBook", record), at)

    def in_force(self) -> list[tuple[str, int] | None]:
        return [book and (book.text, book.published_at) for book in self.books.in_force()]

    def count(self) -> int:
        return sum(len(self.broker.records(TOPIC, partition)) for partition in range(PARTITIONS))


@pytest.fixture
def log() -> Log:
    return Log()


def with_version(start: str, credits_: int = 30, name: str = "next") -> str:
    return (
        BOOK + f"  - version: {name}\n    effective_from: {start}\n    charges: [{{charge: a, credits: {credits_}}}]\n"
    )


def test_the_first_book_may_begin_in_the_past(log: Log) -> None:
    done = log.publish(BOOK)
    assert (done.written, done.partitions, done.resumed, done.published_at) == (3, 3, False, NOW)
    assert log.in_force() == [(BOOK, NOW)] * 3


def test_publishing_again_does_nothing(log: Log) -> None:
    log.publish(BOOK)
    done = log.publish(BOOK, NOW + DAY)
    assert (done.written, done.published_at) == (0, NOW)
    assert "Already in force" in done.sentence()
    assert log.count() == 3


@pytest.mark.parametrize("reached", [0, 1, 2])
def test_one_cut_short_is_taken_up_with_its_first_time(log: Log, reached: int) -> None:
    with pytest.raises(KeyboardInterrupt):
        log.publish(BOOK, NOW, fail_after=reached)
    done = log.publish(BOOK, NOW + DAY)
    assert done.written == 3 - reached
    assert done.resumed == (reached > 0)
    assert log.in_force() == [(BOOK, NOW if reached else NOW + DAY)] * 3
    assert log.count() == 3


def test_a_resumed_one_is_judged_at_its_first_time(log: Log) -> None:
    """Its new version began after it was published; that it has begun by now is no change of prices in force."""
    log.publish(BOOK, NOW)
    later = with_version("2026-02-05T00:00:00Z")  # three days after NOW
    with pytest.raises(KeyboardInterrupt):
        log.publish(later, NOW + 1, fail_after=1)
    done = log.publish(later, NOW + 30 * DAY)
    assert (done.written, done.resumed, done.published_at) == (2, True, NOW + 1)


@pytest.mark.parametrize(
    "changed",
    [
        BOOK.replace("credits: 20", "credits: 21"),
        BOOK.replace("price_lock: none", "price_lock: plan_period"),
        with_version("2026-01-15T00:00:00Z"),
        BOOK.replace('"2026-01"', '"2026-02"'),
    ],
)
def test_refused_where_prices_in_force_would_change(log: Log, changed: str) -> None:
    log.publish(BOOK)
    with pytest.raises(Failed, match="would change prices in force") as caught:
        log.publish(changed)
    assert "\n  " in caught.value.message
    assert log.in_force() == [(BOOK, NOW)] * 3


def test_a_version_to_come_may_be_added_changed_and_taken_back(log: Log) -> None:
    log.publish(BOOK)
    for at, text in enumerate(
        (with_version("2026-03-01T00:00:00Z"), with_version("2026-03-01T00:00:00Z", 31), BOOK), 1
    ):
        assert log.publish(text, NOW + at).written == 3
    assert log.in_force() == [(BOOK, NOW + 3)] * 3


def test_a_book_left_half_published_under_a_newer_one_is_judged_now(log: Log) -> None:
    """B reached one partition, C the two others, and its version began: B would take that back."""
    log.publish(BOOK, NOW)
    with pytest.raises(KeyboardInterrupt):
        log.publish("# b\n" + BOOK, NOW + 1, fail_after=1)
    later = with_version("2026-02-05T00:00:00Z")
    for partition in (1, 2):
        log.add_book(partition, later, NOW + 2)
    with pytest.raises(Failed, match="is in force and is missing here"):
        log.publish("# b\n" + BOOK, NOW + 30 * DAY)


def test_books_are_found_far_back_among_other_commands(log: Log) -> None:
    log.publish(BOOK)
    grant = log.codec.encode("RequestBatch", {"events": []})
    for _ in range(3_000):
        log.add(0, grant)
        log.add(1, b"poison")
    log.broker.skip(TOPIC, 1, 2_000)
    log.add(2, b"")
    assert log.in_force() == [(BOOK, NOW)] * 3


def test_commands_that_a_worker_would_refuse_are_not_in_force(log: Log) -> None:
    log.publish(BOOK)
    other = "# other\n" + BOOK
    log.add_book(0, other, book_id="0" * 64)
    log.add_book(1, "versions: []")
    log.add_book(2, other, published_at=NOW + 6 * MINUTE)
    assert log.in_force() == [(BOOK, NOW)] * 3
    log.add_book(2, other, published_at=NOW + 5 * MINUTE)
    assert log.in_force()[2] == (other, NOW + 5 * MINUTE)


def test_the_skew_that_counts_is_that_of_the_book_before(log: Log) -> None:
    strict = BOOK.replace("price_lock: none", "price_lock: none\nlimits: {future_skew: 1m}")
    log.publish(strict)
    log.add_book(0, BOOK, NOW, published_at=NOW + 2 * MINUTE)
    assert log.in_force()[0] == (strict, NOW)


def test_a_clock_far_ahead_is_found_by_reading_back(log: Log) -> None:
    with pytest.raises(Failed, match="clock is far ahead"):
        log.publish(BOOK, NOW + DAY, broker_at=NOW)
    assert log.in_force() == [None] * 3


# -- what may change the past ------------------------------------------------------------------------------------------

CHEAPER = BOOK.replace("credits: 20", "credits: 15")
YEAR_BEGIN = 1_767_225_600_000


def plan_of(text: str = CHEAPER, **fields: Any) -> RerateScope:
    said: dict[str, Any] = {
        "book_id": book_id(text), "log_id": "this log", "start": YEAR_BEGIN, "end": NOW + DAY, "accounts": None,
        "log_ends": dict.fromkeys(range(PARTITIONS), 9),
    }  # fmt: skip
    return RerateScope(**(said | fields))


def test_a_rerating_that_covers_the_past_lets_it_change(log: Log) -> None:
    log.publish(BOOK)
    done = log.publish(CHEAPER, NOW + 1, plan=plan_of())
    assert (done.written, log.in_force()) == (3, [(CHEAPER, NOW + 1)] * 3)
    again = log.publish(CHEAPER, NOW + 2)
    assert again.written == 0


def test_one_cut_short_is_taken_up_with_its_plan(log: Log) -> None:
    log.publish(BOOK)
    with pytest.raises(KeyboardInterrupt):
        log.publish(CHEAPER, NOW + 1, fail_after=1, plan=plan_of())
    with pytest.raises(Failed, match="would change prices in force"):
        log.publish(CHEAPER, NOW + 5 * DAY)
    done = log.publish(CHEAPER, NOW + 5 * DAY, plan=plan_of())
    assert (done.written, done.resumed, done.published_at) == (2, True, NOW + 1)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"book_id": "0" * 64}, f"it is of another book: {'0' * 64}"),
        ({"log_id": "other"}, "it is of another log"),
        ({"accounts": ("a", "b")}, "it looked at 2 accounts only: leave out --account"),
        ({"start": YEAR_BEGIN + 1}, "prices would change from 2026-01-01T00:00:00Z to now; it is about"),
        ({"end": NOW}, "give a --to that is later than the publication"),
        ({"log_ends": {0: 1, 1: 0, 2: 1}}, "a book was published since it was made: make it again"),
        ({"log_ends": {0: 1, 1: 1}}, "a book was published since it was made: make it again"),
    ],
)
def test_a_rerating_that_is_not_about_it_is_refused(log: Log, fields: dict[str, Any], reason: str) -> None:
    log.publish(BOOK)
    with pytest.raises(Failed, match="does not cover") as caught:
        log.publish(CHEAPER, NOW + 1, plan=plan_of(**fields))
    (line,) = caught.value.message.splitlines()[1:]
    assert reason in line
    assert log.in_force() == [(BOOK, NOW)] * 3


def test_a_plan_that_knows_nothing_of_the_prices_in_force_is_refused(log: Log) -> None:
    """New prices came meanwhile, and events were charged with them: the plan's book would take them back unseen."""
    log.publish(BOOK)
    plan = plan_of(log_ends=dict.fromkeys(range(PARTITIONS), 1))
    two = with_version("2026-02-03T00:00:00Z")
    log.publish(two, NOW + 1)
    with pytest.raises(Failed, match="a book was published since"):
        log.publish(CHEAPER, NOW + 2, plan=plan)
    assert log.in_force() == [(two, NOW + 1)] * 3

"""The price book in force at any moment: unknown, none, and the newest one as the log grows."""

from __future__ import annotations

from pathlib import Path

import pytest

from application.errors import ErrorCode, Failed
from application.in_memory import in_memory_pipeline
from application.prices.follower import BookFollower
from application.prices.publishing import publish_book
from streams import clock
from streams.log.memory import MemoryInputLog
from streams.log.protocols import LogUnavailable
from tests.application.in_memory_world import event, memory_of, priced_pipeline, send
from tests.command import BOOK

NEXT = BOOK + "  - version: next\n    effective_from: 9000-01-01T00:00:00Z\n    charges: [{charge: a, credits: 3}]\n"


def test_until_the_log_was_read_the_book_is_not_known(tmp_path: Path) -> None:
    follower = BookFollower(priced_pipeline(tmp_path))
    with pytest.raises(Failed, match="ask again") as raised:
        follower.book()
    assert raised.value.code is ErrorCode.UNAVAILABLE
    follower.look()
    assert follower.book().text == BOOK


def test_without_a_publication_there_is_none_and_then_there_is_one(tmp_path: Path) -> None:
    pipeline = in_memory_pipeline(tmp_path)
    follower = BookFollower(pipeline)
    follower.look()
    with pytest.raises(Failed) as raised:
        follower.book()
    assert raised.value.code is ErrorCode.NOT_FOUND
    publish_book(pipeline, BOOK, clock.now_ms())
    follower.look()
    assert follower.book().text == BOOK


def test_a_later_look_reads_only_what_came_since(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = priced_pipeline(tmp_path)
    follower = BookFollower(pipeline)
    follower.look()
    read = MemoryInputLog.read
    firsts: list[int] = []

    def reading(log: MemoryInputLog, partition: int, first: int, stop: int) -> object:
        firsts.append(first)
        return read(log, partition, first, stop)

    end = pipeline.input_log.bounds(0)[1]
    send(pipeline, event("e"))
    publish_book(pipeline, NEXT, clock.now_ms())
    monkeypatch.setattr(MemoryInputLog, "read", reading)
    follower.look()
    assert follower.book().text == NEXT
    assert min(firsts) >= end
    follower.look()
    assert follower.book().text == NEXT, "nothing new leaves the book as it is"


def test_a_log_that_is_away_for_a_moment_ends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = priced_pipeline(tmp_path)
    log = pipeline.input_log
    follower = BookFollower(pipeline, seconds=0.01)

    class Away:
        def bounds(self, _partition: int) -> tuple[int, int]:
            vars(pipeline)["input_log"] = log
            raise LogUnavailable("no broker")

    vars(pipeline)["input_log"] = Away()
    follower.start()
    try:
        deadline = clock.monotonic() + 60
        while not follower._is_known and clock.monotonic() < deadline:
            clock.sleep(0.01)
        assert follower.book().text == BOOK
    finally:
        follower.close()
    assert memory_of(pipeline).broker.records(pipeline.names.requests, 0)

"""Waiting until the store has loaded the outputs of a message."""

from __future__ import annotations

import asyncio
import threading

import pytest

from application.errors import ErrorCode, Failed
from application.usage.loaded import LoadedWatch
from application.usage.store import Row
from sinks.parameters import Parameters
from streams.log.topics import TopicNames
from tests.application.contract import wait_until

NAMES = TopicNames("loading")


class Store:
    """Positions of one partition of the billed topic; the questions are counted, and can be held up."""

    def __init__(self) -> None:
        self.at = -1
        self.is_away = False
        self.questions = 0
        self.lets_through = threading.Event()
        self.lets_through.set()

    async def asked(self, times: int) -> None:
        """Returns once so many questions were asked."""
        await asyncio.to_thread(wait_until, lambda: self.questions >= times, "nobody asks")

    def rows(self, sql: str, parameters: Parameters) -> list[Row]:
        assert "{topics:Array(String)}" in sql
        assert NAMES.billed in list(parameters["topics"])  # type: ignore[arg-type]
        self.questions += 1
        self.lets_through.wait(30)
        if self.is_away:
            raise Failed("away", ErrorCode.UNAVAILABLE)
        return [{"topic": NAMES.billed, "log_partition": 2, "source_offset": self.at}]


def test_it_returns_once_that_message_or_a_later_one_is_loaded() -> None:
    async def work() -> None:
        store = Store()
        watch = LoadedWatch(store, NAMES)
        waiting = [asyncio.create_task(watch.wait(NAMES.billed, 2, offset)) for offset in (5, 7)]
        other = asyncio.create_task(watch.wait(NAMES.refunds, 2, 0))
        await store.asked(3)
        assert not any(task.done() for task in waiting)
        store.is_away = True
        await store.asked(store.questions + 2)
        store.is_away, store.at = False, 6
        await waiting[0]
        assert not waiting[1].done()
        store.at = 7
        await waiting[1]
        assert not other.done()
        other.cancel()

    asyncio.run(work())


def test_those_who_ask_at_the_same_time_share_an_answer() -> None:
    async def work() -> None:
        store = Store()
        store.at = 1
        store.lets_through.clear()
        watch = LoadedWatch(store, NAMES)
        asking = [asyncio.create_task(watch.reached()) for _ in range(20)]
        await store.asked(1)
        asking[0].cancel()  # whoever gives up takes nobody's answer away
        store.lets_through.set()
        answers = await asyncio.gather(*asking[1:])
        assert store.questions == 1
        assert all(answer == {(NAMES.billed, 2): 1} for answer in answers)
        with pytest.raises(asyncio.CancelledError):
            await asking[0]

    asyncio.run(work())

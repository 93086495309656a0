"""When a group is begun: at once, after a moment, or as a whole one under load."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from mode.utils.queues import FlowControlEvent

from streams.shell.gathering import GatheringPolicy, gather
from streams.shell.handler import Groups
from streams.shell.shell import Shell, ShellSettings
from streams.shell.waiting_queue import WaitingQueue
from tests.streams.shell.handlers import NoHandler

LOADER = GatheringPolicy(messages=1_000, size=4_000_000, wait=0.2, busy_wait=0.4)
WORKER = GatheringPolicy(messages=100, size=4_000_000)


@pytest.mark.parametrize(
    ("messages", "size", "waited", "is_fresh", "left"),
    [
        (1, 100, 0.0, True, 0.2),
        (1, 100, 0.15, True, 0.05),
        (1, 100, 0.2, True, 0.0),
        (1, 100, 0.0, False, 0.0),  # it came while another group was worked on
        (499, 1_999_999, 0.0, False, 0.0),
        (1, 2_000_000, 0.0, False, 0.4),
        (500, 100, 0.0, False, 0.4),  # many small ones
        (500, 100, 0.3, True, 0.1),
        (1, 4_000_000, 0.0, True, 0.0),
        (1_000, 100, 0.0, False, 0.0),
    ],
)
def test_a_group_waits_for_others_and_under_load_until_it_is_whole(
    messages: int, size: int, waited: float, is_fresh: bool, left: float
) -> None:
    assert LOADER.left(messages, size, waited, is_fresh=is_fresh) == pytest.approx(left)


def test_what_a_worker_has_it_takes() -> None:
    for messages in (0, 1, 50, 100):
        assert WORKER.left(messages, messages * 1_000, 0.0, is_fresh=True) <= 0


def event(size: int) -> SimpleNamespace:
    return SimpleNamespace(message=SimpleNamespace(topic="billed", partition=0, value=bytes(size)))


def test_a_whole_group_is_begun_as_soon_as_it_is_there() -> None:
    """It would be waited for an hour: what is put into the queue meanwhile ends the wait."""

    async def run() -> int:
        queue = WaitingQueue(1_000_000, 1_000_000, flow_control=FlowControlEvent())
        policy = GatheringPolicy(messages=10, size=1_000, wait=3_600.0, busy_wait=3_600.0)
        gathering = asyncio.create_task(gather(queue, policy, is_fresh=True))
        for _ in range(4):
            await asyncio.sleep(0)
            assert not gathering.done()
            queue.force_put_nowait(event(250))
        await gathering
        return queue.qsize()

    assert asyncio.run(run()) == 4


class Stream:
    """Faust's stream as the shell reads it: the first message of a group comes through it, others from its queue."""

    def __init__(self, queue: WaitingQueue) -> None:
        self.channel = SimpleNamespace(queue=queue)

    def noack(self) -> Stream:
        return self

    async def events(self) -> AsyncIterator[Any]:
        while True:
            yield await self.channel.queue.get()


class Recorder(NoHandler):
    """A handler that notes how many messages each group has; the first group takes until ``more`` is set."""

    def __init__(self) -> None:
        self.groups: list[int] = []
        self.more = threading.Event()

    def process(self, groups: Groups) -> None:
        self.groups.append(sum(map(len, groups.values())))
        self.more.wait()


@pytest.mark.parametrize(("busy_wait", "groups"), [(3_600.0, [1, 100, 1]), (0.0, [1, 55])])
def test_what_came_while_a_group_was_worked_on_waits_for_a_whole_one(
    tmp_path: Path, busy_wait: float, groups: list[int]
) -> None:
    handler = Recorder()
    settings = ShellSettings("127.0.0.1:1", "g", ("t",), tmp_path, 100, group_bytes=1_000, busy_wait=busy_wait)
    shell = Shell(settings, handler)

    def message(offset: int) -> Any:
        fields = {"topic": "t", "partition": 0, "offset": offset, "timestamp": 0.0, "value": b"x" * 10, "headers": ()}
        generation = shell.app.consumer_generation_id
        return SimpleNamespace(
            message=SimpleNamespace(**fields, tracked=True, generation_id=generation), ack=lambda: None
        )

    async def until(reached: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not reached():  # noqa: ASYNC110 -- a thread appends what is waited for
                await asyncio.sleep(0.01)

    async def run() -> None:
        shell.app.flow_control.resume()
        queue = WaitingQueue(1_000_000, 1_000_000, flow_control=shell.app.flow_control)
        consuming = asyncio.create_task(shell._consume(Stream(queue)))
        queue.force_put_nowait(message(0))
        await until(lambda: handler.groups == [1])
        for offset in range(1, 56):  # half of a group and more, while the first one is worked on
            queue.force_put_nowait(message(offset))
        handler.more.set()
        if busy_wait:
            await asyncio.sleep(0.1)
            for offset in range(56, 101):
                queue.force_put_nowait(message(offset))
            await until(lambda: len(handler.groups) == 2)
            await until(lambda: not shell._in_hand)
            queue.force_put_nowait(message(101))  # alone it waits for nothing
        await until(lambda: len(handler.groups) == len(groups))
        consuming.cancel()
        await asyncio.gather(consuming, return_exceptions=True)

    asyncio.run(run())
    assert handler.groups == groups

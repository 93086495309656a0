"""What waits between Kafka and the shell is bounded by bytes: a few large messages fill it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from streams.shell.shell import Shell, ShellSettings
from streams.shell.waiting_queue import WaitingQueue
from tests.streams.shell.handlers import NoHandler

MOST = 1_000


def event(size: int, partition: int = 0) -> Any:
    return SimpleNamespace(message=SimpleNamespace(value=b"x" * size or None, topic="t", partition=partition))


@pytest.fixture
def queue(tmp_path: Path) -> WaitingQueue:
    """The one that Faust makes for the shell's topics, with Kafka flowing."""
    settings = ShellSettings("127.0.0.1:1", "g", ("t",), tmp_path, group_messages=1_024, group_bytes=MOST // 2)
    app = Shell(settings, NoHandler()).app
    app.flow_control.resume()
    made = app.topic("t").queue
    assert isinstance(made, WaitingQueue)
    return made


async def put_all(queue: WaitingQueue, sizes: list[int]) -> int:
    """How many go in before a put has to wait."""
    for number, size in enumerate(sizes):
        try:
            await asyncio.wait_for(queue.put(event(size)), 0.05)
        except TimeoutError:
            return number
    return len(sizes)


def test_small_messages_by_number_and_large_ones_by_bytes(queue: WaitingQueue) -> None:
    async def scenario() -> None:
        assert await put_all(queue, [0] * 3_000) == queue.maxsize == 2_048
        queue.clear()
        assert await put_all(queue, [400] * 10) == 3
        assert queue.bytes == 1_200
        queue.clear()
        assert await put_all(queue, [5_000] * 2) == 1  # however large: an empty queue takes one

    asyncio.run(scenario())


def test_who_waits_goes_on_when_room_is_made(queue: WaitingQueue) -> None:
    async def scenario() -> None:
        await put_all(queue, [400] * 3)
        waiting = asyncio.create_task(queue.put(event(7)))
        await asyncio.sleep(0)
        assert not waiting.done()
        queue.get_nowait()
        await waiting
        assert (queue.qsize(), queue.bytes) == (3, 807)

    asyncio.run(scenario())


def test_partitions_have_their_turns_and_each_keeps_its_order(queue: WaitingQueue) -> None:
    async def scenario() -> None:
        for size, partition in ((1, 0), (2, 0), (3, 0), (4, 1), (5, 1), (6, 2)):
            await queue.put(event(size, partition))
        taken = [queue.get_nowait().message for _ in range(3)]
        assert sorted((message.partition, len(message.value)) for message in taken) == [(0, 1), (1, 4), (2, 6)]
        await queue.put(event(7, 2))
        taken += [queue.get_nowait().message for _ in range(4)]
        for partition, sizes in enumerate([[1, 2, 3], [4, 5], [6, 7]]):
            assert [len(message.value) for message in taken if message.partition == partition] == sizes
        assert queue.empty()
        assert queue.bytes == 0

    asyncio.run(scenario())


def test_blocked_partitions_are_passed_over(queue: WaitingQueue) -> None:
    async def scenario() -> None:
        blocked = {("t", 0), ("t", 2)}
        for size, partition in ((1, 0), (2, 0), (3, 1), (4, 2), (5, 1)):
            await queue.put(event(size, partition))
        taken = []
        while queue.has_next(blocked):
            taken.append(len(queue.get_nowait().message.value))
        assert taken == [3, 5]
        assert (queue.qsize(), queue.bytes) == (3, 7), "nothing is lost"
        while queue.has_next():
            taken.append(len(queue.get_nowait().message.value))
        assert sorted(taken[2:]) == [1, 2, 4]
        assert taken.index(1) < taken.index(2)
        assert not queue.has_next()

    asyncio.run(scenario())


def test_a_crowded_partition_is_left_out_until_it_has_half_its_share(queue: WaitingQueue) -> None:
    async def scenario() -> None:
        signs: list[str] = []

        def put(size: int, partition: int) -> None:
            queue.put_nowait_enhanced(
                event(size, partition),
                on_pressure_high=lambda: signs.append(f"{partition} crowded"),
                on_pressure_drop=lambda: signs.append(f"{partition} relieved"),
            )

        for _ in range(3):
            put(400, 0)
            put(200, 1)
        put(400, 0)
        assert signs == ["0 crowded"], "said once, and of no other"
        while queue.bytes:
            queue.get_nowait()
            if queue.bytes > 400 + 200:
                assert signs == ["0 crowded"]
        assert signs == ["0 crowded", "0 relieved"]
        put(1_001, 1)
        queue.clear()
        assert signs[2:] == ["1 crowded", "1 relieved"], "nobody is left out after a rebalance"

    asyncio.run(scenario())


def test_a_rebalance_empties_it(queue: WaitingQueue) -> None:
    async def scenario() -> None:
        await put_all(queue, [400] * 3)
        queue.clear()
        assert (queue.bytes, queue.full(), await put_all(queue, [400])) == (0, False, 1)

    asyncio.run(scenario())

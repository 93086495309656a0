"""When a group is begun: at once, after a moment, or as a whole one under load."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
from mode.utils.queues import FlowControlEvent

from streams.shell.gathering import GatheringPolicy, gather
from streams.shell.waiting_queue import WaitingQueue

LOADER = GatheringPolicy(messages=1_000, size=4_000_000, wait=0.2, busy_wait=0.4)
WORKER = GatheringPolicy(messages=100, size=4_000_000)


@pytest.mark.parametrize(
    ("messages", "size", "waited", "is_fresh", "left"),
    [
        (1, 100, 0.0, True, 0.2),
        (1, 100, 0.15, True, 0.05),
        (1, 100, 0.2, True, 0.0),
        (1, 100, 0.0, False, 0.0),  # it came while another group was worked on
        (100, 499_999, 0.0, False, 0.0),
        (1, 500_000, 0.0, False, 0.4),
        (125, 100, 0.0, False, 0.4),  # many small ones
        (125, 100, 0.3, True, 0.1),
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

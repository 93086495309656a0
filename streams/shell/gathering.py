"""How long a group waits for more messages: not at all, for a moment, or, under load, until it is worth an insert."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from streams.shell.waiting_queue import WaitingQueue

LOOK = 0.01
"""Seconds between looks at the queue while a group gathers."""
BUSY_SHARE = 2
"""There is load where half of a whole group waits."""


@dataclass(frozen=True, slots=True)
class GatheringPolicy:
    """When a group is begun. Times in seconds.

    A group is whole with ``messages`` or ``size`` bytes. Its first message waits ``wait`` for others; those that came
    while another group was worked on have waited. Where there is load, what waits goes on waiting for a whole group,
    up to ``busy_wait``: fewer and larger groups, of which each row costs less.
    """

    messages: int
    size: int
    wait: float = 0.0
    busy_wait: float = 0.0

    def left(self, messages: int, size: int, waited: float, *, is_fresh: bool) -> float:
        """How much longer to wait with so much at hand; 0 or less: begin.

        ``is_fresh``: the group's first message has just come.
        """
        if messages >= self.messages or size >= self.size:
            return 0.0
        is_busy = BUSY_SHARE * messages >= self.messages or BUSY_SHARE * size >= self.size
        longest = max(self.wait if is_fresh else 0.0, self.busy_wait if is_busy else 0.0)
        return longest - waited


async def gather(queue: WaitingQueue, policy: GatheringPolicy, *, is_fresh: bool) -> None:
    """Waits as the policy says. A fresh group's first message is out of the queue already."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    await asyncio.sleep(0)
    while (left := policy.left(queue.qsize() + is_fresh, queue.bytes, loop.time() - began, is_fresh=is_fresh)) > 0:  # noqa: ASYNC110 -- see below
        await asyncio.sleep(min(left, LOOK))  # the queue tells nobody how many bytes wait in it

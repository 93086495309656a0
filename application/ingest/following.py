"""Reads that follow a write: they wait until what was decided about an item can be seen (SERVER.md 1, `?after=`)."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any

from application.ingest.decisions import Answered, Decisions
from application.ingest.receipts import Receipt
from application.usage.loaded import LoadedWatch
from metering.records import Command
from streams.log.event_sender import Stored
from streams.log.topics import TopicNames

_ENDING_SECONDS = 1.0


class Following:
    """Waits for the outputs of one item. Belongs to the event loop of its decisions."""

    def __init__(self, decisions: Decisions, loaded: LoadedWatch, names: TopicNames) -> None:
        self._decisions = decisions
        self._loaded = loaded
        self._names = names

    async def decided(self, receipt: Receipt, seconds: float) -> bool:
        """Whether, within `seconds`, the item's outputs were loaded or are kept by the tail of decisions."""
        return await _within(seconds, self._decided(receipt), self._decisions)

    async def loaded(self, receipt: Receipt, seconds: float) -> bool:
        """Whether, within `seconds`, the item's lines and refunds were loaded."""
        return await _within(seconds, self._all_loaded(receipt), self._decisions)

    async def _decided(self, receipt: Receipt) -> None:
        await self._seen(self._names.billed, receipt)
        for topic in self._others(receipt):
            await self._seen(topic, receipt)

    async def _all_loaded(self, receipt: Receipt) -> None:
        await self._loaded.wait(self._names.billed, receipt.partition, receipt.offset)
        if self._names.refunds in self._others(receipt):
            await self._loaded.wait(self._names.refunds, receipt.partition, receipt.offset)

    async def _seen(self, topic: str, receipt: Receipt) -> None:
        """Return when the outputs in the topic are kept by the tail, or loaded: whichever comes first."""
        await _first_of(
            self._decisions.wait_long(topic, receipt.partition, receipt.offset),
            self._loaded.wait(topic, receipt.partition, receipt.offset),
        )

    def _others(self, receipt: Receipt) -> list[str]:
        """The topics beside billed in which the item has outputs, by its answer; none where that is not kept."""
        answered = self._decisions.answer_of(_stored(receipt))
        return [] if answered is None else _topics_of(answered, self._names)


def _topics_of(answered: Answered, names: TopicNames) -> list[str]:
    by_command = {
        Command.HOLD: names.holds, Command.GRANT: names.grants, Command.REFUND: names.refunds,
        Command.ACCOUNT: names.accounts,
    }  # fmt: skip
    topics = [by_command[Command(entry["command"])] for entry in answered.applied if entry["command"] in by_command]
    if any(line["hold_id"] is not None for line in answered.lines):
        topics.append(names.holds)
    return topics


def _stored(receipt: Receipt) -> Stored:
    return Stored(receipt.partition, receipt.offset, receipt.index, receipt.digest)


async def _first_of(*works: Coroutine[Any, Any, None]) -> None:
    tasks = [asyncio.create_task(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        await _cancelled(tasks)


async def _cancelled(tasks: Iterable[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _within(seconds: float, work: Coroutine[Any, Any, None], decisions: Decisions) -> bool:
    """Whether the work was done in time; it is given up soon where the server is to end."""
    task, ending = asyncio.create_task(work), asyncio.ensure_future(decisions.ended())
    try:
        await asyncio.wait({task, ending}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if ending.done() and not task.done():
            await asyncio.wait({task}, timeout=min(seconds, _ENDING_SECONDS))
        if task.done():
            task.result()
            return True
        return False
    finally:
        await _cancelled([task, ending])

"""What a read that follows a write waits for: the item's answer, and what else it caused."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from application.ingest.following import Following
from application.ingest.receipts import Receipt
from application.usage.loaded import LoadedWatch
from application.usage.store import Row
from sinks.parameters import Parameters
from tests.application.ingest.test_decisions import CODEC, NAMES, Followed, Worker, line
from tests.schemas.records import HOLD_CHANGE

RECEIPT = Receipt("log", 0, 7, 0, "0" * 32)
HELD = {"command": "hold", "id": "h-1"}


class Store:
    def __init__(self) -> None:
        self.at: dict[str, int] = {}

    def rows(self, _sql: str, _parameters: Parameters) -> list[Row]:
        return [{"topic": topic, "log_partition": 0, "source_offset": at} for topic, at in self.at.items()]


def hold_batch() -> bytes:
    head = {"source_partition": 0, "source_offset": 7, "part": 0, "parts": 1}
    return CODEC.encode("HoldBatch", {**head, "holds": [HOLD_CHANGE]})


@pytest.mark.parametrize("where", ["tail", "store"])
@pytest.mark.parametrize("caused", ["nothing else", "a hold"])
def test_credits_show_an_item_once_all_that_it_caused_is_at_hand(where: str, caused: str) -> None:
    async def work() -> None:
        worker, store = Worker(), Store()
        async with Followed(worker) as decisions:
            following = Following(decisions, LoadedWatch(store, NAMES), NAMES)
            assert not await following.decided(RECEIPT, 0.2)
            waiting = asyncio.create_task(following.decided(RECEIPT, 60))
            answers: dict[str, Any] = {"applied": [HELD]} if caused == "a hold" else {}
            worker.answer(7, [line("a") | {"hold_id": None}], **answers)
            if caused == "a hold":
                assert not await following.decided(RECEIPT, 0.3)
                if where == "tail":
                    worker.append(NAMES.holds, hold_batch())
                else:
                    store.at[NAMES.holds] = 7
            assert await waiting
            if caused == "nothing else":
                assert not await following.loaded(RECEIPT, 0.2)
            store.at[NAMES.billed] = 7
            assert await following.loaded(RECEIPT, 60)

    asyncio.run(work())


def test_history_shows_a_refund_once_it_is_loaded_too() -> None:
    async def work() -> None:
        worker, store = Worker(), Store()
        async with Followed(worker) as decisions:
            following = Following(decisions, LoadedWatch(store, NAMES), NAMES)
            worker.answer(7, [], applied=[{"command": "refund", "id": "r-1"}])
            await decisions.wait_long(NAMES.billed, 0, 7)
            store.at[NAMES.billed] = 8
            assert not await following.loaded(RECEIPT, 0.3)
            store.at[NAMES.refunds] = 7
            assert await following.loaded(RECEIPT, 60)

    asyncio.run(work())


def test_a_wait_ends_soon_where_the_server_ends() -> None:
    async def work() -> None:
        async with Followed(Worker()) as decisions:
            following = Following(decisions, LoadedWatch(Store(), NAMES), NAMES)
            waiting = asyncio.create_task(following.decided(RECEIPT, 3_000))
            await asyncio.sleep(0.1)
            decisions.end()
            assert not await waiting

    asyncio.run(work())

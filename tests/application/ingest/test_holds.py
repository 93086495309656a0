"""Holds by themselves: whose change is meant, and one that is over by now. tests/server/contract.py has the rest."""

from __future__ import annotations

import asyncio
from typing import Any

from application.ingest.decisions import Decisions
from application.ingest.holds import HoldDesk
from schemas.codec import Codec
from streams.log.decision_tail import AnswerKey, DecisionTail
from tests.application.ingest.test_decisions import NAMES, Worker

CODEC = Codec()


class Intake:
    partitions = 1


def change(account_id: str, status: str, expires_at: int) -> dict[str, Any]:
    return {
        "hold_id": "h", "account_id": account_id, "status": status, "credits": {"c": 1}, "expires_at": expires_at,
        "at": 1,
    }  # fmt: skip


def test_a_hold_is_its_newest_change_and_expired_once_its_time_is_over() -> None:
    async def work() -> None:
        worker = Worker()
        tail = DecisionTail(worker.connections.tail_source((NAMES.holds,)), worker.connections.seals())
        tail.start()
        decisions = Decisions(tail, CODEC, NAMES)
        desk = HoldDesk(Intake(), decisions, None)  # type: ignore[arg-type]
        for offset, held in enumerate([change("acme", "held", 50), change("other", "released", 50)]):
            batch = {"source_partition": 0, "source_offset": offset, "part": 0, "parts": 1, "holds": [held]}
            worker.append(NAMES.holds, CODEC.encode("HoldBatch", batch))
        await tail.watch(AnswerKey(NAMES.holds, 0, 1))
        states = [await desk.state("acme", "h", now) for now in (49, 50)]
        assert [state["status"] for state in states if state is not None] == ["held", "expired"]
        assert (await desk.state("other", "h", 60) or {})["status"] == "released"
        assert await desk.state("third", "h", 1) is None
        await asyncio.to_thread(tail.close)

    asyncio.run(work())

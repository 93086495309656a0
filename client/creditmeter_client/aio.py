"""The meter's questions for asyncio. Each waits in a thread of the meter's own; the event loop is never blocked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from creditmeter_client.errors import MeterUnavailable
from creditmeter_client.results import Decision, Estimate, Hold
from creditmeter_client.usage import Event, Usage, event_of

if TYPE_CHECKING:
    from creditmeter_client.meter import Meter

_DEFAULT_WAIT = 0.25
_END = object()


class AsyncQuestions:
    """As the methods of `Meter` with these names, and with the same errors. `Meter.record` needs no twin."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter

    async def decide(self, usage: Usage | None = None, *, wait: float = _DEFAULT_WAIT, **fields: Any) -> Decision:
        event = event_of(Usage(**fields) if usage is None else usage, now=self._meter.clock.now_ms())
        return (await self.decide_events([event], wait=wait))[0]

    async def decide_events(self, events: Sequence[Event], *, wait: float = _DEFAULT_WAIT) -> list[Decision]:
        from creditmeter_client.meter import pending  # noqa: PLC0415 -- that module imports this one

        question = self._meter.submit_decision(events, wait)
        if await answered_within(question, wait):
            return question.result()
        return [pending(event) for event in events]

    async def hold(
        self,
        account_id: str,
        *,
        credits: Mapping[str, int] | None = None,  # noqa: A002 -- the field's name in the API
        usage: Usage | None = None,
        expires_in: float = 3600.0,
        reason: str = "",
        wait: float = 1.0,
        hold_id: str | None = None,
    ) -> Hold:
        question = self._meter.submit_hold(account_id, credits, usage, expires_in, reason, wait, hold_id)
        if await answered_within(question, wait):
            return question.result()
        raise MeterUnavailable(f"no answer within {wait} s")

    async def estimate(self, account_id: str, usages: Sequence[Usage]) -> Estimate:
        return await asyncio.to_thread(self._meter.estimate, account_id, usages)

    async def account(self, account_id: str) -> Mapping[str, Any]:
        return await asyncio.to_thread(self._meter.account, account_id)

    async def usage(self, account_id: str, **filters: str) -> AsyncIterator[Mapping[str, Any]]:
        rows = self._meter.usage(account_id, **filters)
        while (row := await asyncio.to_thread(next, rows, _END)) is not _END:
            yield row  # type: ignore[misc]

    async def flush(self, timeout: float = 10.0) -> bool:
        return await asyncio.to_thread(self._meter.flush, timeout)

    async def close(self, timeout: float | None = None) -> bool:
        return await asyncio.to_thread(self._meter.close, timeout)


async def answered_within(question: Future[Any], wait: float) -> bool:
    """Whether a question has its answer within `wait` seconds. It goes on in any case."""
    if not question.done():
        loop, answered = asyncio.get_running_loop(), asyncio.Event()

        def wake(_question: Future[Any]) -> None:
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(answered.set)

        question.add_done_callback(wake)
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(answered.wait(), wait)
    return question.done()

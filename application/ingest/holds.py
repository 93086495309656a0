"""Holds of one request: placed, looked up, released, each with its decision (SPEC 11, SERVER.md 2).

A hold whose decision does not come in time is released by an event that is stored right behind it: the log keeps an
account's order, so that the release follows whatever is decided, also where this process ends meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from application.commands.holds import ReleaseOrder
from application.errors import ErrorCode, Failed
from application.ingest.accepting import EventIntake
from application.ingest.decisions import Decisions, DecisionStatus, Item, Patience
from application.ingest.recorded import RecordedDecisions
from metering.records import HoldStatus
from metering.validation import check_event
from streams.log.event_sender import Stored
from streams.log.partitioner import partition_of
from streams.log.protocols import LogUnavailable

logger = logging.getLogger("creditmeter.http")

_OPEN = {HoldStatus.HELD, HoldStatus.DRAWN}
RELEASE_PREFIX = "hold-release:"


class HoldOutcome(StrEnum):
    """What became of a hold that was asked for; the set is closed."""

    HELD = "held"
    REJECTED = "rejected"
    REPEATED = "repeated"
    SET_ASIDE = "set_aside"
    PENDING = "pending"
    UNKNOWN = "unknown"
    """It may or may not be in the log."""


@dataclass(frozen=True, slots=True)
class PlacedHold:
    """`change`: the hold as it stands, where that is known. `is_released_later`: of a pending one."""

    outcome: HoldOutcome
    stored: Stored | None = None
    change: Mapping[str, Any] | None = None
    same_content: bool | None = None
    reason: str | None = None
    field: str | None = None
    is_released_later: bool = False


class HoldDesk:
    """Holds of one pipeline, from the event loop of its intake."""

    def __init__(self, intake: EventIntake, decisions: Decisions, recorded: RecordedDecisions | None) -> None:
        self._intake = intake
        self._decisions = decisions
        self._recorded = recorded

    async def place(
        self, producer: str, record: dict[str, Any], patience: Patience, *, keeps_late: bool, now: int
    ) -> PlacedHold:
        """Store a good Hold and wait for its decision. `keeps_late`: do not release one that is decided too late.

        `now` (ms) is when the release happens, where one is needed. Raises LogUnavailable: nothing was stored; Failed
        where a repeat's first is not known now.
        """
        account_id, hold_id = record["account_id"], record["hold_id"]
        stored = await self._intake.store_command(producer, account_id, "Hold", record)
        if stored is None:
            return PlacedHold(HoldOutcome.UNKNOWN)
        answered = await self._decisions.wait_for_command(stored, patience)
        if answered is None:
            is_released = not keeps_late and await self._release_later(producer, account_id, hold_id, now)
            return PlacedHold(HoldOutcome.PENDING, stored, is_released_later=is_released)
        for entry in answered.set_aside:
            return PlacedHold(HoldOutcome.SET_ASIDE, stored, reason=entry["reason"], field=entry["field"])
        for entry in answered.repeated:
            change = await self.state(account_id, hold_id, now)
            if change is None:
                raise Failed("the first hold of this id is not known here now; ask again", ErrorCode.UNAVAILABLE)
            return PlacedHold(HoldOutcome.REPEATED, stored, change, entry["same_content"])
        change = _own(self._decisions.changes_of_hold(stored) or [], account_id, hold_id)
        if change is None:
            return PlacedHold(HoldOutcome.PENDING, stored)
        is_held = change["status"] == HoldStatus.HELD
        return PlacedHold(HoldOutcome.HELD if is_held else HoldOutcome.REJECTED, stored, change)

    async def release(
        self, producer: str, account_id: str, hold_id: str, patience: Patience, *, now: int
    ) -> PlacedHold | None:
        """Store the event that releases a hold at `now` (ms), and wait. None where there is no such hold.

        One that was over before is answered as it stands. Raises LogUnavailable, Failed.
        """
        event_id, stored = await self._store_release(producer, account_id, hold_id, now)
        if stored is None:
            return PlacedHold(HoldOutcome.UNKNOWN)
        (decision,) = await self._decisions.wait([Item(stored, account_id, event_id)], patience)
        if decision.status is DecisionStatus.PENDING:
            return PlacedHold(HoldOutcome.PENDING, stored)
        if any(line["hold_id"] == hold_id for line in decision.lines):
            await self._decisions.wait_for_holds(stored, patience)
            change = _own(self._decisions.changes_of_hold(stored) or [], account_id, hold_id, event_id)
            if change is None:
                return PlacedHold(HoldOutcome.PENDING, stored)
            return PlacedHold(HoldOutcome.HELD, stored, change)
        change = await self.state(account_id, hold_id, now)
        return None if change is None else PlacedHold(HoldOutcome.REPEATED, stored, change)

    async def state(self, account_id: str, hold_id: str, now: int) -> dict[str, Any] | None:
        """A hold as it stands at `now` (ms): from the tail, else from ClickHouse; None where there is none.

        An open one is `expired` from its expires_at on. Raises Failed where ClickHouse is needed and does not answer.
        """
        recent = self._decisions.recent_changes(partition_of(account_id, self._intake.partitions), hold_id)
        changes = [change for _, change in recent if change["account_id"] == account_id]
        change = changes[-1] if changes else await self._loaded(account_id, hold_id)
        if change is not None and change["status"] in _OPEN and change["expires_at"] <= now:
            return {**change, "status": HoldStatus.EXPIRED.value}
        return change

    async def _loaded(self, account_id: str, hold_id: str) -> dict[str, Any] | None:
        if self._recorded is None:
            return None
        return await asyncio.to_thread(self._recorded.hold, account_id, hold_id)

    async def _release_later(self, producer: str, account_id: str, hold_id: str, now: int) -> bool:
        try:
            _, stored = await self._store_release(producer, account_id, hold_id, now)
        except LogUnavailable as error:
            logger.warning("a hold that is pending could not be released; it ends when it expires: %s", error)
            return False
        return stored is not None

    async def _store_release(self, producer: str, account_id: str, hold_id: str, now: int) -> tuple[str, Stored | None]:
        event_id = f"{RELEASE_PREFIX}{uuid.uuid4()}"
        event = ReleaseOrder(account_id, hold_id, now, event_id).record()
        if (field := check_event(event)) is not None:
            raise RuntimeError(f"the release of a hold has a wrong {field}")
        (stored,) = await self._intake.store(producer, [self._intake.encoded(event)])
        return event_id, stored


def _own(
    changes: list[dict[str, Any]], account_id: str, hold_id: str, event_id: str | None = None
) -> dict[str, Any] | None:
    """The change of this hold among those that one message caused: of others that expired before there may be some."""
    for change in changes:
        if (change["account_id"], change["hold_id"]) == (account_id, hold_id) and (
            event_id is None or change["event_id"] == event_id
        ):
            return change
    return None

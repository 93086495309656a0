"""Setting credits of an account aside before work is done, and releasing them where the work failed (SPEC 11)."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from application.clickhouse.asking import literal, rows_or_empty
from application.commands.fields import BadField, raise_on_bad_field
from application.commands.submitting import Decided, submit_and_wait
from application.pipeline import Pipeline
from metering.records import Command, HoldStatus, Kind

RELEASE_ENDPOINT, RELEASE_CHANNEL = "hold-release", "creditmeter"
"""What the event says that releases a hold: it is the only event that is of no call."""


@dataclass(frozen=True)
class HoldOrder:
    """What was asked for: `credits` by credit type; times in ms, a random `hold_id` unless one is given."""

    account_id: str
    credits: Mapping[str, int]
    held_at: int
    expires_at: int
    hold_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    reason: str = ""

    def record(self) -> dict[str, Any]:
        """The Hold command. Raises BadField with the first wrong field."""
        record = {
            "hold_id": self.hold_id,
            "account_id": self.account_id,
            "credits": dict(self.credits),
            "held_at": self.held_at,
            "expires_at": self.expires_at,
            "reason": self.reason,
        }
        raise_on_bad_field(Command.HOLD, record)
        return record


@dataclass(frozen=True)
class ReleaseOrder:
    """Which hold is to be released; an event of outcome failed says so, at `released_at` (ms)."""

    account_id: str
    hold_id: str
    released_at: int
    event_id: str = field(default_factory=lambda: str(uuid.uuid4()))

    def record(self) -> dict[str, Any]:
        """The event. Raises BadField with the first wrong field."""
        record = {
            "event_id": self.event_id,
            "account_id": self.account_id,
            "occurred_at": self.released_at,
            "endpoint": RELEASE_ENDPOINT,
            "channel": RELEASE_CHANNEL,
            "outcome": "failed",
            "hold_id": self.hold_id,
        }
        if not self.hold_id:  # an event may name none
            raise BadField(Command.HOLD, record, "hold_id")
        raise_on_bad_field(Command.REQUEST, record)
        return record


@dataclass(frozen=True)
class HoldResult:
    """What became of a hold or of its release. `first`: for a repeat, the hold as ClickHouse has it.

    Of the changes in `decided` those of other holds, which have expired before, are left out of every answer here.
    """

    decided: Decided
    hold_id: str
    first: list[dict[str, Any]]

    @property
    def change(self) -> Mapping[str, Any] | None:
        """The first change of this hold that the command caused; None for a repeat, a dead letter, or no open hold."""
        changes = (change for change in self.decided.of(Kind.HOLD) if change["hold_id"] == self.hold_id)
        return next(changes, None)

    @property
    def is_repeated(self) -> bool:
        """Whether the account had accepted the command's id before."""
        return self.decided.is_repeated

    @property
    def is_held(self) -> bool:
        """Whether the command set the credits aside."""
        return self.change is not None and self.change["status"] == HoldStatus.HELD

    @property
    def is_rejected(self) -> bool:
        """Whether the account did not have the credits, and rejects."""
        return self.change is not None and self.change["status"] == HoldStatus.REJECTED

    @property
    def is_over(self) -> bool:
        """Whether the release ended the hold: `released`, or `settled` where an event was charged to it before."""
        return self.change is not None and self.change["status"] in {HoldStatus.RELEASED, HoldStatus.SETTLED}

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return self.decided.as_json() | {
            "hold_id": self.hold_id, "repeated": self.is_repeated, "first": self.first,
            "status": None if self.change is None else self.change["status"],
        }  # fmt: skip


def place_hold(pipeline: Pipeline, order: HoldOrder, seconds: float) -> HoldResult:
    """Sends the hold and waits up to `seconds` for its decision. Raises BadField, LogError, NotDecided."""
    (decided,) = submit_and_wait(pipeline, Command.HOLD, [order.record()], seconds)
    return HoldResult(decided, order.hold_id, _first(pipeline, order) if decided.is_repeated else [])


def release_hold(pipeline: Pipeline, order: ReleaseOrder, seconds: float) -> HoldResult:
    """Sends the event that releases the hold and waits up to `seconds`. Raises BadField, LogError, NotDecided.

    Where no such hold is open the event counts nothing and changes no hold.
    """
    (decided,) = submit_and_wait(pipeline, Command.REQUEST, [order.record()], seconds)
    return HoldResult(decided, order.hold_id, [])


def _first(pipeline: Pipeline, order: HoldOrder) -> list[dict[str, Any]]:
    return rows_or_empty(
        pipeline.sql,
        "SELECT held_at, status, is_open, credits, charged, expires_at FROM holds "  # noqa: S608 - quoted
        f"WHERE account_id = {literal(order.account_id)} AND hold_id = {literal(order.hold_id)} "
        "ORDER BY source_offset, position",
    )

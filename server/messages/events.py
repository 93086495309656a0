"""Answers about events, decisions, receipts and holds."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired, TypedDict

from msgspec import UNSET, Meta, Struct, UnsetType

from application.ingest.accepting import ItemStatus
from metering.records import MAX_GRANT, MAX_HOLD_MS, MAX_HOLD_TYPES, Command, Decision, HoldStatus
from server.messages.scalars import Id, Instant, MistakeShown, Reason, ShortText, Time


class LineShown(TypedDict):
    """What one charge decided about an event, and what it cost."""

    line: int
    decision: Decision
    charge: str | None
    feature: str | None
    action: str | None
    credit_type: str | None
    units: int
    unit_credits: int
    credits: int
    balance_after: int | None
    owner_event_id: str | None
    price_version: str | None
    hold_id: str | None
    window_ends_at: Time | None


class FirstLines(TypedDict):
    """The lines of the event that a repeat repeats."""

    lines: list[LineShown]


class DecisionShown(TypedDict):
    """What became of an event; `status` says which other members there are."""

    status: Literal["decided", "repeated", "set_aside", "pending"]
    lines: NotRequired[list[LineShown]]
    same_content: NotRequired[bool | None]
    first: NotRequired[FirstLines | None]
    reason: NotRequired[str | None]
    field: NotRequired[str | None]


class EventResult(TypedDict):
    """What became of one event of a request."""

    event_id: str | None
    status: ItemStatus
    receipt: NotRequired[str]
    errors: NotRequired[list[MistakeShown]]
    decision: NotRequired[DecisionShown]


class EventResults(TypedDict):
    """One result an event, in order."""

    results: list[EventResult]


class ReceiptShown(TypedDict):
    """What became of an item of the log. A request has `event_id`, other commands `id`."""

    receipt: str
    account_id: str
    command: Command
    event_id: NotRequired[str | None]
    id: NotRequired[str | None]
    stored: bool
    log: Literal["present", "trimmed"]
    digest: str
    recorded_at: Time | None
    decision: DecisionShown
    loaded: bool | None


HeldCredits = Annotated[
    dict[ShortText, Annotated[int, Meta(ge=1, le=MAX_GRANT)]], Meta(min_length=1, max_length=MAX_HOLD_TYPES)
]


class HoldBody(Struct, forbid_unknown_fields=True, kw_only=True):
    """A hold: of `credits`, or of the most that `event`, which is to come, can cost."""

    hold_id: Id | UnsetType = UNSET
    account_id: Id | UnsetType = UNSET
    credits: HeldCredits | UnsetType = UNSET
    event: Annotated[dict[str, Any], Meta(description="the fields of the event to come")] | UnsetType = UNSET
    held_at: Instant | UnsetType = UNSET
    expires_at: Instant | UnsetType = UNSET
    expires_in: Annotated[int, Meta(ge=1, le=MAX_HOLD_MS // 1_000, description="seconds")] | UnsetType = UNSET
    reason: Reason | UnsetType = UNSET
    keep: Annotated[bool, Meta(description="keep it also where it is decided late")] | UnsetType = UNSET


class HoldShown(TypedDict):
    """A hold as one of its changes leaves it."""

    hold_id: str
    account_id: str
    status: HoldStatus
    credits: dict[str, int]
    charged: dict[str, int] | None
    available_after: dict[str, int] | None
    event_id: str | None
    reject_reason: str | None
    expires_at: Time
    reason: str
    receipt: NotRequired[str]


class HoldPending(TypedDict):
    """A hold that is stored and not decided yet."""

    hold_id: str
    account_id: NotRequired[str]
    status: Literal["pending"]
    receipt: NotRequired[str]
    is_released_when_decided: NotRequired[bool]


class NoHoldNeeded(TypedDict):
    """The event to come would cost nothing."""

    hold_id: None
    status: Literal["not_needed"]
    credits: dict[str, int]

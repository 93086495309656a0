"""Bodies and answers of what operators do."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypedDict

from msgspec import Meta, Struct

from application.dead_letters.resent import ReplayOutcome
from metering.records import MAX_GRANT, Command, DeadLetterReason, OnEmpty
from server.messages.scalars import Id, Instant, Output, Reason, ShortText, Time, Whole

_OWN_ID = "the command's own id; or the header Idempotency-Key"
OwnId = Annotated[Id, Meta(description=_OWN_ID)]


class GrantBody(Struct, kw_only=True):
    """Credits for an account. `granted_at` is now unless given."""

    account_id: Id
    credit_type: ShortText
    credits: Annotated[int, Meta(ge=1, le=MAX_GRANT)]
    granted_at: Instant | None = None
    expires_at: Instant | None = None
    grant_id: OwnId | None = None
    reason: Reason | None = None


class RefundBody(Struct, kw_only=True):
    """What is given back: of one event, or of all events of a request; exactly one of the two."""

    event_id: Id | None = None
    request_id: str | None = None
    account_id: Id | None = None
    charge: Annotated[str, Meta(description="needed where several charges were paid")] | None = None
    credits: Annotated[Whole, Meta(description="all that is left unless given")] | None = None
    reason: Reason | None = None
    refund_id: OwnId | None = None
    dry_run: Annotated[bool, Meta(description="only say what it would do")] | None = None


class PlanBody(Struct, kw_only=True):
    """A plan and its time. `started_at` is now unless given."""

    name: str
    started_at: Instant | None = None
    ends_at: Instant | None = None


class SettingsBody(Struct, kw_only=True):
    """All settings of an account at once."""

    on_empty: OnEmpty
    plan: PlanBody | None = None
    alert_below: dict[str, int] | None = None
    update_id: OwnId | None = None


class RepeatShown(TypedDict):
    """The command that was accepted first under this id, and how this one differs; null where that is not at hand."""

    first: str | None
    differences: list[str] | None


class CommandAnswer(TypedDict):
    """A command and its decision. `first`: for a repeat, what the first of its id did."""

    status: Literal["applied", "repeated"]
    command: Command
    id: str
    account_id: str
    place: str
    outputs: list[Output]
    repeat_of: RepeatShown | None
    repeated: bool
    first: list[dict[str, Any]]


class _RefundDone(TypedDict, total=False):
    place: str
    first: list[dict[str, Any]]


class RefundShown(_RefundDone):
    """One refund request and its decision. A dry run has no place and no first request."""

    status: Literal["refunded", "rejected", "set_aside", "repeated"]
    command: Command
    id: str
    account_id: str
    event_id: str
    repeat_of: RepeatShown | None
    outputs: list[Output]
    repeated: bool


class RefundsAnswer(TypedDict):
    """What became of each event's refund, or would."""

    dry_run: bool
    account_id: str
    refunds: list[RefundShown]


class DeadLetterShown(TypedDict):
    """A command that was set aside."""

    place: str
    recorded_at: Time
    reason: DeadLetterReason
    field: str | None
    detail: str | None
    command: str | None
    account_id: str | None
    id: str | None
    index: int | None
    producer: str | None
    size: int | None


class DeadLetterList(TypedDict):
    """The newest first; `next` is `before` of the list behind, null at the end."""

    dead_letters: list[DeadLetterShown]
    next: str | None


class ReplayShown(TypedDict):
    """What became of a dead letter that was sent again. `recorded_at` in ms."""

    of: str
    to: str
    recorded_at: int | None
    corrected: bool
    outcome: ReplayOutcome
    outputs: list[Output]

"""Bodies and answers of estimates."""

from __future__ import annotations

from typing import Any, TypedDict

from metering.records import OnEmpty
from server.api.contract import Component
from server.bodies.event_bodies import MOST_EVENTS
from server.messages.scalars import Time
from server.messages.sent_events import event_schema


class SplitShown(TypedDict):
    """By where the earlier event stands that is the reason: among these events, or before them."""

    in_job: int
    in_history: int


class ChargeEstimate(TypedDict):
    """One charge in one credit type; `saved` and `refused` in credits."""

    charge: str | None
    credit_type: str | None
    lines: int
    decisions: dict[str, int]
    credits: int
    saved: SplitShown
    refused: int


class BalanceEstimate(TypedDict):
    """One credit type: before + granted + refunded - charged - expired = after."""

    before: int
    held: int
    granted: int
    refunded: int
    charged: int
    expired: int
    after: int
    lowest: int | None
    refused: int
    suffices: bool


class LetterEstimate(TypedDict):
    """An event that would be set aside; `line_number` counts from 1."""

    line_number: int
    reason: str
    field: str | None


class EstimateShown(TypedDict):
    """What the events would cost. `place`: up to where in the log everything is in it."""

    account_id: str
    place: str
    on_empty: OnEmpty
    suffices: bool
    commands: dict[str, int]
    charges: list[ChargeEstimate]
    balances: dict[str, BalanceEstimate]
    refused_events: int
    repeats: SplitShown
    rejected_holds: int
    rejected_refunds: dict[str, int]
    dead_letters: dict[str, int]
    first_dead_letters: list[LetterEstimate]
    without_event_id: int
    stream_time: Time | None
    horizon: Time | None


def _event() -> dict[str, Any]:
    event = event_schema()
    return event | {
        "description": "An event to come. What is left out: account_id is the account, event_id a new one, occurred_at "
        "now, outcome processed.",
        "required": ["endpoint", "channel"],
    }


EVENT_TO_COME = Component("EventToCome", _event)
EVENTS_TO_COME = Component(
    "EventsToCome",
    lambda: {
        "oneOf": [
            EVENT_TO_COME.reference,
            {"type": "array", "items": EVENT_TO_COME.reference, "maxItems": MOST_EVENTS},
        ]
    },
    (EVENT_TO_COME,),
)

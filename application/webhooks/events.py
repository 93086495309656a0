"""What is told to webhooks: from the pipeline's own outputs, each with its place in the log. Pure.

docs/webhooks.md explains every payload.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from metering.records import Command
from metering.windows import format_instant


class EventType(StrEnum):
    """What a webhook can be told of (SERVER 4). `TEST` is sent on request alone."""

    BALANCE_BELOW = "balance.below"
    BALANCE_EMPTY = "balance.empty"
    GRANT_APPLIED = "grant.applied"
    GRANT_EXPIRED = "grant.expired"
    REFUND_MADE = "refund.made"
    REFUND_REJECTED = "refund.rejected"
    HOLD_EXPIRED = "hold.expired"
    EVENT_SET_ASIDE = "event.set_aside"
    PRICES_ANNOUNCED = "prices.announced"
    TEST = "webhook.test"


@dataclass(frozen=True, slots=True)
class EventSequence:
    """Where in the log something happened: partition and offset of the input message, part and place among its outputs.

    Of one type and partition it only rises; no order of delivery is promised.
    """

    partition: int
    offset: int
    part: int
    index: int


@dataclass(frozen=True, slots=True)
class Happening:
    """One thing that happened. `at` in ms; `account_id` None: it could not be read, or it is about no account."""

    event: EventType
    account_id: str | None
    at: int
    sequence: EventSequence
    data: Mapping[str, Any]


def happenings(name: str, batch: Mapping[str, Any]) -> Iterator[Happening]:
    """What an output batch tells, in its order; `name` is its Avro record's. Nothing for batches that tell nothing."""
    source = _SOURCES.get(name)
    if source is None:
        return
    for index, item in enumerate(batch[source.items]):
        event = source.event(item)
        if event is not None:
            sequence = EventSequence(batch["source_partition"], batch["source_offset"], batch["part"], index)
            data = {field: _shown(field, item[field]) for field in source.fields[event]}
            yield Happening(event, item["account_id"], item[source.time], sequence, data)


class _Source(NamedTuple):
    """How the items of one kind of batch become happenings: which event each is, and what is told of it."""

    items: str
    event: Callable[[Mapping[str, Any]], EventType | None]
    time: str
    fields: Mapping[EventType, tuple[str, ...]]


def _alert(item: Mapping[str, Any]) -> EventType | None:
    return {"below": EventType.BALANCE_BELOW, "empty": EventType.BALANCE_EMPTY}.get(item["kind"])


def _grant(item: Mapping[str, Any]) -> EventType | None:
    return {"applied": EventType.GRANT_APPLIED, "expired": EventType.GRANT_EXPIRED}.get(item["status"])


def _refund(item: Mapping[str, Any]) -> EventType | None:
    return {"refunded": EventType.REFUND_MADE, "rejected": EventType.REFUND_REJECTED}.get(item["status"])


def _hold(item: Mapping[str, Any]) -> EventType | None:
    return EventType.HOLD_EXPIRED if item["status"] == "expired" else None


def _dead_letter(item: Mapping[str, Any]) -> EventType | None:
    """Events, and what could not be read, which may have been some; other commands are their senders' concern."""
    return EventType.EVENT_SET_ASIDE if item["command"] in {Command.REQUEST, None} else None


_GRANT = ("account_id", "grant_id", "credit_type", "credits", "expires_at", "balance_after", "reason", "changed_at")
_SOURCES: Mapping[str, _Source] = {
    "AlertBatch": _Source(
        "alerts", _alert, "at",
        {
            EventType.BALANCE_BELOW: ("account_id", "credit_type", "mark", "balance", "at"),
            EventType.BALANCE_EMPTY: ("account_id", "credit_type", "balance", "at"),
        },
    ),
    "GrantBatch": _Source(
        "grants", _grant, "changed_at", {EventType.GRANT_APPLIED: _GRANT, EventType.GRANT_EXPIRED: _GRANT}
    ),
    "RefundBatch": _Source(
        "refunds", _refund, "requested_at",
        {
            EventType.REFUND_MADE: (
                "account_id", "refund_id", "event_id", "line", "charge", "credits", "forfeited", "credit_type",
                "remaining_charge", "balance_after", "reason", "requested_at", "occurred_at",
            ),
            EventType.REFUND_REJECTED: (
                "account_id", "refund_id", "event_id", "charge", "reject_reason", "reason", "requested_at",
            ),
        },
    ),
    "HoldBatch": _Source(
        "holds", _hold, "at",
        {
            EventType.HOLD_EXPIRED: (
                "account_id", "hold_id", "credits", "charged", "available_after", "expires_at", "reason", "at",
            ),
        },
    ),
    "DeadLetterBatch": _Source(
        "dead_letters", _dead_letter, "recorded_at",
        {EventType.EVENT_SET_ASIDE: ("account_id", "id", "reason", "field", "detail", "index", "recorded_at")},
    ),
}  # fmt: skip
"""By the name of the batch's Avro record. What is not named here is told to nobody: attributes, bytes, producers."""
_TIMES = {"at", "expires_at", "changed_at", "requested_at", "occurred_at", "recorded_at"}


def _shown(field: str, value: Any) -> Any:
    return format_instant(value) if field in _TIMES and value is not None else value

"""Answers about what was sent to webhooks."""

from __future__ import annotations

from typing import Literal, TypedDict

from server.messages.scalars import Time, Whole

DeliveryStatusWord = Literal["pending", "delivered", "failed", "dropped"]


class AttemptShown(TypedDict):
    """One try. `status_code`: of the answer, null where there was none. `error`: empty where it was taken."""

    at: Time
    duration_ms: Whole
    status_code: int | None
    error: str


class DeliveryShown(TypedDict):
    """One message for a webhook: its body, and the newest tries."""

    delivery_id: str
    webhook_id: str
    account_id: str | None
    event: str
    payload: str
    created_at: Time
    status: DeliveryStatusWord
    tries: int
    next_at: Time | None
    finished_at: Time | None
    reason: str
    attempts: list[AttemptShown]


class DeliveryList(TypedDict):
    """Newest first. `next`: the cursor of the next page, null after the last."""

    deliveries: list[DeliveryShown]
    next: str | None

"""Webhooks, deliveries and results as the tests of this folder need them."""

from __future__ import annotations

from typing import Any

from application.webhooks.schedule import Outcome, TryResult
from streams.access.records import Webhook
from streams.deliveries.records import Delivery, DeliveryAttempt

NOW = 1_800_000_000_000
SECOND, MINUTE, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000
URL = "https://example.com/hook"
EVERYTHING = [
    "balance.below", "balance.empty", "grant.applied", "grant.expired", "refund.made", "refund.rejected",
    "hold.expired", "event.set_aside", "prices.announced",
]  # fmt: skip


def a_webhook(webhook_id: str = "wh_1", account_id: str | None = "acct-7", **fields: Any) -> Webhook:
    """A webhook that was created at 0 and wants everything."""
    given = {"url": URL, "events": EVERYTHING, "created_at": 0, "created_by": "key_1"} | fields
    return Webhook(webhook_id=webhook_id, account_id=account_id, **given)


def a_delivery(delivery_id: str = "msg_1", webhook_id: str = "wh_1", **fields: Any) -> Delivery:
    """One that is due now."""
    given = {"event": "balance.below", "payload": "{}", "created_at": NOW, "next_at": NOW} | fields
    return Delivery(delivery_id=delivery_id, webhook_id=webhook_id, account_id="acct-7", **given)


def taken(at: int = NOW) -> TryResult:
    """A try that was answered with 200."""
    return TryResult(Outcome.DELIVERED, DeliveryAttempt(at, 10, 200))


def refused(at: int = NOW, status: int | None = 500, retry_after: int | None = None) -> TryResult:
    """A try that failed; 410 says so."""
    outcome = Outcome.GONE if status == 410 else Outcome.FAILED
    return TryResult(outcome, DeliveryAttempt(at, 10, status, f"{status} no"), retry_after)

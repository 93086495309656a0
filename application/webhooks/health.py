"""Whether a webhook is to be turned off: three days of tries without one success. Pure: times are arguments, in ms.

One message that fails by itself turns nothing off: tries of at least two messages must have failed. What a webhook was
told before it was turned off counts no more once it is on again.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from streams.deliveries.records import Delivery, DeliveryStatus

OFF_AFTER_MS = 3 * 24 * 3_600_000


@dataclass(slots=True)
class _Failing:
    """Since the last success: when the first try failed, and two of the messages that did."""

    succeeded_at: int = -1
    since: int | None = None
    messages: set[str] = field(default_factory=set)


class WebhookHealth:
    """What the deliveries of some partitions say about their webhooks. Applying one again changes nothing."""

    def __init__(self) -> None:
        self._by_webhook: dict[str, _Failing] = {}

    def apply(self, delivery: Delivery) -> None:
        """Takes in a record of a delivery, in the log's order."""
        if delivery.status is DeliveryStatus.DROPPED:  # it was off or removed: a new beginning
            self._succeed(delivery.webhook_id, delivery.finished_at or 0)
            return
        for attempt in delivery.attempts:
            if attempt.error:
                self._fail(delivery.webhook_id, delivery.delivery_id, attempt.at)
            else:
                self._succeed(delivery.webhook_id, attempt.at)

    def begin_anew(self, webhook_id: str, at: int) -> None:
        """It was turned on again at `at` (ms): tries before that count no more. Saying it again changes nothing."""
        self._succeed(webhook_id, at)

    def failing_since(self, webhook_id: str) -> int | None:
        """When the first try after the last success failed, if two messages have failed since; else None."""
        known = self._by_webhook.get(webhook_id)
        return known.since if known is not None and len(known.messages) > 1 else None

    def to_turn_off(self, webhook_id: str, now: int) -> bool:
        """Whether three days have gone by without a success."""
        since = self.failing_since(webhook_id)
        return since is not None and now - since >= OFF_AFTER_MS

    def _succeed(self, webhook_id: str, at: int) -> None:
        known = self._by_webhook.setdefault(webhook_id, _Failing())
        known.succeeded_at = max(known.succeeded_at, at)
        if known.since is not None and known.since <= known.succeeded_at:
            known.since = None
            known.messages.clear()

    def _fail(self, webhook_id: str, delivery_id: str, at: int) -> None:
        known = self._by_webhook.setdefault(webhook_id, _Failing())
        if at <= known.succeeded_at:
            return
        known.since = at if known.since is None else min(known.since, at)
        if len(known.messages) < 2:
            known.messages.add(delivery_id)

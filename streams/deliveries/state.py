"""What one partition of the topic of deliveries comes to: what is to be done, and how far each topic is."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from streams.deliveries.records import Delivery, DeliveryPosition, DeliveryStatus

if TYPE_CHECKING:
    from streams.deliveries.records import DeliveryRecord


class DeliveryState:
    """The newest record of each pending delivery and each position.

    A process takes its own records in when they are acknowledged, before those of others that may stand between them,
    and meets them again when it reads on: `apply` knows them by their offsets. What is over is remembered until then.
    """

    def __init__(self) -> None:
        self.pending: dict[str, Delivery] = {}
        self.positions: dict[str, DeliveryPosition] = {}
        self.next_offset = 0
        """Everything before it was read."""
        self._offsets: dict[str, int] = {}
        self._over: deque[tuple[int, str]] = deque()
        self._by_webhook: dict[str, set[str]] = {}

    def apply(self, offset: int, record: DeliveryRecord) -> bool:
        """Takes in the record at this offset; whether it is newer than what is known of the same thing."""
        if self._offsets.get(record.record_key, -1) >= offset:
            return False
        self._offsets[record.record_key] = offset
        if isinstance(record, DeliveryPosition):
            self.positions[record.topic] = record
            return True
        self._remove(record.delivery_id)
        if record.status is DeliveryStatus.PENDING:
            self.pending[record.delivery_id] = record
            self._by_webhook.setdefault(record.webhook_id, set()).add(record.delivery_id)
        else:
            self._over.append((offset, record.record_key))
        return True

    def read_up_to(self, offset: int) -> None:
        """Everything before this offset was read: what was over there may be forgotten."""
        self.next_offset = max(self.next_offset, offset)
        while self._over and self._over[0][0] < offset:
            at, key = self._over.popleft()
            if self._offsets.get(key) == at:
                del self._offsets[key]

    def waiting_for(self, webhook_id: str) -> int:
        """How many messages wait for a webhook."""
        return len(self._by_webhook.get(webhook_id, ()))

    def webhooks(self) -> list[str]:
        """The webhooks that messages wait for."""
        return sorted(self._by_webhook)

    def of_webhook(self, webhook_id: str) -> list[Delivery]:
        """The messages that wait for a webhook."""
        return [self.pending[delivery_id] for delivery_id in sorted(self._by_webhook.get(webhook_id, ()))]

    def _remove(self, delivery_id: str) -> None:
        known = self.pending.pop(delivery_id, None)
        if known is not None:
            waiting = self._by_webhook[known.webhook_id]
            waiting.discard(delivery_id)
            if not waiting:
                del self._by_webhook[known.webhook_id]

"""The records of the topic of deliveries as values; docs/schemas.md explains every field."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, ClassVar, Self


class DeliveryStatus(StrEnum):
    """What became of a message for one webhook."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True)
class DeliveryAttempt:
    """One try: when it began and how long it took (ms), the HTTP status of the answer, and why it failed, if it did."""

    at: int
    duration: int
    status_code: int | None = None
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One message for one webhook. Times in ms."""

    schema: ClassVar[str] = "Delivery"
    delivery_id: str
    webhook_id: str
    account_id: str | None = None
    event: str
    payload: str
    created_at: int
    status: DeliveryStatus = DeliveryStatus.PENDING
    tries: int = 0
    next_at: int | None = None
    finished_at: int | None = None
    reason: str = ""
    attempts: tuple[DeliveryAttempt, ...] = ()
    revision: int = 1

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Self:
        """From a decoded record. Raises ValueError for a status of a newer version."""
        attempts = tuple(DeliveryAttempt(**attempt) for attempt in fields["attempts"])
        return cls(**{**fields, "status": DeliveryStatus(fields["status"]), "attempts": attempts})

    def fields(self) -> dict[str, Any]:
        """As the codec takes it."""
        return {**asdict(self), "status": self.status.value, "attempts": [asdict(attempt) for attempt in self.attempts]}

    @property
    def record_key(self) -> str:
        """What the record is about: the topic keeps the newest of each."""
        return f"delivery:{self.delivery_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryPosition:
    """How far one partition of a topic is turned into deliveries: written behind them. `at` in ms."""

    schema: ClassVar[str] = "DeliveryPosition"
    topic: str
    next_offset: int
    source_offset: int = -1
    part: int = -1
    at: int

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Self:
        """From a decoded record."""
        return cls(**fields)

    def fields(self) -> dict[str, Any]:
        """As the codec takes it."""
        return asdict(self)

    @property
    def record_key(self) -> str:
        """What the record is about."""
        return f"position:{self.topic}"


DeliveryRecord = Delivery | DeliveryPosition
CLASSES: Mapping[str, type[Delivery | DeliveryPosition]] = {
    Delivery.schema: Delivery, DeliveryPosition.schema: DeliveryPosition,
}  # fmt: skip

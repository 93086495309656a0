"""When a message is tried again, and what becomes of it after a try (SERVER 4). Pure: the time is an argument."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from hashlib import blake2b

from streams.deliveries.records import Delivery, DeliveryAttempt, DeliveryStatus

_SECOND, _MINUTE, _HOUR = 1_000, 60_000, 3_600_000
WAITS = (
    5 * _SECOND, 30 * _SECOND, 2 * _MINUTE, 15 * _MINUTE, _HOUR, 3 * _HOUR, 6 * _HOUR, 12 * _HOUR, 24 * _HOUR,
    24 * _HOUR,
)  # fmt: skip
"""After the first try, the waits before each further one, ms: eleven tries within about three days."""
TRIES = len(WAITS) + 1
JITTER_PERCENT = 10
"""A wait is up to so much longer: what failed together does not come back together."""
LONGEST_RETRY_AFTER = 24 * _HOUR
"""What an answer may ask for at most, ms."""
ATTEMPTS_KEPT = 20


class Outcome(Enum):
    """How a try ended."""

    DELIVERED = "delivered"
    FAILED = "failed"
    GONE = "gone"
    """410: nothing is wanted there any more."""


@dataclass(frozen=True, slots=True)
class TryResult:
    """What came of one try. `retry_after`: ms that the answer asks to wait, where it does."""

    outcome: Outcome
    attempt: DeliveryAttempt
    retry_after: int | None = None


def wait_before(delivery_id: str, tries: int) -> int | None:
    """How long to wait after so many failed tries, ms; None: it was the last one.

    The jitter follows from the message and the number alone, so that every process waits alike.
    """
    if tries >= TRIES:
        return None
    wait = WAITS[tries - 1]
    digest = blake2b(f"{delivery_id}\0{tries}".encode(), digest_size=8).digest()
    return wait + int.from_bytes(digest, "big") % (wait * JITTER_PERCENT // 100 + 1)


def after_try(delivery: Delivery, result: TryResult) -> Delivery:
    """The delivery as it is after this try: delivered, failed for good, or pending until its next one."""
    attempt, tries = result.attempt, delivery.tries + 1
    ended_at = attempt.at + attempt.duration
    tried = replace(
        delivery, tries=tries, attempts=(*delivery.attempts, attempt)[-ATTEMPTS_KEPT:], revision=delivery.revision + 1
    )  # fmt: skip
    if result.outcome is Outcome.DELIVERED:
        return replace(tried, status=DeliveryStatus.DELIVERED, next_at=None, finished_at=ended_at, reason="")
    if result.outcome is Outcome.GONE:
        return replace(tried, status=DeliveryStatus.FAILED, next_at=None, finished_at=ended_at, reason=attempt.error)
    wait = wait_before(delivery.delivery_id, tries)
    if wait is None:
        reason = f"{tries} tries failed, the last with: {attempt.error}"
        return replace(tried, status=DeliveryStatus.FAILED, next_at=None, finished_at=ended_at, reason=reason)
    asked = min(result.retry_after or 0, LONGEST_RETRY_AFTER)
    return replace(tried, next_at=ended_at + max(wait, asked))


def dropped(delivery: Delivery, reason: str, now: int) -> Delivery:
    """The delivery, not to be tried any more. `now` in ms."""
    return replace(
        delivery, status=DeliveryStatus.DROPPED, next_at=None, finished_at=now, reason=reason,
        revision=delivery.revision + 1,
    )  # fmt: skip


def sent_again(delivery: Delivery, reason: str, now: int) -> Delivery:
    """The delivery, due at once with all its tries before it; its id stays. `now` in ms."""
    return replace(
        delivery, status=DeliveryStatus.PENDING, tries=0, next_at=now, finished_at=None, reason=reason,
        revision=delivery.revision + 1,
    )  # fmt: skip

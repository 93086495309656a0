"""What was sent to a webhook and what was tried, as ClickHouse has it: by pages, and one by its id.

For fronts: `list_deliveries` gives a page, newest first, `find_delivery` one message with every try that is kept. Who
may see a webhook is decided before (`application/access/webhooks.py`); only its own deliveries are read here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from application.errors import ErrorCode, Failed
from application.usage.query import BadQuery
from application.usage.store import UsageStore
from sinks.deliveries import TABLE
from sinks.parameters import Parameter
from streams.deliveries.records import Delivery, DeliveryAttempt, DeliveryStatus

PAGE, MOST = 50, 200
_LONGEST_ID = 128
_COLUMNS = """delivery_id, webhook_id, account_id, event, payload, status, tries, reason, revision,
    toUnixTimestamp64Milli(created_at) AS created_ms, toUnixTimestamp64Milli(next_at) AS next_ms,
    toUnixTimestamp64Milli(finished_at) AS finished_ms,
    arrayMap(at -> toUnixTimestamp64Milli(at), attempt_times) AS attempt_ms, attempt_durations, attempt_codes,
    attempt_errors, log_partition"""


@dataclass(frozen=True, slots=True)
class ListedDelivery:
    """A message as it is loaded: the newest record that ClickHouse has. `partition`: of the topic of deliveries."""

    delivery: Delivery
    partition: int


@dataclass(frozen=True, slots=True)
class DeliveryPage:
    """Messages, newest first. `next`: where the next page begins, None after the last."""

    deliveries: tuple[ListedDelivery, ...]
    next: str | None


def list_deliveries(
    store: UsageStore, webhook_id: str, *, status: str | None = None, cursor: str | None = None, limit: int = PAGE
) -> DeliveryPage:
    """A page of a webhook's messages; `status`: only those of this one. Raises BadQuery, TooMuch, Failed."""
    parameters: dict[str, Parameter] = {"webhook": webhook_id}
    conditions = ["webhook_id = {webhook:String}"]
    mistakes = []
    if not 1 <= limit <= MOST:
        mistakes.append(("limit", f"should be 1 to {MOST}"))
    if status is not None:
        if status not in set(DeliveryStatus):
            mistakes.append(("status", f"should be one of {', '.join(DeliveryStatus)}"))
        parameters["status"] = status
        conditions.append("status = {status:String}")
    if cursor is not None:
        at, _, delivery_id = cursor.partition("-")
        if not (at.isascii() and at.isdigit() and len(at) < 15 and 0 < len(delivery_id) <= _LONGEST_ID):
            mistakes.append(("cursor", "should be the `next` of a page"))
        else:
            parameters |= {"at": int(at), "delivery": delivery_id}
            conditions.append("(toUnixTimestamp64Milli(created_at), delivery_id) < ({at:Int64}, {delivery:String})")
    if mistakes:
        raise BadQuery(mistakes)
    sql = (
        f"SELECT {_COLUMNS} FROM {TABLE} FINAL WHERE {' AND '.join(conditions)} "  # noqa: S608 -- names of our own
        f"ORDER BY created_at DESC, delivery_id DESC LIMIT {limit + 1}"
    )
    rows = [_listed(row) for row in store.rows(sql, parameters)]
    page = tuple(rows[:limit])
    last = page[-1].delivery if len(rows) > limit else None
    return DeliveryPage(page, None if last is None else f"{last.created_at}-{last.delivery_id}")


def find_delivery(store: UsageStore, webhook_id: str, delivery_id: str) -> ListedDelivery:
    """One message of a webhook. Raises Failed: NOT_FOUND, also while it is not loaded yet; UNAVAILABLE."""
    sql = (
        f"SELECT {_COLUMNS} FROM {TABLE} FINAL WHERE webhook_id = {{webhook:String}} "  # noqa: S608 -- names of our own
        "AND delivery_id = {delivery:String} LIMIT 1"
    )
    rows = store.rows(sql, {"webhook": webhook_id, "delivery": delivery_id})
    if not rows:
        raise Failed(f"webhook {webhook_id} has no delivery {delivery_id}", ErrorCode.NOT_FOUND)
    return _listed(rows[0])


def _listed(row: Mapping[str, Any]) -> ListedDelivery:
    attempts = zip(
        row["attempt_ms"], row["attempt_durations"], row["attempt_codes"], row["attempt_errors"], strict=True
    )  # fmt: skip
    delivery = Delivery(
        delivery_id=row["delivery_id"], webhook_id=row["webhook_id"], account_id=row["account_id"], event=row["event"],
        payload=row["payload"], created_at=int(row["created_ms"]), status=DeliveryStatus(row["status"]),
        tries=int(row["tries"]), next_at=_time(row["next_ms"]), finished_at=_time(row["finished_ms"]),
        reason=row["reason"], revision=int(row["revision"]),
        attempts=tuple(
            DeliveryAttempt(int(at), int(duration), int(code) or None, error) for at, duration, code, error in attempts
        ),
    )  # fmt: skip
    return ListedDelivery(delivery, int(row["log_partition"]))


def _time(value: Any) -> int | None:
    return None if value is None else int(value)

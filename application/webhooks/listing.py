"""What was sent to a webhook and what was tried, as ClickHouse has it: by pages, and one by its id.

A page is found by few columns in growing spans of days, from the newest on, and only its own messages are read whole: a
webhook to which millions were sent is listed as quickly as another.

For fronts: `list_deliveries` gives a page, newest first, `find_delivery` one message with every try that is kept. Who
may see a webhook is decided before (`application/access/webhooks.py`); only its own deliveries are read here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from application.errors import ErrorCode, Failed
from application.usage.conditions import Bound
from application.usage.newest import days_condition
from application.usage.query import BadQuery
from application.usage.store import Row, UsageStore
from metering.windows import DAY_MS
from sinks.deliveries import TABLE
from sinks.rows import LAST_TIME
from streams.deliveries.records import Delivery, DeliveryAttempt, DeliveryStatus

PAGE, MOST = 50, 200
_LONGEST_ID = 128
_SPANS = (1, 7, 90)
"""Days looked through one after the other, from the newest on; then all that are left."""
_Key = tuple[int, str]
"""What orders messages, newest first: when they were made (ms), and their id."""
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
    mistakes = []
    if not 1 <= limit <= MOST:
        mistakes.append(("limit", f"should be 1 to {MOST}"))
    if status is not None and status not in set(DeliveryStatus):
        mistakes.append(("status", f"should be one of {', '.join(DeliveryStatus)}"))
    after = None
    if cursor is not None:
        at, _, delivery_id = cursor.partition("-")
        if not (at.isascii() and at.isdigit() and len(at) < 15 and 0 < len(delivery_id) <= _LONGEST_ID):
            mistakes.append(("cursor", "should be the `next` of a page"))
        else:
            after = int(at), delivery_id
    if mistakes:
        raise BadQuery(mistakes)
    keys: list[_Key] = []
    for first, last in _spans(store, webhook_id, after):
        keys += _keys(store, webhook_id, status, after, (first, last), limit + 1 - len(keys))
        if len(keys) > limit:
            break
    page = _whole(store, webhook_id, keys[:limit])
    return DeliveryPage(page, f"{keys[limit - 1][0]}-{keys[limit - 1][1]}" if len(keys) > limit else None)


def _spans(store: UsageStore, webhook_id: str, after: _Key | None) -> Iterator[tuple[int, int]]:
    """Spans of days, both included, that cover all behind the cursor, newest first; none where there is nothing."""
    if after is None:
        sql = (
            f"SELECT toInt64(toInt32(day)) AS last FROM {TABLE} WHERE webhook_id = {{webhook:String}} "  # noqa: S608 -- names of our own
            "ORDER BY webhook_id DESC, day DESC LIMIT 1"
        )
        rows = store.rows(sql, {"webhook": webhook_id})
        if not rows:
            return
        last = int(rows[0]["last"])
    else:
        last = min(after[0], LAST_TIME) // DAY_MS
    for days in _SPANS:
        yield last - days + 1, last
        last -= days
    yield 0, last


def _keys(
    store: UsageStore, webhook_id: str, status: str | None, after: _Key | None, days: tuple[int, int], count: int
) -> list[_Key]:
    """Up to `count` messages of these days, newest first."""
    bound = Bound()
    conditions = [f"webhook_id = {bound.bind(webhook_id, 'String')}", days_condition(bound, *days)]
    if status is not None:
        conditions.append(f"status = {bound.bind(status, 'String')}")
    if after is not None:
        at, delivery_id = bound.bind(after[0], "Int64"), bound.bind(after[1], "String")
        conditions.append(f"(toUnixTimestamp64Milli(created_at), delivery_id) < ({at}, {delivery_id})")
    rows = store.rows(
        f"SELECT toUnixTimestamp64Milli(created_at) AS created_ms, delivery_id FROM {TABLE} FINAL "  # noqa: S608 -- names of our own
        f"WHERE {' AND '.join(conditions)} ORDER BY created_at DESC, delivery_id DESC LIMIT {count}",
        bound.parameters,
    )
    return [(int(row["created_ms"]), row["delivery_id"]) for row in rows]


def _whole(store: UsageStore, webhook_id: str, keys: list[_Key]) -> tuple[ListedDelivery, ...]:
    """The messages of these keys, in their order: the newest record of each, which may be newer than its key."""
    if not keys:
        return ()
    bound = Bound()
    conditions = [
        f"webhook_id = {bound.bind(webhook_id, 'String')}",
        days_condition(bound, keys[-1][0] // DAY_MS, keys[0][0] // DAY_MS),
        f"delivery_id IN {bound.texts([delivery_id for _, delivery_id in keys])}",
    ]
    sql = f"SELECT {_COLUMNS} FROM {TABLE} FINAL WHERE {' AND '.join(conditions)}"  # noqa: S608 -- names of our own
    by_key = {_key(row): _listed(row) for row in store.rows(sql, bound.parameters)}
    return tuple(by_key[key] for key in keys)


def _key(row: Row) -> _Key:
    return int(row["created_ms"]), row["delivery_id"]


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

"""From records of the topic of deliveries to rows: the newest record of a delivery is its row.

The version is the record's own offset, so that the same records again, in any order, change nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from sinks.inserts import Insert
from sinks.rows import DAY, EPOCH, LAST_TIME, Record

TABLE = "delivery_rows"
_FIELDS = (
    "webhook_id", "delivery_id", "account_id", "event", "payload", "status", "tries", "reason", "revision",
)  # fmt: skip
_TIMES = ("created_at", "next_at", "finished_at")


class DeliveryAt(NamedTuple):
    """A decoded Delivery and where it stands in the topic."""

    partition: int
    offset: int
    fields: Record


def delivery_insert(records: Sequence[DeliveryAt]) -> Insert:
    """The rows of these records, one each. Raises KeyError for a record that is none of ours."""
    fields = [record.fields for record in records]
    attempts = [record["attempts"] for record in fields]
    columns: dict[str, list[Any]] = {name: [record[name] for record in fields] for name in _FIELDS}
    for name in _TIMES:
        columns[name] = [None if record[name] is None else min(record[name], LAST_TIME) for record in fields]
    columns["day"] = [EPOCH + timedelta(days=time // DAY) for time in columns["created_at"]]
    columns["attempt_times"] = [[min(attempt["at"], LAST_TIME) for attempt in some] for some in attempts]
    columns["attempt_durations"] = [[attempt["duration"] for attempt in some] for some in attempts]
    columns["attempt_codes"] = [[attempt["status_code"] or 0 for attempt in some] for some in attempts]
    columns["attempt_errors"] = [[attempt["error"] for attempt in some] for some in attempts]
    columns["log_partition"] = [record.partition for record in records]
    columns["log_offset"] = [record.offset for record in records]
    columns["version"] = [record.offset for record in records]
    return Insert(TABLE, columns)

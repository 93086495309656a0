"""From output batches to the columns of the base tables.

What always holds: a row's key, day and partition follow from the output alone, and its version is the source offset. So
the same batches again, in pieces or in another order, give the same rows, and equal keys count once in every view.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import date, timedelta
from itertools import chain
from operator import itemgetter
from typing import Any, NamedTuple

Record = dict[str, Any]

DAY = 86_400_000
EPOCH = date(1970, 1, 1)
LAST_TIME = 10_413_791_999_999
"""The last ms of the year 2299: DateTime64 ends there, and later times are stored as this one."""
PART_SHIFT = 32
"""``position`` is part * 2**32 + place in the part: it rises through everything that a message caused in a topic."""


class _Days(dict[int, date]):
    """Days since the epoch to dates, each made once."""

    def __missing__(self, number: int) -> date:
        day = self[number] = EPOCH + timedelta(days=number)
        return day


_DAYS = _Days()


class Shape(NamedTuple):
    """How the items of one kind of batch become a table's rows."""

    table: str
    items: str
    fields: tuple[str, ...]
    time: str
    """The field that the row's day is taken from."""
    optional_times: tuple[str, ...] = ()
    expand: Callable[[Sequence[Record], dict[str, list[Any]]], None] | None = None
    """Adds the columns that no field of an item is as it stands."""
    arrays: tuple[str, ...] = ()
    """The columns of ``expand`` that hold arrays."""


def _expand_billed(events: Sequence[Record], columns: dict[str, list[Any]]) -> None:
    """Maps and lists of records become pairs of arrays, which every version of ClickHouse has.

    A dictionary stands for the array of its keys: copying each into a list costs more than all of its values' way in.
    """
    quantities = [event["quantities"] for event in events]
    attributes = [event["attributes"] for event in events]
    used = [event["grants_used"] for event in events]
    columns["quantity_names"] = quantities
    columns["quantity_values"] = list(map(dict.values, quantities))
    columns["attribute_names"] = attributes
    columns["attribute_values"] = list(map(dict.values, attributes))
    columns["grant_ids"] = [[use["grant_id"] for use in uses] if uses else () for uses in used]
    columns["grant_credits"] = [[use["credits"] for use in uses] if uses else () for uses in used]


def _expand_hold(changes: Sequence[Record], columns: dict[str, list[Any]]) -> None:
    for field, column in (("credits", "credit"), ("charged", "charged"), ("available_after", "available")):
        _split_map(changes, field, columns, f"{column}_types", f"{column}_amounts")


def _expand_account(changes: Sequence[Record], columns: dict[str, list[Any]]) -> None:
    plans = [change["plan"] or {} for change in changes]
    columns["plan"] = [plan.get("name") for plan in plans]
    columns["plan_started_at"] = [plan.get("started_at") for plan in plans]
    columns["plan_ends_at"] = [plan.get("ends_at") for plan in plans]
    _split_map(changes, "alert_below", columns, "mark_types", "mark_amounts")


def _split_map(items: Sequence[Record], field: str, columns: dict[str, list[Any]], keys: str, values: str) -> None:
    maps = [item[field] for item in items]
    columns[keys] = maps
    columns[values] = list(map(dict.values, maps))


SHAPES: dict[str, Shape] = {
    "BilledBatch": Shape(
        "billed_rows",
        "events",
        (
            *("event_id", "line", "account_id", "occurred_at", "endpoint", "channel", "outcome", "request_id", "actor"),
            *("user_id", "ip", "domain", "plan", "decision", "charge", "feature", "action", "credit_type"),
            *("price_version", "units", "unit_credits", "credits", "owner_event_id", "window_ends_at", "balance_after"),
            "hold_id",
        ),
        "occurred_at",
        ("window_ends_at",),
        _expand_billed,
        (
            *("quantity_names", "quantity_values", "attribute_names", "attribute_values", "grant_ids"),
            "grant_credits",
        ),
    ),
    "RefundBatch": Shape(
        "refund_rows",
        "refunds",
        (
            *("refund_id", "account_id", "event_id", "line", "charge", "status", "reject_reason", "credits"),
            *("forfeited", "credit_type", "remaining_charge", "balance_after", "reason", "requested_at"),
            "occurred_at",
        ),
        "requested_at",
        ("occurred_at",),
    ),
    "GrantBatch": Shape(
        "grant_rows",
        "grants",
        (
            *("grant_id", "account_id", "credit_type", "status", "credits", "expires_at", "balance_after", "reason"),
            "changed_at",
        ),
        "changed_at",
        ("expires_at",),
    ),
    "DeadLetterBatch": Shape(
        "dead_letter_rows",
        "dead_letters",
        (
            *("reason", "field", "detail", "command", "account_id", "id", "index", "producer", "recorded_at", "size"),
            "original",
        ),
        "recorded_at",
    ),
    "AlertBatch": Shape(
        "alert_rows",
        "alerts",
        ("account_id", "kind", "credit_type", "mark", "balance", "at"),
        "at",
    ),
    "HoldBatch": Shape(
        "hold_rows",
        "holds",
        ("account_id", "hold_id", "status", "event_id", "reject_reason", "expires_at", "at", "reason"),
        "at",
        ("expires_at",),
        _expand_hold,
        (
            *("credit_types", "credit_amounts", "charged_types", "charged_amounts", "available_types"),
            "available_amounts",
        ),
    ),
    "AccountBatch": Shape(
        "account_rows",
        "accounts",
        ("account_id", "update_id", "on_empty", "at"),
        "at",
        ("plan_started_at", "plan_ends_at"),
        _expand_account,
        ("mark_types", "mark_amounts"),
    ),
}
"""By the name of the batch's Avro record."""


def to_columns(name: str, batches: Iterable[Record]) -> tuple[str, dict[str, list[Any]]]:
    """The table and its columns for batches of the record ``name`` (BilledBatch, RefundBatch, ...), decoded.

    One row an item, in the order given. Raises KeyError for a name or an item that is none of ours.
    """
    shape = SHAPES[name]
    batches = list(batches)
    items: list[Record] = list(chain.from_iterable(batch[shape.items] for batch in batches))
    columns: dict[str, list[Any]] = {field: list(map(itemgetter(field), items)) for field in shape.fields}
    if shape.expand is not None:
        shape.expand(items, columns)
    for field in (shape.time, *shape.optional_times):
        columns[field] = _within_range(columns[field])
    columns["day"] = [_DAYS[time // DAY] for time in columns[shape.time]]
    _add_source(columns, batches, shape.items)
    return shape.table, columns


def _add_source(columns: dict[str, list[Any]], batches: Sequence[Record], items: str) -> None:
    partitions: list[int] = []
    offsets: list[int] = []
    positions: list[int] = []
    for batch in batches:
        count = len(batch[items])
        first = batch["part"] << PART_SHIFT
        partitions += [batch["source_partition"]] * count
        offsets += [batch["source_offset"]] * count
        positions += range(first, first + count)
    columns["source_partition"] = partitions
    columns["source_offset"] = offsets
    columns["position"] = positions
    columns["version"] = offsets


def _within_range(times: list[int | None]) -> list[Any]:
    if max(filter(None, times), default=0) <= LAST_TIME:
        return times
    return [None if time is None else min(time, LAST_TIME) for time in times]

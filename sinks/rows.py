"""From output batches to the columns of the base tables.

What always holds: a row's key, day and partition follow from the output alone, and its version is the source offset. So
the same batches again, in pieces or in another order, give the same rows, and equal keys count once in every view.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from itertools import chain
from operator import itemgetter
from typing import Any, NamedTuple, Protocol

from sinks.sink import ArrayColumn

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


class Batches(Protocol):
    """Output batches of one kind, decoded to one list for each field of their items.

    ``values``: by a field's path, its value for each item: integers, texts or their bytes, None. The fields of a nested
    record have paths like ``plan.name``. Of a map or an array of records ``values`` holds how many entries each item
    has, and under ``quantities.key``, ``quantities.value`` or ``grants_used.credits`` those of all items.
    """

    @property
    def values(self) -> Mapping[str, list[Any]]: ...

    @property
    def heads(self) -> Sequence[tuple[int, int, int, int]]:
        """Each batch's source_partition, source_offset, part and parts."""
        ...

    @property
    def counts(self) -> Sequence[int]:
        """How many items each batch has."""
        ...


class Shape(NamedTuple):
    """How the items of one kind of batch become a table's rows."""

    table: str
    items: str
    fields: tuple[str, ...]
    """Those whose columns have their names."""
    time: str
    """The field that the row's day is taken from."""
    optional_times: tuple[str, ...] = ()
    nested: Mapping[str, Mapping[str, str]] = {}
    """By field, a map or an array of records: the column of each of its parts. Pairs of arrays, which every version of
    ClickHouse has."""
    record: str | None = None
    """The field that is a record, or null."""
    renamed: Mapping[str, str] = {}
    """The columns of the fields of that record, by their paths."""

    @property
    def arrays(self) -> tuple[str, ...]:
        """The columns that hold arrays."""
        return tuple(column for parts in self.nested.values() for column in parts.values())


def _map(column: str) -> dict[str, str]:
    return {"key": f"{column}_types", "value": f"{column}_amounts"}


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
        {
            "quantities": {"key": "quantity_names", "value": "quantity_values"},
            "attributes": {"key": "attribute_names", "value": "attribute_values"},
            "grants_used": {"grant_id": "grant_ids", "credits": "grant_credits"},
        },
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
        {"credits": _map("credit"), "charged": _map("charged"), "available_after": _map("available")},
    ),
    "AccountBatch": Shape(
        "account_rows",
        "accounts",
        ("account_id", "update_id", "on_empty", "at"),
        "at",
        ("plan_started_at", "plan_ends_at"),
        {"alert_below": _map("mark")},
        "plan",
        {"plan.name": "plan", "plan.started_at": "plan_started_at", "plan.ends_at": "plan_ends_at"},
    ),
}
"""By the name of the batch's Avro record."""


class RecordBatches:
    """Decoded batches of the record ``name`` (BilledBatch, RefundBatch, ...) as `Batches`: one row an item, in order.

    Raises KeyError for a name or an item that is none of ours.
    """

    def __init__(self, name: str, batches: Iterable[Record]) -> None:
        shape = SHAPES[name]
        batches = list(batches)
        self.heads = [
            (batch["source_partition"], batch["source_offset"], batch["part"], batch.get("parts", 1))
            for batch in batches
        ]
        self.counts = [len(batch[shape.items]) for batch in batches]
        items: list[Record] = list(chain.from_iterable(batch[shape.items] for batch in batches))
        self.values: dict[str, list[Any]] = {field: list(map(itemgetter(field), items)) for field in shape.fields}
        for field, parts in shape.nested.items():
            self._add_nested(field, parts, [item[field] for item in items])
        if shape.record is not None:
            inner = [item[shape.record] or {} for item in items]
            for path in shape.renamed:
                self.values[path] = [record.get(path.rpartition(".")[2]) for record in inner]

    def _add_nested(self, field: str, parts: Mapping[str, str], collections: list[Any]) -> None:
        self.values[field] = list(map(len, collections))
        flat = list(chain.from_iterable(collections))
        if "key" in parts:
            self.values[f"{field}.key"] = flat
            self.values[f"{field}.value"] = list(chain.from_iterable(entries.values() for entries in collections))
        else:
            for part in parts:
                self.values[f"{field}.{part}"] = [record[part] for record in flat]


def to_columns(name: str, batches: Batches) -> tuple[str, dict[str, Any]]:
    """The table and its columns for batches of the record ``name``: one row an item, in the order given."""
    shape = SHAPES[name]
    values = batches.values
    columns: dict[str, Any] = {field: values[field] for field in shape.fields}
    for field, parts in shape.nested.items():
        for part, column in parts.items():
            columns[column] = ArrayColumn(values[field], values[f"{field}.{part}"])
    for path, column in shape.renamed.items():
        columns[column] = values[path]
    for field in (shape.time, *shape.optional_times):
        columns[field] = _within_range(columns[field])
    columns["day"] = [_DAYS[time // DAY] for time in columns[shape.time]]
    _add_source(columns, batches)
    return shape.table, columns


def _add_source(columns: dict[str, Any], batches: Batches) -> None:
    partitions: list[int] = []
    offsets: list[int] = []
    positions: list[int] = []
    for (partition, offset, part, _), count in zip(batches.heads, batches.counts, strict=True):
        first = part << PART_SHIFT
        partitions += [partition] * count
        offsets += [offset] * count
        positions += range(first, first + count)
    columns["source_partition"] = partitions
    columns["source_offset"] = offsets
    columns["position"] = positions
    columns["version"] = offsets


def _within_range(times: list[int | None]) -> list[Any]:
    if max(filter(None, times), default=0) <= LAST_TIME:
        return times
    return [None if time is None else min(time, LAST_TIME) for time in times]

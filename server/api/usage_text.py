"""Usage as JSON, NDJSON and CSV. In CSV a text that would be a formula in a spreadsheet gets an apostrophe."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import msgspec

from application.usage.aggregation import Aggregation
from application.usage.measures import RATES, Rate, Value
from application.usage.rows import TIMES, UsageRow
from metering.windows import format_instant

_BEGINS_FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n")

ROW_COLUMNS = (
    "date", "kind", "feature", "action", "description", "credits", "data_requested", "user", "account_id", "event_id",
    "line", "occurred_at", "endpoint", "channel", "outcome", "request_id", "actor", "user_id", "ip", "domain", "plan",
    "quantities", "attributes", "decision", "charge", "credit_type", "price_version", "units", "unit_credits",
    "owner_event_id", "window_ends_at", "balance_after", "grants_used", "hold_id", "refund_id", "reason", "forfeited",
    "remaining_charge",
)  # fmt: skip
"""The columns of a row, in order."""


def row_json(row: UsageRow) -> dict[str, Any]:
    """A row with its times as RFC 3339."""
    fields = row.fields
    return fields | {name: _instant(fields[name]) for name in TIMES}


def ndjson_lines(rows: Iterable[UsageRow]) -> bytes:
    """A line a row."""
    return b"".join(msgspec.json.encode(row_json(row)) + b"\n" for row in rows)


def ndjson_end(count: int) -> bytes:
    """The last line, by which a reader knows that nothing is missing."""
    return msgspec.json.encode({"end": True, "rows": count}) + b"\n"


def csv_lines(rows: Iterable[UsageRow]) -> bytes:
    """A line a row, in the order of ROW_COLUMNS."""
    shown = map(row_json, rows)
    return b"".join([csv_line([fields[name] for name in ROW_COLUMNS]) for fields in shown])


def csv_line(values: Iterable[object]) -> bytes:
    """One line of CSV (RFC 4180, UTF-8): texts in quotes, numbers as they are, nothing for null."""
    return (",".join(map(_cell, values)) + "\r\n").encode()


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, int):
        return str(value)
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    if text.startswith(_BEGINS_FORMULAS):
        text = f"'{text}"
    return '"' + text.replace('"', '""') + '"' if '"' in text else f'"{text}"'


def aggregation_json(answer: Aggregation) -> dict[str, Any]:
    """The cells, each with its bucket and group."""
    query = answer.query
    return {
        "as_of": str(answer.as_of),
        "granularity": query.granularity.value,
        "time_zone": query.time_zone,
        "group_by": list(query.group_by),
        "cells": [
            {
                "start": _instant(cell.start),
                "end": _instant(cell.end),
                "group": cell.group,
                **{measure.value: _value(value) for measure, value in cell.values.items()},
            }
            for cell in answer.cells
        ],
    }


def aggregation_csv(answer: Aggregation) -> bytes:
    """A line a cell; a rate is its ratio, with the events that it is of beside it."""
    query = answer.query
    names = ["start", "end", *query.group_by]
    for measure in query.measures:
        names += [measure.value, f"{measure.value}_events"] if measure in RATES else [measure.value]
    lines = [csv_line(names)]
    for cell in answer.cells:
        values: list[object] = [_instant(cell.start), _instant(cell.end), *cell.group.values()]
        for measure in query.measures:
            values += _csv_values(cell.values[measure])
        lines.append(csv_line(values))
    return b"".join(lines)


def _value(value: Value) -> object:
    if isinstance(value, Rate):
        return {
            "numerator": value.numerator, "denominator": value.denominator, "ratio": value.ratio, "apart": value.apart,
        }  # fmt: skip
    return value


def _csv_values(value: Value) -> list[object]:
    return [value.ratio, value.denominator] if isinstance(value, Rate) else [value]


@lru_cache(maxsize=1_024)
def _instant(ms: int | None) -> str | None:
    return None if ms is None else format_instant(ms)

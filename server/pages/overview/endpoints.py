"""Usage by endpoint: requests, how they ended, and what they cost."""

from __future__ import annotations

from dataclasses import dataclass, replace

from application.usage.aggregation import AggregationQuery, aggregate
from application.usage.history import UsageReader
from application.usage.measures import Measure, Rate
from application.usage.query import BadQuery, Filters
from application.usage.scope import UsageScope

_MEASURES = (Measure.EVENTS, Measure.SUCCESS_RATE, Measure.FAILURE_RATE, Measure.FREE_REPEATS)
SORTS = {
    "credits": "Credits", "requests": "Requests", "success": "Success", "failure": "Failure", "repeats": "Free repeats",
    "endpoint": "Endpoint",
}  # fmt: skip
"""What the table can be sorted by, with the heads of its columns."""
DEFAULT_SORT = "credits"
MOST = 50
"""Endpoints that are listed."""


@dataclass(frozen=True, slots=True)
class Requests:
    """Of one endpoint, or of all. `processed` and `failed` of `rated`; `apart`: by outcome, those in neither."""

    endpoint: str
    requests: int
    processed: int
    failed: int
    rated: int
    apart: dict[str, int]
    repeats: int
    credits: int = 0

    @property
    def refused(self) -> int:
        return sum(self.apart.values())

    def percent(self, count: int) -> str:
        """A share of the rated ones, rounded half up to a tenth of a percent: `98.4 %`; a dash where there are none."""
        if not self.rated:
            return "\u2013"
        tenths = (2_000 * count + self.rated) // (2 * self.rated)
        return f"{tenths // 10}.{tenths % 10}\u00a0%"


def requests_by_endpoint(
    reader: UsageReader, scope: UsageScope, filters: Filters, unit: str | None
) -> list[Requests] | None:
    """By endpoint, unsorted, with credits of one type; None where there are more than an answer may have."""
    query = AggregationQuery(scope, filters, group_by=("endpoint",), measures=_MEASURES)
    try:
        cells = aggregate(reader, query).cells
    except BadQuery:
        return None
    charged: dict[str, int] = {}
    if unit is not None:
        of_unit = replace(query, filters=replace(filters, credit_type=(unit,)), measures=(Measure.CREDITS,))
        for cell in aggregate(reader, of_unit).cells:
            value = cell.values[Measure.CREDITS]
            charged[str(cell.group["endpoint"])] = value if isinstance(value, int) else 0
    return [
        replace(
            _requests(str(cell.group["endpoint"]), cell.values), credits=charged.get(str(cell.group["endpoint"]), 0)
        )
        for cell in cells
    ]


def all_requests(reader: UsageReader, scope: UsageScope, filters: Filters) -> Requests:
    """Of all endpoints together."""
    query = AggregationQuery(scope, filters, measures=_MEASURES)
    return _requests("", aggregate(reader, query).cells[0].values)


def sorted_requests(rows: list[Requests], by: str) -> list[Requests]:
    """The greatest first; names in their order. At most MOST."""
    if by == "endpoint":
        return sorted(rows, key=lambda row: row.endpoint)[:MOST]
    if by in {"success", "failure"}:
        return sorted(rows, key=lambda row: (-_millionths(row, by), row.endpoint))[:MOST]
    counts = {"credits": "credits", "requests": "requests", "repeats": "repeats"}
    return sorted(rows, key=lambda row: (-getattr(row, counts[by]), row.endpoint))[:MOST]


def _millionths(row: Requests, by: str) -> int:
    return (row.processed if by == "success" else row.failed) * 1_000_000 // max(row.rated, 1)


def _requests(endpoint: str, values: dict[Measure, int | Rate]) -> Requests:
    success, failure = values[Measure.SUCCESS_RATE], values[Measure.FAILURE_RATE]
    events, repeats = values[Measure.EVENTS], values[Measure.FREE_REPEATS]
    if not (
        isinstance(success, Rate) and isinstance(failure, Rate) and isinstance(events, int) and isinstance(repeats, int)
    ):
        raise TypeError("a count is a number, and a rate a rate")
    return Requests(
        endpoint, events, success.numerator, failure.numerator, success.denominator, success.apart, repeats
    )  # fmt: skip

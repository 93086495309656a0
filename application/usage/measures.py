"""What can be counted of usage, and how: whole numbers, and rates as two of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from application.usage.fields import ATTRIBUTES, LINE_FIELDS
from application.usage.query import LINE_FILTERS, Filters
from metering.records import Outcome

_DIGITS = 6


class Measure(StrEnum):
    """The measures, by name. Rates and `events` count events; all others count lines or credits."""

    CREDITS = "credits"
    REFUNDED = "refunded"
    NET = "net"
    EVENTS = "events"
    LINES = "lines"
    UNITS = "units"
    FREE_REPEATS = "free_repeats"
    SUCCESS_RATE = "success_rate"
    FAILURE_RATE = "failure_rate"


RATES = frozenset({Measure.SUCCESS_RATE, Measure.FAILURE_RATE})
OF_REFUNDS = frozenset({Measure.REFUNDED, Measure.NET})
"""The measures that need refunds, too."""
RATED = {
    Measure.SUCCESS_RATE: (Outcome.PROCESSED,),
    Measure.FAILURE_RATE: (Outcome.INVALID, Outcome.FAILED),
}
"""By rate, the outcomes that it counts; both are of these three outcomes together."""
_OF = (Outcome.PROCESSED, Outcome.INVALID, Outcome.FAILED)
_APART = (Outcome.UNAUTHENTICATED, Outcome.RATE_LIMITED, Outcome.BLOCKED)


@dataclass(frozen=True, slots=True)
class Rate:
    """`numerator` of `denominator` events. `apart`: events that are in neither, by outcome."""

    numerator: int
    denominator: int
    apart: dict[str, int]

    @property
    def ratio(self) -> str | None:
        """Their ratio as decimal text, rounded half up to six places; None where there are no events."""
        if not self.denominator:
            return None
        scale = 10**_DIGITS
        rounded = (2 * self.numerator * scale + self.denominator) // (2 * self.denominator)
        return f"{rounded // scale}.{rounded % scale:0{_DIGITS}d}"


Value = int | Rate
"""A measure's value."""


def line_columns(measures: tuple[Measure, ...], group_by: tuple[str, ...], filters: Filters) -> dict[str, str]:
    """The columns that the measures are made of, with their expressions over lines."""
    columns: dict[str, str] = {}
    if {Measure.CREDITS, Measure.NET} & set(measures):
        columns["sum_credits"] = "sum(credits)"
    if Measure.LINES in measures:
        columns["line_count"] = "count()"
    if Measure.UNITS in measures:
        columns["sum_units"] = "sum(units)"
    if Measure.FREE_REPEATS in measures:
        columns["repeats"] = "countIf(decision = 'duplicate')"
    count = _event_count(group_by, filters)
    if Measure.EVENTS in measures:
        columns["event_count"] = count.format("1")
    if RATES & set(measures):
        columns |= {f"of_{outcome}": count.format(f"outcome = '{outcome}'") for outcome in (*_OF, *_APART)}
    return columns


def _event_count(group_by: tuple[str, ...], filters: Filters) -> str:
    """Counts events for which a condition holds. Every accepted event has a line 0.

    Where lines of one event may be in different groups, or some of them left out, events are told apart by a hash of
    128 bits.
    """
    by_line = any(name in LINE_FIELDS for name in group_by if not name.startswith(ATTRIBUTES))
    if by_line or filters.text or any(getattr(filters, name) for name in LINE_FILTERS):
        return "uniqExactIf(sipHash128(account_id, event_id, occurred_at), {})"
    return "countIf(line = 0 AND {})"


def value_of(measure: Measure, counts: Mapping[str, int]) -> Value:
    """A measure of one cell, from the columns of lines and the `refunded` of refunds; what is absent is 0."""
    if measure in RATED:
        numerator = sum(counts.get(f"of_{outcome}", 0) for outcome in RATED[measure])
        apart = {outcome.value: counts.get(f"of_{outcome}", 0) for outcome in _APART}
        return Rate(numerator, sum(counts.get(f"of_{outcome}", 0) for outcome in _OF), apart)
    if measure is Measure.NET:
        return counts.get("sum_credits", 0) - counts.get("refunded", 0)
    return counts.get(_COLUMNS[measure], 0)


_COLUMNS = {
    Measure.CREDITS: "sum_credits",
    Measure.REFUNDED: "refunded",
    Measure.EVENTS: "event_count",
    Measure.LINES: "line_count",
    Measure.UNITS: "sum_units",
    Measure.FREE_REPEATS: "repeats",
}

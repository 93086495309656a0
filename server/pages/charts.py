"""Charts of credits over time, stacked: their numbers, and the bars as the server draws them where no script runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from application.usage.aggregation import AggregationQuery, Cell, aggregate
from application.usage.buckets import Granularity
from application.usage.history import UsageReader
from application.usage.measures import Measure
from application.usage.query import BadQuery, Filters
from application.usage.scope import UsageScope
from metering.windows import DAY_MS
from server.pages import times

MOST_SERIES = 6
"""Named series; what is beyond them is added up as one more."""
OTHERS = "Others"
WIDTH, HEIGHT = 1_000, 220
"""Of a drawing, in its own units."""
_GAP = 0.22
_HOUR = 3_600_000


@dataclass(frozen=True, slots=True)
class Series:
    """One colour of a chart. `colour`: 0 to MOST_SERIES, the last for what is added up."""

    name: str
    colour: int
    values: list[int]

    @property
    def total(self) -> int:
        return sum(self.values)


@dataclass(frozen=True, slots=True)
class Bar:
    """A rectangle of a drawing."""

    x: float
    y: float
    width: float
    height: float
    colour: int


@dataclass(frozen=True, slots=True)
class Chart:
    """Buckets by their first instants (ms), with a label each, and the series from the bottom up.

    `unit`: the credit type that is counted.
    """

    unit: str
    starts: list[int]
    labels: list[str]
    series: list[Series]

    @property
    def total(self) -> int:
        return sum(series.total for series in self.series)

    @property
    def highest(self) -> int:
        """The greatest sum of a bucket."""
        return max((sum(values) for values in zip(*self._columns(), strict=True)), default=0)

    @property
    def top(self) -> int:
        """Where the axis ends: the next round number."""
        return round_up(self.highest)

    def rows(self) -> Iterable[tuple[str, list[int], int]]:
        """For the table of the chart: label, values of the series, and their sum."""
        for at, label in enumerate(self.labels):
            values = [series.values[at] for series in self.series]
            yield label, values, sum(values)

    def as_plain(self) -> dict[str, object]:
        """What the script draws."""
        return {
            "labels": self.labels,
            "series": [
                {"name": series.name, "colour": series.colour, "values": series.values} for series in self.series
            ],
        }

    def bars(self) -> list[Bar]:
        """The chart as rectangles of a drawing of WIDTH by HEIGHT."""
        if not self.top:
            return []
        step, drawn = WIDTH / len(self.starts), []
        for at in range(len(self.starts)):
            reach = 0
            for series in self.series:
                if series.values[at] > 0:
                    low, reach = reach, reach + series.values[at]
                    y, bottom = (HEIGHT - HEIGHT * amount / self.top for amount in (reach, low))
                    x, width = at * step + step * _GAP / 2, step * (1 - _GAP)
                    drawn.append(Bar(round(x, 2), round(y, 2), round(width, 2), round(bottom - y, 2), series.colour))
        return drawn

    def _columns(self) -> list[list[int]]:
        return [series.values for series in self.series]


def credits_chart(
    reader: UsageReader, scope: UsageScope, filters: Filters, unit: str, zone: ZoneInfo, by: str = "feature"
) -> Chart:
    """Credits charged of one credit type over the time of the filters, which has both ends. Raises TooMuch, Failed."""
    granularity = granularity_of(filters)
    query = AggregationQuery(scope, filters, granularity, zone.key, (by,), (Measure.CREDITS,))
    try:
        cells = aggregate(reader, query).cells
    except BadQuery:  # more groups than an answer may have
        query = AggregationQuery(scope, filters, granularity, zone.key, (), (Measure.CREDITS,))
        cells = aggregate(reader, query).cells
    return _chart(cells, query.bucket_starts(), by, unit, zone, granularity)


def granularity_of(filters: Filters) -> Granularity:
    """Buckets for a time: hours up to two days, days up to about three months, weeks up to two years, else months."""
    if filters.from_ms is None or filters.to_ms is None:
        raise ValueError("a chart has a beginning and an end")
    days = (filters.to_ms - filters.from_ms) / DAY_MS
    for most, granularity in ((2.1, Granularity.HOUR), (100, Granularity.DAY), (731, Granularity.WEEK)):
        if days <= most:
            return granularity
    return Granularity.MONTH


def _chart(
    cells: list[Cell], starts: list[int], by: str, unit: str, zone: ZoneInfo, granularity: Granularity
) -> Chart:  # fmt: skip
    places = {start: at for at, start in enumerate(starts)}
    sums: dict[str, list[int]] = defaultdict(lambda: [0] * len(starts))
    for cell in cells:
        name = cell.group.get(by) if cell.group else "All"
        value = cell.values[Measure.CREDITS]
        if isinstance(value, int) and value:
            sums[str(name or "Without a name")][places[cell.start or 0]] += value
    ordered = sorted(sums, key=lambda name: (-sum(sums[name]), name))
    series = [Series(name, at, sums[name]) for at, name in enumerate(ordered[:MOST_SERIES])]
    if len(ordered) > MOST_SERIES:
        rest = [sum(column) for column in zip(*(sums[name] for name in ordered[MOST_SERIES:]), strict=True)]
        series.append(Series(OTHERS, MOST_SERIES, rest))
    return Chart(unit, starts, [_label(start, zone, granularity) for start in starts], series)


def _label(ms: int, zone: ZoneInfo, granularity: Granularity) -> str:
    moment = times.local(ms, zone)
    if granularity is Granularity.HOUR:
        return f"{moment.day} {moment:%b, %H:%M}"
    return f"{moment:%b %Y}" if granularity is Granularity.MONTH else f"{moment.day} {moment:%b %Y}"


def round_up(amount: int) -> int:
    """The least of 1, 2, 2.5, 5 or 10 times a power of ten that is not below the amount; 0 for 0."""
    if amount <= 0:
        return 0
    power: int = 10 ** (len(str(amount)) - 1)
    steps = (power, 2 * power, 5 * power // 2, 5 * power, 10 * power)
    return next(step for step in steps if step >= amount)

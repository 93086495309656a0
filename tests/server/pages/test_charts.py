"""Numbers of charts: buckets, stacking, round axes; and the columns and times of a table."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest

from application.usage.buckets import Granularity
from application.usage.query import Filters
from metering.windows import parse_instant
from server.pages import times
from server.pages.charts import HEIGHT, Chart, Series, granularity_of, round_up
from server.pages.lines import Line, LineChart

DAY = 86_400_000
BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(("amount", "top"), [(0, 0), (1, 1), (3, 5), (11, 20), (101, 200), (240, 250), (999, 1_000)])
def test_an_axis_ends_at_a_round_number(amount: int, top: int) -> None:
    assert round_up(amount) == top


def test_round_numbers_are_not_below() -> None:
    for amount in range(1, 5_000):
        assert amount <= round_up(amount) <= 3 * amount


def test_bars_stand_on_each_other() -> None:
    chart = Chart("credits", [0, 1], ["a", "b"], [Series("x", 0, [30, 0]), Series("y", 1, [20, 10])])
    low, high, other = chart.bars()
    assert low.y + low.height == pytest.approx(HEIGHT)
    assert high.y + high.height == pytest.approx(low.y)
    assert low.height == pytest.approx(HEIGHT * 30 / chart.top)
    assert other.y + other.height == pytest.approx(HEIGHT)
    assert chart.total == 60
    assert chart.highest == 50
    assert Chart("credits", [0], ["a"], []).bars() == []


def test_a_line_is_drawn_where_it_is() -> None:
    chart = LineChart(["a", "b", "c"], [Line("x", 0, [10, None, 0]), Line("y", 1, [None, None, None])])
    assert [points for _, points in chart.polylines()] == ["0.0,0.0 1000.0,220.0", ""]


@pytest.mark.parametrize(
    ("days", "granularity"),
    [(1, Granularity.HOUR), (30, Granularity.DAY), (365, Granularity.WEEK), (2_000, Granularity.MONTH)],
)
def test_buckets_fit_the_time(days: int, granularity: Granularity) -> None:
    assert granularity_of(Filters(0, days * DAY)) is granularity


def test_days_are_the_readers() -> None:
    at = parse_instant("2026-10-25T12:00:00Z")  # a day of 25 hours in Berlin
    start = times.day_start(at, BERLIN)
    assert times.iso(start) == "2026-10-24T22:00:00Z"
    assert times.day_start(at, BERLIN, 1) - start == 25 * 3_600_000
    assert times.parsed("2026-10-25", BERLIN) == start
    assert times.parsed("2026-10-25T01:30", BERLIN) == start + 90 * 60_000
    assert times.parsed("2026-10-25T00:00:00Z", BERLIN) == parse_instant("2026-10-25T00:00:00Z")
    assert times.date_time(at, BERLIN) == "25 Oct 2026, 13:00:00"
    assert times.iso(times.month_start(at, BERLIN)) == "2026-09-30T22:00:00Z"

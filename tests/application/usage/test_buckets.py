"""Buckets follow the zone's own clock, and cover the whole time."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from application.usage.buckets import Granularity, TooManyBuckets, UnknownZone, starts, zone_of

HOUR = 3_600_000


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


def labels(at: int, granularity: Granularity, zone: ZoneInfo) -> object:
    """What the zone's clock shows, as far as the granularity looks at it."""
    local = datetime.fromtimestamp(at / 1000, UTC).astimezone(zone)
    if granularity is Granularity.HOUR:
        return local.date(), local.hour, local.utcoffset()
    if granularity is Granularity.DAY:
        return local.date()
    return local.date().isocalendar()[:2] if granularity is Granularity.WEEK else (local.year, local.month)


@pytest.mark.parametrize(
    ("zone", "around"),
    [
        ("UTC", "2026-03-29"), ("Europe/Berlin", "2026-03-29"), ("Europe/Berlin", "2026-10-25"),
        ("America/New_York", "2026-11-01"), ("Australia/Lord_Howe", "2026-04-05"),
        ("Australia/Lord_Howe", "2026-10-04"),
        ("America/Sao_Paulo", "2018-11-04"), ("America/Sao_Paulo", "2018-02-18"), ("Asia/Beirut", "2026-03-29"),
        ("Pacific/Apia", "2011-12-30"), ("Asia/Kathmandu", "2026-01-01"), ("America/Havana", "2026-11-01"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("granularity", [Granularity.HOUR, Granularity.DAY, Granularity.WEEK, Granularity.MONTH])
def test_a_new_bucket_begins_where_the_clock_says_so(zone: str, around: str, granularity: Granularity) -> None:
    there, middle = ZoneInfo(zone), ms(f"{around}T00:00:00+00:00")
    first, last = middle - 47 * HOUR + 13 * 60_000, middle + 47 * HOUR
    minutes = range(first + 60_000, last, 60_000)
    changes = [at for at in minutes if labels(at, granularity, there) != labels(at - 60_000, granularity, there)]
    assert starts(first, last, granularity, there, 1_000) == [first, *changes]


def test_days_have_23_to_25_hours_and_an_hour_that_comes_twice_is_two() -> None:
    berlin = zone_of("Europe/Berlin")
    spring = starts(ms("2026-03-28T00:00+01:00"), ms("2026-03-31T00:00+02:00"), Granularity.DAY, berlin, 10)
    assert [(after - before) // HOUR for before, after in pairwise(spring)] == [24, 23]
    autumn = starts(ms("2026-10-25T00:00+02:00"), ms("2026-10-26T00:00+01:00"), Granularity.HOUR, berlin, 30)
    assert len(autumn) == 25
    local = [datetime.fromtimestamp(at / 1000, berlin).hour for at in autumn]
    assert local[:5] == [0, 1, 2, 2, 3]


def test_minutes_and_none() -> None:
    at = ms("2026-01-01T10:00:30+00:00")
    assert starts(at, at + 150_000, Granularity.MINUTE, UTC, 10) == [at, at + 30_000, at + 90_000]
    assert starts(at, at + 10**12, Granularity.NONE, UTC, 1) == [at]


def test_too_many_are_refused_before_they_are_made() -> None:
    with pytest.raises(TooManyBuckets):
        starts(0, 10**14, Granularity.MINUTE, UTC, 10_000)
    end = ms("9999-12-31T23:59:59+00:00")
    assert len(starts(end - 60 * 24 * HOUR, end, Granularity.DAY, UTC, 10_000)) < 62


@pytest.mark.parametrize("name", ["Mars/Olympus", "", "../../etc/passwd", "Europe", "\0", "x" * 300])
def test_an_unknown_zone_is_named(name: str) -> None:
    with pytest.raises(UnknownZone):
        zone_of(name)

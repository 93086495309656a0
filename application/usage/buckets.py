"""Time in buckets: minutes, hours, days, weeks or months of a time zone, as instants.

Days begin at the zone's own midnight, so that they have 23 to 25 hours where clocks change; an hour that comes twice is
two. Buckets cover from ≤ t < to wholly: the first and the last are cut where they do not begin or end there.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from enum import StrEnum
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from metering.windows import DAY_MS

_SECOND, _MINUTE, _HOUR = 1_000, 60_000, 3_600_000

_LAST_DAY = date(9999, 11, 1)


class Granularity(StrEnum):
    """How long a bucket is."""

    MINUTE = "PT1M"
    HOUR = "PT1H"
    DAY = "P1D"
    WEEK = "P1W"
    MONTH = "P1M"
    NONE = "none"


class UnknownZone(ValueError):
    """No time zone has this name."""


class TooManyBuckets(ValueError):
    """The time has more buckets than may be asked for."""


def zone_of(name: str) -> ZoneInfo:
    """The zone of this name in the IANA database. Raises UnknownZone."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise UnknownZone(name) from error


def starts(from_ms: int, to_ms: int, granularity: Granularity, zone: tzinfo, most: int) -> list[int]:
    """The first instant (ms) of each bucket; the first is `from_ms`. Raises TooManyBuckets beyond `most` of them."""
    if granularity is Granularity.NONE:
        return [from_ms]
    boundaries = (
        _days(from_ms, granularity, zone)
        if granularity in {Granularity.DAY, Granularity.WEEK, Granularity.MONTH}
        else _short(from_ms, _MINUTE if granularity is Granularity.MINUTE else _HOUR, zone)
    )
    begins = [from_ms]
    for boundary in boundaries:
        if boundary >= to_ms:
            break
        if boundary > begins[-1]:
            begins.append(boundary)
            if len(begins) > most:
                raise TooManyBuckets(f"more than {most:,}")
    return begins


def _short(from_ms: int, length: int, zone: tzinfo) -> Iterator[int]:
    """Where minutes or hours of the zone's clock begin; a change of the clock that is none of them begins one, too."""
    at = from_ms
    while True:
        offset = _offset(at, zone)
        following = at + length - (at + offset) % length
        if _offset(following, zone) != offset:
            following = _change(at, following, offset, zone)
        yield following
        at = following


def _change(low: int, high: int, offset: int, zone: tzinfo) -> int:
    """The first instant after `low`, up to `high`, at which the zone's offset is another (whole seconds)."""
    low, high = low // _SECOND, -(-high // _SECOND)
    while high - low > 1:
        middle = (low + high) // 2
        if _offset(middle * _SECOND, zone) == offset:
            low = middle
        else:
            high = middle
    return high * _SECOND


def _days(from_ms: int, granularity: Granularity, zone: tzinfo) -> Iterator[int]:
    """Where days, weeks (from Monday) or months of the zone begin after `from_ms`."""
    day = _local(from_ms, zone).date()
    while day < _LAST_DAY:
        if granularity is Granularity.DAY:
            day += timedelta(days=1)
        elif granularity is Granularity.WEEK:
            day += timedelta(days=7 - day.weekday())
        else:
            day = date(day.year + day.month // 12, day.month % 12 + 1, 1)
        yield _beginning(day, zone)


def _beginning(day: date, zone: tzinfo) -> int:
    """The first instant of a day: its midnight, or what comes next where clocks jump over it."""
    at = round(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp()) * _SECOND
    if _local(at, zone).time() == time():
        return at
    before = at - DAY_MS
    return _change(before, at, _offset(before, zone), zone)


def _offset(at: int, zone: tzinfo) -> int:
    """The zone's offset from UTC at an instant; both in ms."""
    offset = _local(at, zone).utcoffset()
    return 0 if offset is None else round(offset.total_seconds()) * _SECOND


def _local(at: int, zone: tzinfo) -> datetime:
    return datetime.fromtimestamp(at // _SECOND, UTC).astimezone(zone)

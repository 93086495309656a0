"""Times as files write them, to ms: RFC 3339, servers' `17/May/2015:10:05:03 +0000`, and seconds since the epoch."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from functools import lru_cache

from metering.records import LAST_INSTANT
from metering.windows import parse_any_instant

_FINER_THAN_MS = re.compile(r"(\.[0-9]{3})[0-9]+")
_LEAP_SECOND = re.compile(r"(T[0-9]{2}:[0-9]{2}):60", re.IGNORECASE)
_DAY_SECONDS = 86_400
_LONGEST_TIME = 64
_MOST_DIGITS = 12
_SERVER_TIME = re.compile(
    r"([0-9]{2})/([A-Z][a-z]{2})/([0-9]{4}):([0-9]{2}:[0-9]{2}:[0-9]{2}) ([+-][0-9]{2})([0-9]{2})"
)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def instant(text: str) -> int:
    """Ms of an RFC 3339 time of any year, a finer fraction cut. Raises ValueError.

    A leap second exists only as the last one of a UTC day, and has the number of the second that follows it.
    """
    if len(text) > _LONGEST_TIME:
        raise ValueError(f"{text[:_LONGEST_TIME]!r}… is longer than a time")
    plain, leaps = _LEAP_SECOND.subn(r"\1:59", _FINER_THAN_MS.sub(r"\1", text, count=1), count=1)
    ms = parse_any_instant(plain)
    if not leaps:
        return ms
    if (ms // 1_000 + 1) % _DAY_SECONDS:
        raise ValueError(f"{text!r} is a leap second that does not end a day")
    return ms + 1_000


@lru_cache(maxsize=1_024)
def server_time(text: str) -> int:
    """Ms of a time as Apache and nginx write it, without its brackets. Raises ValueError.

    Remembered: lines that follow each other are often of the same second.
    """
    match = _SERVER_TIME.fullmatch(text)
    if match is None or match[2] not in _MONTHS:
        raise ValueError(f"{text[:40]!r} is not a time like 17/May/2015:10:05:03 +0000")
    day, month, year, clock, zone_hours, zone_minutes = match.groups()
    try:
        return instant(f"{year}-{_MONTHS.index(month) + 1:02d}-{day}T{clock}{zone_hours}:{zone_minutes}")
    except ValueError as error:
        raise ValueError(f"{text[:40]!r} is not a time that exists") from error


def epoch_seconds(text: str) -> int:
    """Ms of a decimal number of seconds since the epoch, a finer fraction cut. Raises ValueError."""
    try:
        seconds = Decimal(text) if len(text) <= _LONGEST_TIME else Decimal("nan")
    except InvalidOperation:
        seconds = Decimal("nan")
    if not seconds.is_finite():
        raise ValueError(f"{text[:40]!r} is not a number of seconds since 1970")
    # An exponent may stand for a number of any length: it is bounded before it becomes an integer.
    ms = int(seconds.scaleb(3)) if seconds.adjusted() <= _MOST_DIGITS else LAST_INSTANT + 1
    if not 0 <= ms <= LAST_INSTANT:
        raise ValueError(f"{text[:40]!r} is outside the years 1970 to 9999")
    return ms

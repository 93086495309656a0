"""Times for people: shown and read in a time zone that the reader chooses."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from metering.windows import format_instant

_SECOND = 1_000


def local(ms: int, zone: ZoneInfo) -> datetime:
    """The instant (ms) in the zone, to the second. Times after 9999 are the last of that year."""
    try:
        return datetime.fromtimestamp(ms // _SECOND, UTC).astimezone(zone)
    except (ValueError, OverflowError):
        return datetime(9999, 12, 31, 23, 59, 59, tzinfo=zone)


def date_time(ms: int, zone: ZoneInfo) -> str:
    """`26 Nov 2026, 14:03:22`."""
    moment = local(ms, zone)
    return f"{moment.day} {moment:%b %Y, %H:%M:%S}"


def date(ms: int, zone: ZoneInfo) -> str:
    """`26 Nov 2026`."""
    moment = local(ms, zone)
    return f"{moment.day} {moment:%b %Y}"


def iso(ms: int) -> str:
    """As `datetime` attributes have it: RFC 3339, UTC."""
    return format_instant(ms)


def offset(ms: int, zone: ZoneInfo) -> str:
    """The zone's offset then: `UTC+01:00`."""
    text = f"{local(ms, zone):%z}"
    return f"UTC{text[:3]}:{text[3:5]}"


def day_start(ms: int, zone: ZoneInfo, days: int = 0) -> int:
    """The first instant (ms) of the day of `ms` in the zone, `days` later or earlier."""
    return _ms(local(ms, zone).replace(hour=0, minute=0, second=0, microsecond=0, fold=0) + timedelta(days=days))


def month_start(ms: int, zone: ZoneInfo) -> int:
    """The first instant (ms) of the month of `ms` in the zone."""
    return _ms(local(ms, zone).replace(day=1, hour=0, minute=0, second=0, microsecond=0, fold=0))


def parsed(text: str, zone: ZoneInfo) -> int:
    """What a date field or a date and time field holds, as an instant (ms) of the zone. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    return _ms(moment if moment.tzinfo is not None else moment.replace(tzinfo=zone))


def field_day(ms: int, zone: ZoneInfo) -> str:
    """The instant's day as a date field holds it."""
    return f"{local(ms, zone):%Y-%m-%d}"


def _ms(moment: datetime) -> int:
    return round(moment.timestamp()) * _SECOND

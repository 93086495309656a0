"""Durations, instants and the windows in which a unique subject is paid for once.

Every time is an integer of milliseconds since the epoch, UTC; a calendar day is a UTC day. Nothing here reads a clock.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

from metering.records import LAST_INSTANT, YEAR_2000

DAY_MS: Final = 86_400_000

_UNIT_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": DAY_MS}
# Callers limit the duration; the digits are bounded so that reading stays quick.
_DURATION = re.compile(r"([0-9]{1,100})([smhd])")
_INSTANT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.([0-9]+))?(?:[Zz]|[+-][0-9]{2}:[0-5][0-9])"
)
_LONG_YEAR = re.compile(r"[+-]?[0-9]{5,9}-[0-9]{2}-[0-9]{2}")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_FIRST_INSTANT = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // _MILLISECOND


def parse_duration(text: str) -> int:
    """Milliseconds of `30s`, `5m`, `24h` or `35d`; a ValueError says what is wrong."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a duration: write a whole number and s, m, h or d, like 30s, 5m, 24h or 35d")
    return int(match[1]) * _UNIT_MS[match[2]]


def parse_instant(text: str) -> int:
    """Milliseconds since the epoch of an RFC 3339 time with its zone, 2000 to 9999; a ValueError says what is wrong.

    A finer fraction than milliseconds is refused, because rounding it would move the instant.
    """
    instant = parse_any_instant(text)
    if not YEAR_2000 <= instant <= LAST_INSTANT:
        raise ValueError(f"{text!r} is outside the years 2000 to 9999")
    return instant


def parse_any_instant(text: str) -> int:
    """As `parse_instant`, of any year that RFC 3339 can write: the result may be negative, or after the year 9999."""
    match = _INSTANT.fullmatch(text)
    if match is None:
        if _LONG_YEAR.match(text):
            raise ValueError(f"{text!r} is outside the years 2000 to 9999")
        raise ValueError(
            f"{text!r} is not a time with its zone, like 2026-01-01T00:00:00Z or 2026-01-01T02:00:00+02:00"
        )
    fraction = match[1] or ""
    if fraction[3:].strip("0"):
        raise ValueError(f"{text!r} is finer than milliseconds: three decimals are the most")
    try:
        moment = datetime.fromisoformat(text.upper())
        instant = (moment - _EPOCH) // _MILLISECOND
    except (ValueError, OverflowError):
        raise ValueError(f"{text!r} is not a time that exists: look at its month, day, hour and zone") from None
    return instant


def format_instant(ms: int) -> str:
    """An instant as RFC 3339 in UTC, to the second where it has no finer part: `2026-01-01T00:00:00Z`.

    Never raises: an earlier version kept any long as a time, and a window may end later than time can be written.
    """
    if ms > LAST_INSTANT:
        return "after the year 9999"
    if ms < _FIRST_INSTANT:
        return "before the year 1"
    moment = (_EPOCH + timedelta(milliseconds=ms)).replace(tzinfo=None)
    return f"{moment.isoformat(timespec='milliseconds' if ms % 1_000 else 'seconds')}Z"


def format_day(ms: int) -> str:
    """The UTC day of an instant: `2026-01-01`. Never raises, as `format_instant`."""
    return format_instant(ms).partition("T")[0]


@dataclass(frozen=True, slots=True)
class Window:
    """How long a claim lasts: `ms` from the owner's time on both sides, the owner's UTC day, or for ever.

    `ms` is the length of a rolling window, a day's for `calendar_day`, and 0 for `ever`.
    """

    kind: Literal["rolling", "calendar_day", "ever"]
    ms: int

    @classmethod
    def parse(cls, text: str) -> "Window":
        """Read `24h`, `7d`, `calendar_day` or `ever`; a ValueError says what is wrong."""
        if text == "calendar_day":
            return cls("calendar_day", DAY_MS)
        if text == "ever":
            return cls("ever", 0)
        try:
            length = parse_duration(text)
        except ValueError as error:
            raise ValueError(f"{error}; calendar_day and ever are windows too") from None
        if length == 0:
            raise ValueError(f"{text!r} is no time at all: a window lasts at least 1s")
        return cls("rolling", length)

    def covers(self, owner_at: int, at: int) -> bool:
        """Whether an event at `at` falls in the window of a claim made at `owner_at`, before it or after."""
        if self.kind == "rolling":
            return -self.ms < at - owner_at < self.ms
        if self.kind == "calendar_day":
            return owner_at // DAY_MS == at // DAY_MS
        return True

    def ends_at(self, owner_at: int) -> int | None:
        """The first instant after the window of a claim made at `owner_at`; None for `ever`."""
        if self.kind == "rolling":
            return owner_at + self.ms
        if self.kind == "calendar_day":
            return (owner_at // DAY_MS + 1) * DAY_MS
        return None

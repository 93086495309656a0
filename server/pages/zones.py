"""The time zones to choose from."""

from __future__ import annotations

from functools import cache
from zoneinfo import available_timezones

_WITHOUT = ("Etc/", "SystemV/", "posix", "right/", "GMT", "EST", "MST", "HST", "CET", "EET", "MET", "WET", "PST8PDT")


@cache
def _names() -> tuple[str, ...]:
    names = (name for name in available_timezones() if "/" in name and not name.startswith(_WITHOUT))
    return ("UTC", *sorted(names))


def zone_names(chosen: str) -> tuple[str, ...]:
    """Every region's zones by name, UTC first; the chosen one among them."""
    names = _names()
    return names if chosen in names else (chosen, *names)

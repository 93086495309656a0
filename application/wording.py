"""Writes times, spans and amounts for people, everywhere alike."""

from __future__ import annotations

from collections.abc import Mapping

from metering.windows import format_instant

_UNITS = ((86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s"))


def shown_time(ms: int) -> str:
    """An instant (ms) in UTC, to the second where it has no finer part; `after the year 9999` for a later one."""
    return format_instant(ms)


def shown_duration(ms: int) -> str:
    """As a book writes it: 35d, 24h, 5m; 0s for none."""
    for size, unit in _UNITS:
        if ms and ms % size == 0 and (unit != "d" or ms > size):
            return f"{ms // size}{unit}"
    return f"{ms}ms" if ms else "0s"


def amount(credits_: int, credit_type: str) -> str:
    """`20 credits`, `1 credit`, `3 email credits`."""
    kind = "" if credit_type in {"credit", "credits"} else f"{credit_type} "
    return f"{credits_:,} {kind}{'credit' if credits_ == 1 else 'credits'}"


def amounts(credits_: Mapping[str, int]) -> str:
    """Several credit types: `20 credits and 3 email credits`."""
    return listed([amount(credits_of_type, name) for name, credits_of_type in credits_.items()], "and")


def listed(words: list[str], last: str) -> str:
    """`a, b and c`."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {last} {words[-1]}" if words else ""

"""The figures for people: speeds, ratios of one run, and what each measurement says besides."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

_TITLE = 44


class Speed(Protocol):
    """Events a second, and CPU µs an event."""

    @property
    def rate(self) -> float: ...
    @property
    def cpu_micros(self) -> float: ...


class Ratio(NamedTuple):
    """Of events a second. ``wanted``: at least so much; None: nothing is aimed at."""

    name: str
    found: float
    wanted: float | None

    def line(self) -> str:
        aim = ""
        if self.wanted is not None:
            aim = f"   wanted {self.wanted:g}x{'' if self.found >= self.wanted else '   MISSED'}"
        return f"{self.name:<{_TITLE}}{self.found:>9.2f}x{aim}"


def ratios(speeds: Mapping[str, Speed], wanted: Iterable[tuple[str, str, str, float | None]]) -> list[Ratio]:
    """(name, above, below, at least) of events a second, where both were measured."""
    return [
        Ratio(name, speeds[above].rate / speeds[below].rate, least)
        for name, above, below, least in wanted
        if above in speeds and below in speeds
    ]


def print_table(speeds: Mapping[str, Speed], compared: Sequence[Ratio], more: Sequence[Sequence[str]]) -> None:
    """Everything, in blocks. ``more``: the lines of each other measurement."""
    table = [f"{'':<{_TITLE}}{'events/s':>10}{'µs CPU an event':>18}"]
    table += [f"{title:<{_TITLE}}{speed.rate:>10,.0f}{speed.cpu_micros:>18.1f}" for title, speed in speeds.items()]
    blocks = [table if speeds else [], [ratio.line() for ratio in compared], *more]
    print("\n".join(line for block in blocks if block for line in ["", *block]), file=sys.stderr)

"""The figures for people."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from bench.contest import Figures
from bench.latency import Latency


class Ratio(NamedTuple):
    name: str
    found: float
    wanted: float


def ratios(figures: Mapping[str, Figures], wanted: Sequence[tuple[str, str, str, float]]) -> list[Ratio]:
    """(name, above, below, at least) of events a second, where both were measured."""
    return [
        Ratio(name, figures[above].rate / figures[below].rate, least)
        for name, above, below, least in wanted
        if above in figures and below in figures
    ]


def print_table(figures: Mapping[str, Figures], compared: Sequence[Ratio], latency: Latency | None) -> None:
    lines = [f"{'':<36}{'events/s':>10}{'µs CPU an event':>18}"]
    lines += [f"{title:<36}{each.rate:>10,.0f}{each.cpu_micros:>18.1f}" for title, each in figures.items()]
    lines.append("")
    lines += [
        f"{each.name:<36}{each.found:>9.2f}x   wanted {each.wanted:g}x"
        f"{'' if each.found >= each.wanted else '   MISSED'}"
        for each in compared
    ]
    if latency is not None:
        loads = ", ".join(f"{name} {micros:.0f}" for name, micros in latency.cpu_micros.items())
        lines += [
            "",
            f"event to ClickHouse at {latency.rate:,.0f} events/s ({latency.events:,} events)",
            f"p50 {latency.p50:.2f} s, p99 {latency.p99:.2f} s, worst {latency.worst:.2f} s",
            f"µs CPU an event there: {loads}",
        ]
    print("\n".join(["", *lines]), file=sys.stderr)

"""Two bills of the demo side by side: from ClickHouse, and from `creditmeter rate`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

Rows = list[dict[str, Any]]
Ask = Callable[[str], Rows]

PROBE_ACCOUNT = "latency-probe"
"""Events of this account measure time, and are not in the bill."""

_LINES = """
SELECT ifNull(charge, '') AS charge, decision, count() AS lines, sum(credits) AS credits
FROM billed_events WHERE account_id != 'latency-probe' GROUP BY charge, decision"""
_DEAD_LETTERS = "SELECT reason, count() AS letters FROM dead_letters GROUP BY reason"


@dataclass
class Bill:
    """Lines and credits by (charge, decision), and dead letters by reason. Two bills are equal when all of it is."""

    lines: Counter[tuple[str, str]] = field(default_factory=Counter)
    credits: Counter[tuple[str, str]] = field(default_factory=Counter)
    dead_letters: Counter[str] = field(default_factory=Counter)

    @classmethod
    def from_clickhouse(cls, ask: Ask) -> Bill:
        """The bill as an analyst would read it."""
        bill = cls()
        for row in ask(_LINES):
            key = (row["charge"], row["decision"])
            bill.lines[key] += int(row["lines"])
            bill.credits[key] += int(row["credits"])
        for row in ask(_DEAD_LETTERS):
            bill.dead_letters[row["reason"]] += int(row["letters"])
        return bill

    @classmethod
    def from_rate(cls, lines: Iterable[bytes]) -> Bill:
        """The bill in the output of `creditmeter rate`."""
        bill = cls()
        for record in map(json.loads, lines):
            if record["type"] == "billed":
                key = (record["charge"] or "", record["decision"])
                bill.lines[key] += 1
                bill.credits[key] += record["credits"]
            elif record["type"] == "dead_letter":
                bill.dead_letters[record["reason"]] += 1
        return bill

    @property
    def total(self) -> int:
        """All credits charged."""
        return sum(self.credits.values())

    def differences(self, other: Bill) -> list[str]:
        """Where the other bill differs from this one, in words."""
        sentences = []
        for name in ("lines", "credits", "dead_letters"):
            ours, theirs = getattr(self, name), getattr(other, name)
            sentences += [
                f"{name} of {key}: {theirs[key]:,}, and {ours[key]:,} was expected"
                for key in sorted(ours.keys() | theirs.keys())
                if ours[key] != theirs[key]
            ]
        return sentences


@dataclass(frozen=True)
class Figures:
    """How fast it went. `seconds` is from the first event sent until all were loaded; `away` of them nobody rated."""

    events: int
    seconds: float
    away: float
    kills: int
    latencies: tuple[float, ...]

    def sentences(self) -> list[str]:
        """The figures for people."""
        ordered = sorted(self.latencies)
        worked = self.seconds - self.away
        lines = [
            f"{self.events:,} events sent, rated and loaded in {self.seconds:.1f} s",
            f"for {self.away:.1f} s of them Kafka waited for a worker that was killed ({self.kills} times)",
            f"{self.events / worked:,.0f} events/s in the other {worked:.1f} s, everything on this machine",
        ]
        if ordered:
            middle, worst = ordered[len(ordered) // 2] * 1_000, ordered[-1] * 1_000
            lines.append(
                f"an event is visible in ClickHouse after {middle:,.0f} ms (median), {worst:,.0f} ms (slowest)"
            )
        return lines


def print_report(bill: Bill, figures: Figures) -> None:
    """By charge: lines, charged, free repeats, credits; dead letters by reason; speed."""
    from cli.terminal.output import print_status
    from cli.terminal.tables import print_table

    rows = []
    for charge in sorted({charge for charge, _ in bill.lines}):
        decisions = {decision: count for (name, decision), count in bill.lines.items() if name == charge}
        charged, free = decisions.pop("charged", 0), decisions.pop("duplicate", 0)
        rest = ", ".join(f"{count:,} {decision}" for decision, count in sorted(decisions.items()))
        credits_ = sum(amount for (name, _), amount in bill.credits.items() if name == charge)
        lines = charged + free + sum(decisions.values())
        rows.append((charge or "(none)", f"{lines:,}", f"{charged:,}", f"{free:,}", f"{credits_:,}", rest))
    number_columns = ("events", "charged", "free repeats", "credits")
    print_table(("charge", *number_columns, "otherwise"), rows, right=number_columns)
    letters = [(reason, f"{count:,}") for reason, count in sorted(bill.dead_letters.items())]
    print_table(("dead letters", "count"), letters, right=("count",))
    for sentence in figures.sentences():
        print_status(sentence)

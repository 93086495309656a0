"""The findings and counts of an audit. Memory does not grow with the log: differences are reported as they come."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any

from metering.records import Kind, Output


class Finding(StrEnum):
    """How an output, a row or a state differs from the replay."""

    MISSING = "missing"
    UNEXPECTED = "unexpected"
    DIFFERENT = "different"


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference from the replay. `place` says where: topic[partition]@offset, a table's row, a state key.

    `source` is the input message behind it, `partition@offset/part` (a row: `partition@offset`), where there is one.
    """

    finding: Finding
    place: str
    source: str | None
    detail: str

    def __str__(self) -> str:
        behind = "" if self.source is None else f" (of input {self.source})"
        return f"{self.finding}: {self.place}{behind}: {self.detail}"


Note = Callable[[Difference], None]

_MONEY = ("charged", "refunded", "granted", "expired")


@dataclass(slots=True)
class Totals:
    """Counts of a replay; credits by credit type. `doubles` are output records that readers skip, rightly there."""

    messages: int = 0
    events: int = 0
    lines: int = 0
    records: int = 0
    rows: int = 0
    doubles: int = 0
    doubled_rows: int = 0
    decisions: Counter[str] = field(default_factory=Counter)
    repeated: Counter[str] = field(default_factory=Counter)
    dead_letters: Counter[str] = field(default_factory=Counter)
    charged: Counter[str] = field(default_factory=Counter)
    refunded: Counter[str] = field(default_factory=Counter)
    granted: Counter[str] = field(default_factory=Counter)
    expired: Counter[str] = field(default_factory=Counter)

    def note(self, outputs: Iterable[Output]) -> None:
        """Counts what one message caused."""
        for kind, record in outputs:
            if kind is Kind.BILLED:
                self.lines += 1
                self.decisions[record["decision"]] += 1
                if record["credits"]:
                    self.charged[record["credit_type"]] += record["credits"]
            elif kind is Kind.REPEATED:
                self.repeated[record["command"]] += 1
            elif kind is Kind.DEAD_LETTER:
                self.dead_letters[record["reason"]] += 1
            elif kind is Kind.REFUND and record["status"] == "refunded":
                self.refunded[record["credit_type"]] += record["credits"]
            elif kind is Kind.GRANT:
                counter = self.granted if record["status"] == "applied" else self.expired
                counter[record["credit_type"]] += record["credits"]

    def add(self, other: Totals) -> None:
        """Adds the counts of another replay."""
        for counter in fields(self):
            mine, theirs = getattr(self, counter.name), getattr(other, counter.name)
            if isinstance(mine, Counter):
                mine.update(theirs)
            else:
                setattr(self, counter.name, mine + theirs)

    def as_json(self) -> dict[str, Any]:
        """Plain data, counters in order of name."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {k: {str(n): v[n] for n in sorted(v)} if isinstance(v, Counter) else v for k, v in values.items()}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Totals:
        """The counts that `as_json` wrote."""
        values: dict[str, Any] = {n: Counter(v) if isinstance(v, dict) else v for n, v in data.items()}
        return cls(**values)

    @property
    def credit_types(self) -> list[str]:
        """Every credit type that something moved in, in order of name."""
        return sorted({str(name) for counter in _MONEY for name in getattr(self, counter)})

"""Counts of a re-rating: how many events it decided anew, and which lines were decided otherwise."""

from __future__ import annotations

from dataclasses import dataclass, field

from metering.records import Record

_NO_LINE = "no line"

Changes = dict[tuple[str, str, str], "DecisionChange"]
"""By (charge, decision, decision that it would be)."""


@dataclass(slots=True)
class DecisionChange:
    """Lines that were decided otherwise, and their credits before refunds."""

    lines: int = 0
    was: int = 0
    would: int = 0

    def add(self, lines: int, was: int, would: int) -> None:
        self.lines += lines
        self.was += was
        self.would += would


@dataclass(slots=True)
class Tallies:
    """Counts of one replay; `after` is beyond the range."""

    events: int = 0
    kept_refusals: int = 0
    decisions: Changes = field(default_factory=dict)
    after: Changes = field(default_factory=dict)

    def add(self, other: Tallies) -> None:
        """Adds the counts of another partition."""
        self.events += other.events
        self.kept_refusals += other.kept_refusals
        for mine, theirs in ((self.decisions, other.decisions), (self.after, other.after)):
            for key, change in theirs.items():
                mine.setdefault(key, DecisionChange()).add(change.lines, change.was, change.would)


def compare(was: list[Record], would: list[Record], changes: Changes) -> None:
    """Counts the lines decided otherwise. A line without a charge stands for every charge that is not there."""
    before = {record["charge"]: record for record in was}
    after = {record["charge"]: record for record in would}
    for charge in dict.fromkeys((*before, *after)):
        old, new = before.get(charge), after.get(charge)
        if charge is None and (old is None or new is None):
            continue  # counted with each charge of the other side
        old = old or before.get(None)
        new = new or after.get(None)
        decisions = (str(old["decision"]) if old else _NO_LINE, str(new["decision"]) if new else _NO_LINE)
        if decisions[0] != decisions[1]:
            credits_ = (old["credits"] if old else 0, new["credits"] if new else 0)
            changes.setdefault((charge or "", *decisions), DecisionChange()).add(1, *credits_)

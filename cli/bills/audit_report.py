"""Prints the report of `creditmeter audit`: differences as they are found, then the result."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cli.terminal.output import print_json, print_line

if TYPE_CHECKING:
    from replay.audit.checkpoint import Manifest
    from replay.audit.findings import Difference, Totals
    from replay.audit.run import AuditResult


class Printer:
    """Differences as they are found, then the result: text for people, or JSON, one object a line."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json

    def difference(self, difference: Difference) -> None:
        """One line on standard output."""
        if not self._as_json:
            print_line(str(difference))
            return
        fields = {
            "found": str(difference.finding),
            "place": difference.place,
            "source": difference.source,
            "detail": difference.detail,
        }
        print_json({"type": "difference", **fields})

    def result(self, result: AuditResult, began: Manifest | None, keep: Path | None) -> None:
        """What was counted, what could not be judged, and whether a checkpoint was kept."""
        from cli.terminal.output import print_status

        for gap in result.gaps:
            print_status(f"not covered: {gap}")
        if keep is not None:
            print_status(f"kept in {keep}" if result.is_kept else f"{keep} is not made: there are differences or gaps")
        if self._as_json:
            self._json(result, began)
            return
        _print_totals(result.totals, began)
        word = "difference" if result.differences == 1 else "differences"
        clean = "clean" if not result.gaps else "clean as far as it was covered"
        print_line(f"{result.differences:,} {word}" if result.differences else f"0 differences: {clean}")

    @staticmethod
    def _json(result: AuditResult, began: Manifest | None) -> None:
        whole = {
            "type": "result",
            "differences": result.differences,
            "not_covered": result.gaps,
            "checkpoint_kept": result.is_kept,
            **result.totals.as_json(),
            "before": None if began is None else began.totals.as_json(),
        }
        print_json(whole)


def _print_totals(totals: Totals, began: Manifest | None) -> None:
    from cli.terminal.tables import print_table

    rows = [
        ("messages", totals.messages), ("commands", totals.events), ("lines", totals.lines),
        ("repeats", sum(totals.repeated.values())), ("dead letters", sum(totals.dead_letters.values())),
        ("output records compared", totals.records), ("of them doubled, which readers skip", totals.doubles),
        ("rows compared", totals.rows),
    ]  # fmt: skip
    if began is None:
        print_table(("replayed", "count"), [(name, f"{count:,}") for name, count in rows], right=("count",))
    else:
        before = began.totals
        earlier = [
            before.messages, before.events, before.lines, sum(before.repeated.values()),
            sum(before.dead_letters.values()), before.records, before.doubles, before.rows,
        ]  # fmt: skip
        shown = [(name, f"{count:,}", f"{count + old:,}") for (name, count), old in zip(rows, earlier, strict=True)]
        print_table(("replayed", "count", "since the beginning"), shown, right=("count", "since the beginning"))
    if totals.credit_types:
        columns = ("credit type", "charged", "refunded", "granted", "expired")
        counters = (totals.charged, totals.refunded, totals.granted, totals.expired)
        values = [(name, *(f"{counter[name]:,}" for counter in counters)) for name in totals.credit_types]
        print_table(columns, values, right=columns[1:])

"""Prints the report of `creditmeter rerate`: differences by account and charge, totals, and further changes."""

from __future__ import annotations

import heapq
import sys
from typing import TYPE_CHECKING, Any

from application.wording import shown_time
from cli.terminal.output import print_json, print_line, print_status

if TYPE_CHECKING:
    from application.rerating.applying import SentCorrections
    from replay.rerating.corrections import Correction, Row
    from replay.rerating.run import RerateResult
    from replay.rerating.tallies import Changes

_ROWS = 50


class RerateReport:
    """Takes rows and corrections as they come: JSON prints them at once, text keeps the largest differences."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._largest: list[tuple[int, int, Row]] = []
        self._count = 0

    @property
    def is_live(self) -> bool:
        """Whether lines come onto a terminal while the replay goes on: a bar would stand between them."""
        return self._as_json and sys.stdout.isatty()

    def row(self, row: Row) -> None:
        """A charge of an account that would have been different."""
        if self._as_json:
            fields = {
                "account_id": row.account_id, "charge": row.charge, "credit_type": row.credit_type,
                "events": row.events, "changed": row.changed, "was": row.was, "would_be": row.would_be,
                "difference": row.difference,
            }  # fmt: skip
            print_json({"type": "difference", **fields})
            return
        self._count += 1
        entry = (abs(row.difference), -self._count, row)
        if len(self._largest) < _ROWS:
            heapq.heappush(self._largest, entry)
        else:
            heapq.heappushpop(self._largest, entry)

    def correction(self, correction: Correction) -> None:
        """A command that would put something right."""
        if self._as_json:
            print_json(correction.as_json())

    def result(self, plan: dict[str, Any], outcome: RerateResult) -> None:
        """The totals, and for people the differences kept."""
        for overlap in sorted(outcome.overlaps):
            stretch = f"{shown_time(overlap.start)} to {shown_time(overlap.end)}"
            print_status(
                f"an earlier re-rating gave credits for {stretch}, which lies partly in this range: they are not "
                "counted; choose --from and --to that hold it whole"
            )
        if self._as_json:
            print_json({"type": "result", **plan})
            return
        self._print_rows()
        _print_changes("in the range", outcome.tallies.decisions)
        _print_changes("after-effects, not corrected", outcome.tallies.after)
        _print_totals(outcome)

    def sent(self, sent: SentCorrections, plan: str) -> None:
        """The outcome of the corrections."""
        if self._as_json:
            counts = {"refunds": sent.refunds, "grants": sent.grants, "refused": sent.refused}
            print_json({"type": "applied", "plan_id": plan, **counts})
            return
        if not sent.refunds and not sent.grants:
            print_status("nothing to correct")
            return
        print_status(
            f"sent and decided: {sent.refunds:,} refunds and {sent.grants:,} grants, whose ids begin with "
            f"rerate:{plan}: (refund_id in refunds, grant_id in grants)"
        )

    def _print_rows(self) -> None:
        from cli.terminal.tables import print_table

        if not self._largest:
            print_line("No line would have cost anything else.")
            return
        columns = ("account", "charge", "credit type", "events", "changed", "was", "would be", "difference")
        rows = [entry[2] for entry in sorted(self._largest, reverse=True)]
        print_table(
            columns,
            [
                (
                    row.account_id, row.charge, row.credit_type, f"{row.events:,}", f"{row.changed:,}",
                    f"{row.was:,}", f"{row.would_be:,}", f"{row.difference:+,}",
                )
                for row in rows
            ],
            right=columns[3:],
        )  # fmt: skip
        if self._count > len(rows):
            print_line(f"and {self._count - len(rows):,} smaller differences (--json or --plan has all)")


def _print_changes(title: str, changes: Changes) -> None:
    from cli.terminal.tables import print_table

    if changes:
        columns = (f"decided otherwise {title}", "was", "would be", "lines", "credits was", "credits would be")
        rows = [
            (charge, was, would, f"{change.lines:,}", f"{change.was:,}", f"{change.would:,}")
            for (charge, was, would), change in sorted(changes.items())
        ]
        print_table(columns, rows, right=columns[3:])


def _print_totals(outcome: RerateResult) -> None:
    from cli.terminal.tables import print_table

    columns = ("credit type", "was", "would be", "difference", "to refund", "to grant", "not collected")
    rows = [
        (
            name, f"{money.was:,}", f"{money.would_be:,}", f"{money.difference:+,}", f"{money.refunds:,}",
            f"{money.grants:,}", f"{money.not_collected:,}",
        )
        for name, money in sorted(outcome.money.items())
    ]  # fmt: skip
    if rows:
        print_table(columns, rows, right=columns[1:])
    refused = outcome.tallies.kept_refusals
    print_status(
        f"{outcome.tallies.events:,} events in the range"
        + (f", {refused:,} of them refused for lack of credits, which stays so" if refused else "")
    )

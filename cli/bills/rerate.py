"""`creditmeter rerate`: what the bill would have been, and the corrections that make it so."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.terminal.command import Command
from cli.terminal.option_types import INSTANT
from cli.terminal.options import json_option, wait_option, with_configuration

if TYPE_CHECKING:
    from application.configuration.sources import Configuration
    from application.rerating.opening import Rerating
    from cli.bills.rerate_report import RerateReport


@click.command(
    cls=Command,
    short_help="Tell what the bill would have been; correct it.",
    epilog="""
    creditmeter rerate --prices new.yaml --from 2026-01-01 --to 2026-02-01
    creditmeter rerate --prices new.yaml --from 2026-01-01 --to 2026-02-01 --account acme --json
    creditmeter rerate --prices new.yaml --from 2026-01-01 --to 2026-02-01 --plan january.ndjson
    creditmeter rerate --prices new.yaml --from 2026-01-01 --to 2026-02-01 --apply
    """,
)
@click.option("--prices", "book", required=True, type=click.Path(exists=True, dir_okay=False), help="The other book.")
@click.option("--from", "start", required=True, type=INSTANT, help="From this day or instant on (UTC): 2026-01-01.")
@click.option("--to", "end", required=True, type=INSTANT, help="Up to before this day or instant: 2026-02-01.")
@click.option("--account", "accounts", multiple=True, help="Only this account; may be given several times.")
@click.option(
    "--net", type=click.Choice(["charge", "account"]), default="charge", show_default=True,
    help="What was charged too little is set off within each charge, or within all of an account's charges.",
)  # fmt: skip
@click.option("--plan", "plan", type=click.Path(dir_okay=False, path_type=Path), help="Keep the outcome in this file.")
@click.option("--apply", "is_applied", is_flag=True, help="Send the corrections: refunds, and adjustment grants.")
@wait_option
@json_option
@with_configuration
def rerate(
    configuration: Configuration, *, book: str, start: int, end: int, accounts: tuple[str, ...], net: str,
    plan: Path | None, is_applied: bool, wait: float, as_json: bool,
) -> None:  # fmt: skip
    """Decide the events from --from to before --to with another price book, and show what they would have cost.

    The log is replayed to its end, so that refunds and earlier corrections count. Differences are shown by account,
    charge and credit type. With --apply what was charged too much is given back: as refunds while they are possible,
    else as grants, one a day and charge. Nothing can be taken: what was charged too little is shown as not collected.
    Doing it again does nothing. An order for a book that changes the past: --plan, `prices publish --rerated`, --apply.
    """
    from application.pipeline import opened
    from application.prices.files import read_book_file
    from application.rerating.opening import opened_rerating
    from application.wording import shown_time
    from cli.bills.rerate_report import RerateReport
    from cli.terminal.output import print_status
    from cli.terminal.progress import TerminalNotices
    from replay.rerating.partition import Rerate
    from schemas.price_book import book_id
    from streams.garbage_collection import collecting_rarely

    if start >= end:
        raise click.UsageError("--from must be before --to")
    text, prices = read_book_file(book)
    asked = Rerate(book_id(text), prices, start, end, frozenset(accounts) or None)
    if prices.version_at(start) is None:
        first = shown_time(prices.versions[0].effective_from)
        print_status(f"note: {book} has no prices before {first}; events before it would be unpriced")
    report = RerateReport(as_json=as_json)
    notices = TerminalNotices(show_progress=not report.is_live)
    with (
        collecting_rarely(),
        opened(configuration.settings, notices) as pipeline,
        opened_rerating(pipeline, asked, net, report.row, report.correction) as rerating,
    ):
        outcome = rerating.outcome
        report.result(rerating.plan, outcome)
        if plan is not None:
            rerating.keep(plan)
            print_status(f"kept in {plan}")
        if is_applied:
            _apply(rerating, wait, report)
        elif outcome.refunds or outcome.grants:
            counts = f"{outcome.refunds:,} refunds and {outcome.grants:,} grants"
            print_status(f"{counts} would correct it: --apply sends them")


def _apply(rerating: Rerating, wait: float, report: RerateReport) -> None:
    """Sends the corrections and prints what came of them. Raises Failed where one was not made."""
    from application.errors import ErrorCode, Failed

    sent = rerating.send(wait)
    report.sent(sent, rerating.asked.plan_id)
    if sent.refused:
        raise Failed(
            f"{sent.refused:,} of them were not made, the first {sent.first_refused}: the account has changed "
            "meanwhile. Run it again: what is left is looked at anew.",
            ErrorCode.CONFLICT,
        )

"""`creditmeter rerate`: what the bill would have been, and the corrections that make it so."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from cli.terminal.command import Command
from cli.terminal.option_types import INSTANT
from cli.terminal.options import json_option, wait_option, with_configuration

if TYPE_CHECKING:
    from application.configuration.settings import Settings
    from application.configuration.sources import Configuration
    from application.pipeline import Cluster
    from cli.bills.rerate_report import RerateReport
    from replay.rerating.partition import Rerate
    from replay.rerating.run import Outcome


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
    """Decide the events from --from to before --to with another price book, and tell what they would have cost.

    The log is replayed to its end, so that refunds and earlier corrections count. Differences are shown by account,
    charge and credit type. With --apply what was charged too much is given back: as refunds while they are possible,
    else as grants, one a day and charge. Nothing can be taken: what was charged too little is told as not collected.
    Doing it again does nothing. An order for a book that changes the past: --plan, `prices publish --rerated`, --apply.
    """
    from application.errors import Failed
    from application.prices.files import read_book_file, shown_time
    from application.rerating.plan import plan_json, write_plan
    from cli.bills.rerate_report import RerateReport
    from cli.terminal.output import say
    from replay.rerating.partition import Rerate
    from schemas.price_book import book_id
    from streams.state.store import StateError

    if start >= end:
        raise click.UsageError("--from must be before --to")
    text, prices = read_book_file(book)
    asked = Rerate(book_id(text), prices, start, end, frozenset(accounts) or None)
    if prices.version_at(start) is None:
        first = shown_time(prices.versions[0].effective_from)
        say(f"note: {book} has no prices before {first}; events before it would be unpriced")
    report = RerateReport(as_json=as_json)
    with _opened(configuration.settings) as (cluster, scratch):
        spool = scratch / "corrections.ndjson"
        log_id = _log_id(cluster)
        try:
            outcome = _rerated(cluster, asked, net, scratch, spool, report)
        except StateError as error:
            raise Failed(str(error)) from error
        found = plan_json(asked, outcome, log_id, net)
        report.result(found, outcome)
        if plan is not None:
            _kept(lambda: write_plan(plan, found, spool), plan)
        if is_applied:
            if outcome.overlaps:
                raise Failed("Nothing was sent: see above; what was given for those days cannot be told apart.")
            _apply(cluster, asked, outcome, spool, wait, report)
        elif outcome.refunds or outcome.grants:
            say(f"{outcome.refunds:,} refunds and {outcome.grants:,} grants would correct it: --apply sends them")


def _rerated(cluster: Cluster, asked: Rerate, net: str, scratch: Path, spool: Path, report: RerateReport) -> Outcome:
    """The replay of everything that the log holds now; corrections go to `spool`, one a line."""
    from replay.account import ReplaySource
    from replay.rerating.corrections import Correction, Netting
    from replay.rerating.run import Listener, partitions_of, run_rerating
    from schemas.price_book import read_book
    from streams import clock

    log = cluster.log(cluster.names.requests)
    source = ReplaySource(cluster.names, cluster.partitions, cluster.codec, read_book, log)
    ends = {each: log.bounds(each)[1] for each in partitions_of(asked, cluster.partitions)}
    with spool.open("w", encoding="utf-8") as out, _bar(ends, wanted=not report.is_live) as progress:

        def corrected(correction: Correction) -> None:
            _write(out, correction.as_json())
            report.correction(correction)

        listener = Listener(report.row, corrected, progress)
        return run_rerating(source, asked, ends, scratch, Netting(net), clock.now_ms(), listener)


def _apply(cluster: Cluster, asked: Rerate, outcome: Outcome, spool: Path, wait: float, report: RerateReport) -> None:
    """Sends what is in the spool, and says what came of it. Raises Failed where a refund was rejected."""
    from application.errors import Failed
    from application.rerating.applying import Sent, send_corrections

    sent = Sent()
    if outcome.refunds or outcome.grants:
        with spool.open(encoding="utf-8") as lines:
            sent = send_corrections(cluster, map(json.loads, lines), wait)
    report.sent(sent, asked.plan_id)
    if sent.refused:
        raise Failed(
            f"{sent.refused:,} of them were not made, the first {sent.first_refused}: the account has changed "
            "meanwhile. Run it again: what is left is looked at anew."
        )


def _kept(write: Callable[[], None], path: Path) -> None:
    from application.errors import Failed
    from cli.terminal.output import say

    try:
        write()
    except OSError as error:
        raise Failed(f"{path}: the plan cannot be kept: {error}") from error
    say(f"kept in {path}")


def _log_id(cluster: Cluster) -> str:
    from streams.log.topics import check_topics

    return check_topics(cluster.bootstrap, cluster.names, security=cluster.security)[cluster.names.requests]


def _write(out: IO[str], data: dict[str, Any]) -> None:
    out.write(json.dumps(data, ensure_ascii=False) + "\n")


@contextmanager
def _opened(settings: Settings) -> Iterator[tuple[Cluster, Path]]:
    """The cluster, and a scratch folder that is removed afterwards."""
    from application.pipeline import opened
    from application.scratch import scratch_folder

    with scratch_folder(settings) as path, opened(settings) as cluster:
        yield cluster, path


@contextmanager
def _bar(ends: dict[int, int], *, wanted: bool) -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error, where that is a terminal, told (partition, next offset)."""
    from cli.terminal.progress import counting_bar

    at = dict.fromkeys(ends, 0)
    with counting_bar("replaying", sum(ends.values()), wanted=wanted) as bar:

        def told(partition: int, offset: int) -> None:
            at[partition] = offset
            bar.told(sum(at.values()))

        yield told

"""`creditmeter audit`: replays the log and compares outputs and rows with it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.bills.audit_report import Printer
from cli.terminal.command import Command
from cli.terminal.options import NumberRange, json_option, with_configuration

if TYPE_CHECKING:
    from application.configuration.sources import Configuration

_WAIT = 120.0


@click.command(
    cls=Command,
    short_help="Prove outputs and ClickHouse by replaying the log.",
    epilog="""
    creditmeter audit
    creditmeter audit --from audits/2026-01 --checkpoint audits/2026-02 --json
    """,
)
@click.option(
    "--wait", "wait", type=NumberRange(0), default=_WAIT, show_default=True,
    help="Seconds that worker and loader may take to reach what the log holds now.",
)  # fmt: skip
@click.option("--no-wait", is_flag=True, help="Judge only what worker and loader have passed by now.")
@click.option("--no-clickhouse", is_flag=True, help="Compare the output topics only, no rows.")
@click.option("--state", "with_state", is_flag=True, help="Compare the worker's own state on this machine, too.")
@click.option("--from", "begin", type=click.Path(path_type=Path), help="Go on from the checkpoint of an earlier audit.")
@click.option("--checkpoint", "keep", type=click.Path(path_type=Path), help="Keep the end of this audit, if clean.")
@json_option
@with_configuration
def audit(
    configuration: Configuration, *, wait: float, no_wait: bool, no_clickhouse: bool, with_state: bool,
    begin: Path | None, keep: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Replay the input log; compare with every output topic, byte by byte, and with ClickHouse, row by row.

    What the log holds when it begins is audited; later commands are not judged. Prints every difference with its place.
    Exit code 1 on any difference, or where worker or loader did not reach the log's end in time. With --json: one
    object a line, each difference, then the result.
    """
    from contextlib import nullcontext

    from application.auditing import AuditOrder
    from application.auditing import audit as run
    from application.clickhouse.store_reader import opened_store
    from application.pipeline import opened
    from cli.terminal.progress import TerminalNotices
    from streams.garbage_collection import collecting_rarely

    settings = configuration.settings
    out = Printer(as_json=as_json)
    order = AuditOrder(0.0 if no_wait else wait, with_state, begin, keep)
    store = nullcontext() if no_clickhouse else opened_store(settings)
    with collecting_rarely(), opened(settings, TerminalNotices()) as pipeline, store as rows:
        outcome = run(pipeline, order, out.difference, rows)
    out.result(outcome.result, outcome.plan.began_from, keep)
    if outcome.result.differences or (outcome.is_short and not no_wait):
        raise click.exceptions.Exit(1)

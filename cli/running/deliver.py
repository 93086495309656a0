"""`creditmeter deliver`: what happens to accounts, sent to their webhooks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.terminal.command import Command
from cli.terminal.options import with_configuration

if TYPE_CHECKING:
    from application.configuration.sources import Configuration


@click.command(
    cls=Command,
    short_help="Send what happens to webhooks.",
    epilog="""
    creditmeter deliver
    """,
)
@click.option("--ready-file", type=click.Path(path_type=Path), hidden=True, help="Made when it has its partitions.")
@with_configuration
def deliver(configuration: Configuration, *, ready_file: Path | None) -> None:
    """Follow the output topics, and send webhooks what happens: balances, grants, refunds, holds, prices to come.

    What is to be sent and what was tried is kept in Kafka: any number of deliverers share the work, and one that is
    killed loses nothing; a message may then come twice, with the same webhook-id. Runs until SIGTERM or Ctrl-C.
    docs/webhooks.md has the messages.
    """
    from application.webhooks.process import run_deliverer
    from cli.terminal.logs import set_up_logs

    set_up_logs()
    run_deliverer(configuration.settings, (lambda: None) if ready_file is None else ready_file.touch)

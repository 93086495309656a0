"""`creditmeter serve`: the HTTP API, a process of its own that this one becomes."""

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
    short_help="Serve the HTTP API.",
    epilog="""
    creditmeter serve
    """,
)
@click.option("--ready-file", type=click.Path(path_type=Path), hidden=True, help="Made when it answers.")
@with_configuration
def serve(configuration: Configuration, *, ready_file: Path | None) -> None:
    """Take events over HTTP, with receipts and decisions, and answer customers' and operators' questions.

    Listens at serve_host and serve_port; any number of servers may run over one Kafka and one ClickHouse. Runs until
    SIGTERM or Ctrl-C, answers what is in hand, and ends with exit code 0. docs/api.md has the operations.
    """
    import os
    import sys

    arguments = [sys.executable, "-P", "-m", "server"]
    if configuration.file:
        arguments += ["--config", str(configuration.file.absolute())]
    if ready_file is not None:
        arguments += ["--ready-file", str(ready_file.absolute())]
    os.execv(sys.executable, arguments)  # noqa: S606 -- this program itself, with arguments made here

"""`creditmeter migrate`: bring ClickHouse's tables and views to this version's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cli.terminal.command import Command
from cli.terminal.options import json_option, with_configuration
from cli.terminal.output import print_json, print_line, print_status

if TYPE_CHECKING:
    from application.configuration.sources import Configuration


@click.command(
    cls=Command,
    short_help="Make or update the tables and views in ClickHouse.",
    epilog="""
    creditmeter migrate --dry-run
    creditmeter migrate
    """,
)
@click.option("--dry-run", is_flag=True, help="Only show what would be applied.")
@json_option
@with_configuration
def migrate(configuration: Configuration, *, dry_run: bool, as_json: bool) -> None:
    """Apply the migrations that the store does not have yet, in order, each once.

    With the embedded store the loader does this by itself when it starts; while it runs it holds the data directory.
    """
    from application.clickhouse.opening import opened_sink
    from sinks.migrate import migrate as apply

    with opened_sink(configuration.settings) as sink:
        steps = apply(sink, dry_run=dry_run)
    names = [f"{step.number:04}_{step.name}" for step in steps]
    if as_json:
        print_json({"dry_run": dry_run, "migrations": names})
        return
    for name in names:
        print_line(name)
    print_status(f"{len(names)} migrations {'would be' if dry_run else 'were'} applied")

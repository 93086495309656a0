"""`creditmeter checkpoint`: copies of accounts' states from which another machine goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cli.terminal.command import Group
from cli.terminal.options import json_option, with_configuration

if TYPE_CHECKING:
    from application.configuration.settings import Settings
    from application.configuration.sources import Configuration

_partitions = click.option(
    "--partition", "chosen", type=click.IntRange(0), multiple=True, help="Only this one; may be given several times."
)
_from = click.option(
    "--from", "url", metavar="URL", help="Folder or object store to look in (setting: checkpoint_url)."
)


@click.group(
    cls=Group,
    invoke_without_command=True,
    short_help="Keep copies of states for another machine.",
    epilog="""
    creditmeter checkpoint
    creditmeter checkpoint --partition 3 --to s3://bucket/states
    creditmeter checkpoint list
    """,
)
@_partitions
@click.option("--to", "url", metavar="URL", help="Folder or object store to write to (setting: checkpoint_url).")
@json_option
@click.option(
    "--config", "config_file", type=click.Path(dir_okay=False),
    help="Configuration file instead of creditmeter.toml.",
)  # fmt: skip
@click.pass_context
def checkpoint(
    ctx: click.Context, *, chosen: tuple[int, ...], url: str | None, as_json: bool, config_file: str | None
) -> None:
    """Keep a copy of the states on this machine, also while their worker runs.

    A worker does so by itself where checkpoint_url is set; a new worker begins from the newest one. Without a
    subcommand: makes one of each partition whose state is here. What it writes to checkpoint_url counts among
    checkpoints_kept; elsewhere nothing is ever removed.
    """
    if ctx.invoked_subcommand is not None:
        if chosen or url or as_json:
            raise click.UsageError(f"Give the options after {ctx.invoked_subcommand!r}.", ctx)
        return
    from application.configuration.sources import load

    _make(load(config_file or ctx.find_root().obj).settings, chosen, url, as_json=as_json)


@checkpoint.command(
    "list",
    short_help="Show checkpoints, and what of the log is needed.",
    epilog="""
    creditmeter checkpoint list
    creditmeter checkpoint list --from s3://bucket/states --json
    """,
)
@_partitions
@_from
@json_option
@with_configuration
def list_(configuration: Configuration, *, chosen: tuple[int, ...], url: str | None, as_json: bool) -> None:
    """Show each checkpoint: place, last offset in it, size, age by the log's own time, and whether it looks whole.

    Also from which offset on the log is needed, so that the oldest one kept can be caught up from. It does not read the
    files: that is what `verify` does.
    """
    from application.checkpoints import opened_checkpoints
    from application.pipeline import opened
    from cli.running.checkpoint_report import print_list

    with opened(configuration.settings) as pipeline, opened_checkpoints(pipeline, url) as place:
        listed = place.listed(chosen)
        print_list(listed, place.log_ends(listed), None, as_json=as_json)


@checkpoint.command(
    short_help="Read every checkpoint and compare it.",
    epilog="""
    creditmeter checkpoint verify
    """,
)
@_partitions
@_from
@json_option
@with_configuration
def verify(configuration: Configuration, *, chosen: tuple[int, ...], url: str | None, as_json: bool) -> None:
    """Read every byte of every checkpoint and compare it with its checksum. Exit code 1 where one is damaged.

    One without a seal is being written, or its writer ended: it is shown as incomplete and counts for nothing.
    """
    from application.checkpoints import opened_checkpoints
    from application.pipeline import opened
    from cli.running.checkpoint_report import print_list
    from cli.terminal.progress import TerminalNotices
    from streams.checkpoints.manifest import Condition

    with opened(configuration.settings, TerminalNotices()) as pipeline, opened_checkpoints(pipeline, url) as place:
        listed = place.verified(chosen)
        print_list(listed, place.log_ends(listed), "every byte read", as_json=as_json)
    if any(checkpoint.condition is Condition.DAMAGED for own in listed.values() for checkpoint in own):
        raise click.exceptions.Exit(1)


def _make(settings: Settings, chosen: tuple[int, ...], url: str | None, *, as_json: bool) -> None:
    from application.checkpoints import opened_checkpoints
    from application.pipeline import opened
    from cli.running.checkpoint_report import print_made
    from cli.terminal.progress import TerminalNotices

    kept = settings.checkpoints_kept if url is None else None
    with opened(settings, TerminalNotices()) as pipeline, opened_checkpoints(pipeline, url) as place:
        print_made(place.make(chosen, kept=kept), as_json=as_json)

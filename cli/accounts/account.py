"""`creditmeter account`: an account as it is now, and its settings."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

import click

from cli.terminal.command import Group
from cli.terminal.options import json_option, with_configuration
from cli.terminal.output import print_json

if TYPE_CHECKING:
    from application.configuration.sources import Configuration

# Subcommand -> the module that holds it, under the subcommand's own name with "account_" before it.
_ELSEWHERE: dict[str, str] = {"set": "cli.accounts.account_set"}


class _AccountGroup(Group):
    """Imports what stands in other modules when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*super().list_commands(ctx), *_ELSEWHERE]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        module = _ELSEWHERE.get(cmd_name)
        if module is None:
            return super().get_command(ctx, cmd_name)
        command = getattr(importlib.import_module(module), f"account_{cmd_name}")
        if not isinstance(command, click.Command):
            raise TypeError(f"{module} should hold the command account_{cmd_name}, and holds {command!r}")
        return command


@click.group(
    cls=_AccountGroup,
    short_help="Show an account: balances, grants, plan, claims.",
    epilog="""
    creditmeter account show acme
    """,
)
def account() -> None:
    """See what an account has, and change its settings."""


@account.command(
    short_help="Balances, grants, plan, claims, last lines.",
    epilog="""
    creditmeter account show acme
    creditmeter account show acme --claims 0 --lines 50 --json
    """,
)
@click.argument("account_id", metavar="ACCOUNT")
@click.option("--claims", type=click.IntRange(0, 10_000), default=5, show_default=True, help="Newest claims to show.")
@click.option(
    "--lines", "--events", type=click.IntRange(0, 10_000), default=10, show_default=True,
    help="Newest billed lines to show.",
)  # fmt: skip
@json_option
@with_configuration
def show(configuration: Configuration, account_id: str, *, claims: int, lines: int, as_json: bool) -> None:
    """Show ACCOUNT as the input log makes it, up to the log's end at this moment.

    It begins with the worker's state where that is on this machine, else with the newest checkpoint, else with the
    log's beginning, and replays the account's commands from there. A grant whose time has passed is gone, even if no
    command has come since. With --json: times in ms.
    """
    from application.accounts.overview import read_account
    from application.pipeline import opened
    from cli.accounts.account_report import as_plain, print_account
    from cli.terminal.progress import TerminalNotices

    with opened(configuration.settings, TerminalNotices()) as pipeline:
        overview = read_account(pipeline, account_id, claims, lines)
    if as_json:
        print_json(as_plain(overview))
    else:
        print_account(overview)

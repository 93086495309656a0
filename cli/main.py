"""The `creditmeter` command: finds the module of a subcommand when it is asked for, so that --help stays quick."""

from __future__ import annotations

import difflib
import importlib
import importlib.metadata
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from cli.terminal.command import Group
from cli.terminal.exits import translated_errors
from cli.terminal.output import escape_unencodable, print_line, print_status
from sinks.printable import visible

# Command -> the module that holds it, and the attribute when it is not named like the command.
COMMANDS = {
    "rate": "cli.events.rate",
    "emit": "cli.events.emit",
    "prices": "cli.bills.prices",
    "up": "cli.running.up",
    "down": "cli.running.up",
    "status": "cli.running.status",
    "worker": "cli.running.workers",
    "load": "cli.running.workers",
    "serve": "cli.running.serve",
    "deliver": "cli.running.deliver",
    "migrate": "cli.running.migrate",
    "query": "cli.events.query",
    "explain": "cli.accounts.explain",
    "grant": "cli.accounts.grant",
    "refund": "cli.accounts.refund",
    "hold": "cli.accounts.hold",
    "account": "cli.accounts.account",
    "keys": "cli.access.keys",
    "link": "cli.access.link",
    "changes": "cli.access.changes",
    "dead-letters": "cli.events.dead_letters",
    "estimate": "cli.accounts.estimate",
    "audit": "cli.bills.audit",
    "rerate": "cli.bills.rerate",
    "checkpoint": "cli.running.checkpoint",
    "seal": "cli.running.seal",
    "config": "cli.running.show_config",
    "completion": "cli.running.completion",
}


@contextmanager
def _visible_errors() -> Iterator[None]:
    try:
        yield
    except click.ClickException as error:
        error.message = "\n".join(map(visible, error.message.split("\n")))
        raise


class LazyGroup(Group):
    """A group whose subcommands are imported by name, and which suggests a near name for an unknown one.

    No error of any of them reaches the terminal with a control character in it: they quote what others have sent.
    """

    def main(self, *args: Any, **options: Any) -> Any:
        """Click's, whatever the terminal's encoding; what it writes is for this user alone."""
        escape_unencodable()
        os.umask(os.umask(0o077) | 0o077)
        return super().main(*args, **options)

    def make_context(self, *args: Any, **options: Any) -> click.Context:
        """Click's, with errors that act on no terminal."""
        with _visible_errors():
            return super().make_context(*args, **options)

    def invoke(self, ctx: click.Context) -> Any:
        """Click's; a use case's error becomes its exit code and words, and no error acts on the terminal."""
        with _visible_errors(), translated_errors():
            return super().invoke(ctx)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 -- click's signature
        """Commands in the order in which someone new needs them, not by the alphabet."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 -- click's
        """The command, or None when there is none of that name."""
        module = COMMANDS.get(cmd_name)
        if module is None:
            return None
        command = getattr(importlib.import_module(module), cmd_name.replace("-", "_"))
        if not isinstance(command, click.Command):
            raise TypeError(f"{module} should hold the command {cmd_name}, and holds {command!r}")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Click's, with near names in the error."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], COMMANDS, n=3, cutoff=0.5)
            hint = f" Did you mean {' or '.join(repr(name) for name in near)}?" if near else ""
            ctx.fail(f"No such command {args[0]!r}.{hint}")
        return super().resolve_command(ctx, args)


def _print_version(ctx: click.Context, _option: click.Parameter, is_asked: bool) -> None:
    """Prints the version, and whether the hot modules are compiled."""
    if is_asked:
        from metering.compiled import MODE

        print_line(f"creditmeter {importlib.metadata.version('creditmeter')} ({MODE})")
        ctx.exit()


@click.command(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="""
    creditmeter rate --prices examples/prices/pixel.yaml events.ndjson
    creditmeter up --detach
    creditmeter emit --account acme access.log
    creditmeter query "SELECT * FROM daily_usage"
    """,
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the version, and whether its hot modules are compiled.",
)
@click.option(
    "--config",
    "config_file",
    type=click.Path(dir_okay=False),
    help="Configuration file (TOML). Without it: creditmeter.toml in this folder, if there is one.",
)
@click.pass_context
def main(ctx: click.Context, config_file: str | None) -> None:
    """Turn request events into exact, explained credit charges.

    Data goes to standard output, text for people to standard error. Exit codes: 0 done, 1 failed, 2 wrong usage
    or configuration.
    """
    ctx.obj = config_file
    from metering.compiled import MODE

    if MODE.is_stale:
        print_status(f"creditmeter is {MODE}")


if __name__ == "__main__":
    sys.exit(main())

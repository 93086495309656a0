"""Commands whose --help ends with an example, printed as it was written."""

from __future__ import annotations

import inspect

import click


class _WithExample:
    """The epilog of such a command is its example: lines that a person can type."""

    epilog: str | None

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 -- click's
        """Print the example, its line ends kept."""
        if not self.epilog:
            return
        with formatter.section("Example"):
            for line in inspect.cleandoc(self.epilog).splitlines():
                formatter.write(f"  {line}\n")


class Command(_WithExample, click.Command):
    """A command with an example."""


class Group(_WithExample, click.Group):
    """A group of commands with an example; its own subcommands are made with `Command`."""

    command_class = Command

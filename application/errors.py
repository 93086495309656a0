"""What a command says when it cannot go on: exit code 1 for failed work, 2 for wrong usage or configuration."""

from __future__ import annotations

from collections.abc import Sequence

import click


class Failed(click.ClickException):
    """The work was asked for rightly and could not be done. Exit code 1."""

    exit_code = 1


class Misconfigured(click.ClickException):
    """What the person typed or configured is wrong; every mistake is in the message. Exit code 2."""

    exit_code = 2

    def __init__(self, heading: str, mistakes: Sequence[str] = ()) -> None:
        """Show `heading`, then one mistake a line."""
        self.mistakes = tuple(mistakes)
        super().__init__("\n".join([heading, *(f"  {mistake}" for mistake in mistakes)]))

"""Options that say which dead letters a command is about."""

from __future__ import annotations

from typing import Any

import click

from metering.records import DeadLetterReason

_FILTERS = (
    click.option(
        "--reason",
        type=click.Choice([str(reason) for reason in DeadLetterReason]),
        help="Only those set aside for this reason.",
    ),
    click.option("--account", help="Only those of this account."),
    click.option("--producer", help="Only those that this producer sent."),
)


def filtered(command: Any) -> Any:
    """Gives the command the options."""
    for option in reversed(_FILTERS):
        command = option(command)
    return command

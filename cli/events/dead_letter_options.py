"""Which dead letters a command is about: by options that say what they have in common, or by their places."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from application.dead_letters.reading import DeadLetter, DeadLetterLog

REASONS = ("undecodable", "invalid_event", "in_future", "too_late", "wrong_partition")
_FILTERS = (
    click.option("--reason", type=click.Choice(REASONS), help="Only those set aside for this reason."),
    click.option("--account", help="Only those of this account."),
    click.option("--producer", help="Only those that this producer sent."),
)


def filtered(command: Any) -> Any:
    """Gives the command the options."""
    for option in reversed(_FILTERS):
        command = option(command)
    return command


def wanted(log: DeadLetterLog, reason: str | None, account: str | None, producer: str | None) -> Iterator[DeadLetter]:
    """Those that fit all options that are given. Raises LogError."""
    asked = {"reason": reason, "account_id": account, "producer": producer}
    for letter in log.read():
        if all(value is None or letter.record[name] == value for name, value in asked.items()):
            yield letter


def find(log: DeadLetterLog, text: str) -> DeadLetter:
    """The one at a place. Raises Failed where there is none, LogError."""
    from application.dead_letters.reading import Place
    from application.errors import Failed

    try:
        place = Place.parse(text)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    letter = log.find(place)
    if letter is None:
        raise Failed(f"There is no dead letter at {place}; `creditmeter dead-letters list` shows places.")
    return letter

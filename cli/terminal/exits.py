"""Translates a use case's error into a message on standard error and an exit code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from application.errors import ErrorCode, UseCaseError

if TYPE_CHECKING:
    from application.commands.fields import BadField

FAILED, WRONG_USAGE = 1, 2
_EXIT_CODES = {code: WRONG_USAGE if code is ErrorCode.INVALID else FAILED for code in ErrorCode}


class CommandFailed(click.ClickException):
    """A use case's error as click prints it."""

    def __init__(self, error: UseCaseError) -> None:
        super().__init__(error.message)
        self.exit_code = _EXIT_CODES[error.code]


def usage_error(error: BadField, options: Mapping[str, str]) -> click.UsageError:
    """A wrong field as click's usage error; `options` names the option or argument of each field."""
    from application.commands.fields import allowed_values

    return click.UsageError(f"{options.get(error.field, error.field)}: {allowed_values(error.command, error.field)}")


@contextmanager
def translated_errors() -> Iterator[None]:
    """Turns every UseCaseError of the block into its exit code and words."""
    try:
        yield
    except UseCaseError as error:
        raise CommandFailed(error) from error

"""The steps that commands about one account share: the order is checked, sent, waited for, and its result printed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import click

from cli.terminal.output import print_json

if TYPE_CHECKING:
    from application.configuration.settings import Settings
    from application.pipeline import Pipeline


Lists = Callable[["Pipeline", Mapping[str, Any]], None]
"""Notes who sends the command, before it is sent."""


class Order(Protocol):
    """What was asked for."""

    def record(self) -> Mapping[str, Any]:
        """The command. Raises BadField with the first wrong field."""
        ...


class Result(Protocol):
    """What became of it."""

    def as_json(self) -> Mapping[str, Any]: ...


Asked = TypeVar("Asked", bound=Order)
Became = TypeVar("Became", bound=Result)


def carried_out(
    settings: Settings, order: Asked, use_case: Callable[[Pipeline, Asked, float], Became], seconds: float,
    options: Mapping[str, str], *, lists: Lists | None = None,
) -> Became:  # fmt: skip
    """The result of a use case that waits up to `seconds` for the decision. `lists` puts it into the list of changes.

    Raises UsageError for a wrong field before anything is sent; `options` names the option or argument of each field.
    """
    from application.commands.fields import BadField
    from application.pipeline import opened
    from cli.terminal.exits import usage_error
    from cli.terminal.progress import TerminalNotices

    try:
        record = order.record()
    except BadField as error:
        raise usage_error(error, options) from error
    with opened(settings, TerminalNotices()) as pipeline:
        if lists is not None:
            lists(pipeline, record)
        return use_case(pipeline, order, seconds)


def show_result(result: Became, for_people: Callable[[Became], None], *, as_json: bool, failed: bool) -> None:
    """Prints the result; `failed`: it is not what was asked for, which is exit code 1."""
    if as_json:
        print_json(result.as_json())
    else:
        for_people(result)
    if failed:
        raise click.exceptions.Exit(1)

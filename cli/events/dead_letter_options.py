"""Options that say which dead letters a command is about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


class Reason(click.ParamType):
    """One of the reasons for which commands are set aside; they are looked up when they are needed."""

    name = "reason"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return self._choice().convert(value, param, ctx)

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str | None:
        return self._choice().get_metavar(param, ctx)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return self._choice().shell_complete(ctx, param, incomplete)

    @staticmethod
    def _choice() -> click.Choice[str]:
        from metering.records import DeadLetterReason

        return click.Choice([str(reason) for reason in DeadLetterReason])


_FILTERS = (
    click.option("--reason", type=Reason(), help="Only those set aside for this reason."),
    click.option("--account", help="Only those of this account."),
    click.option("--producer", help="Only those that this producer sent."),
)


def filtered(command: Any) -> Any:
    """Adds the options to the command."""
    for option in reversed(_FILTERS):
        command = option(command)
    return command

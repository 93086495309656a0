"""Options that several commands share."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import click

if TYPE_CHECKING:
    from application.configuration.sources import Configuration

P = ParamSpec("P")
R = TypeVar("R")


class NumberRange(click.FloatRange):
    """Numbers in a range; NaN is none, though no comparison finds it outside."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        seconds = float(super().convert(value, param, ctx))
        if math.isnan(seconds):
            self.fail(f"{value} is no number", param, ctx)
        return seconds


def with_configuration(command: Callable[Concatenate[Configuration, P], R]) -> Callable[P, R]:
    """Give the command `--config FILE` (also possible before its name) and the loaded configuration as first argument.

    Exit code 2, and every mistake, when the configuration is wrong.
    """

    @click.option(
        "--config",
        "config_file",
        type=click.Path(dir_okay=False),
        help="Configuration file instead of creditmeter.toml.",
    )
    @click.pass_context
    @functools.wraps(command)
    def loaded(ctx: click.Context, config_file: str | None, *args: Any, **options: Any) -> R:
        from application.configuration.sources import load

        return command(load(config_file or ctx.find_root().obj), *args, **options)

    return loaded  # type: ignore[return-value]


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")

wait_option = click.option(
    "--wait",
    type=NumberRange(min=0),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for a worker to decide it.",
)

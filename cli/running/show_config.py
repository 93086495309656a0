"""`creditmeter config`: every setting, its value and where the value came from."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import click

from cli.terminal.command import Command
from cli.terminal.options import json_option, with_configuration
from cli.terminal.output import json_text, print_json, print_line

if TYPE_CHECKING:
    from application.configuration.sources import Configuration

_WIDTH = 100


@click.command(
    cls=Command,
    short_help="Show every setting and its source.",
    epilog="""
    CREDITMETER_PARTITIONS=16 creditmeter config
    creditmeter config --explain > creditmeter.toml
    """,
)
@click.option("--explain", is_flag=True, help="Tell what each setting means and its environment variable.")
@json_option
@with_configuration
def config(configuration: Configuration, *, explain: bool, as_json: bool) -> None:
    """Show every setting and where its value came from; secrets are masked.

    A setting is taken from the environment (CREDITMETER_ and its name in capitals), else from the TOML file
    (--config FILE, or creditmeter.toml in this folder), else from what `creditmeter up` runs here, else it has
    its default. The output is itself a TOML file. All mistakes are reported at once, with exit code 2.
    """
    from application.configuration.settings import Settings

    if as_json:
        shown = {
            name: {"value": configuration.shown(name), "source": origin}
            for name, origin in configuration.origins.items()
        }
        print_json(shown, indent=2)
        return
    lines = {name: _line(name, configuration.shown(name)) for name in Settings.model_fields}
    width = max(len(line) for line in lines.values())
    for name, field in Settings.model_fields.items():
        if explain:
            for line in textwrap.wrap(field.description or "", _WIDTH, initial_indent="# ", subsequent_indent="# "):
                print_line(line)
            print_line(f"# Environment: CREDITMETER_{name.upper()}")
        print_line(f"{lines[name]:{width}}  # {configuration.origins[name]}")
        if explain:
            print_line()


def _line(name: str, value: Any) -> str:
    """A line of TOML; a setting without a value is commented out, since TOML has no null."""
    return f"# {name} =" if value is None else f"{name} = {json_text(value)}"

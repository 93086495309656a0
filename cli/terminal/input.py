"""Input files of commands: a path, or `-` for standard input."""

from __future__ import annotations

from contextlib import AbstractContextManager

import click

from application.input.lines import Source, open_source


def opened_input(name: str) -> AbstractContextManager[Source]:
    """Opens a file of lines, or standard input for `-`. Raises UnreadableInputError."""
    return open_source(name, click.get_binary_stream("stdin") if name == "-" else None)

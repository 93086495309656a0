"""Data on standard output, text for people, and what happens when the reader of a pipe goes away."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

import click

from application.errors import Failed

_BUFFER = 1 << 16
_ACTS_ON_TERMINALS = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


@contextmanager
def data_output() -> Iterator[BinaryIO]:
    """Standard output for bytes, flushed at the end, also after Ctrl-C, so that no line is cut.

    Where the reader has gone (`… | head`), the command ends with exit code 1 and without a word.
    Raises Failed where it cannot be written.
    """
    try:
        with _buffered() as stream:
            yield stream
    except BrokenPipeError:
        # What is still buffered would fail again when Python closes the stream: let it go nowhere.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        raise click.exceptions.Exit(1) from None
    except OSError as error:
        raise Failed(f"standard output: {error}") from error


@contextmanager
def _buffered() -> Iterator[BinaryIO]:
    """Standard output with a buffer of a good size, whatever Python was told; none on a terminal."""
    if sys.__stdout__ is None or sys.stdout is not sys.__stdout__:  # something that stands in for it, as in a test
        yield sys.stdout.buffer
        return
    sys.stdout.flush()
    descriptor = sys.stdout.fileno()
    # On a terminal nothing is kept back: each object is one write.
    size = 0 if sys.stdout.isatty() else _BUFFER
    with open(descriptor, "wb", buffering=size, closefd=False) as stream:
        yield stream


def print_status(text: str = "") -> None:
    """A line for people, on standard error."""
    click.echo("\n".join(map(visible, text.split("\n"))), err=True)


def print_line(line: str = "") -> None:
    """A line for people, on standard output."""
    click.echo(visible(line))


def visible(text: str) -> str:
    r"""The text with control characters and changes of direction written out, as in \x1b.

    An id, a path or a reason comes from whoever sent it, and must not act on the terminal of whoever looks.
    """
    return _ACTS_ON_TERMINALS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)

"""Data on standard output, text for people, and what happens when the reader of a pipe goes away."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from typing import Any, BinaryIO

import click

from application.errors import Failed
from sinks.printable import visible

_BUFFER = 1 << 16
# JSON's own escapes cover what lies below; these have a meaning to a terminal, too.
_RAW_IN_JSON = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ufff9-\ufffb]")


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
    """Standard output with a buffer of a good size, whatever Python was started with; none on a terminal."""
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


def print_json(value: Any, *, indent: int | None = None, default: Any = None) -> None:
    """A value as JSON on standard output."""
    click.echo(json_text(value, indent=indent, default=default))


def json_text(value: Any, *, indent: int | None = None, default: Any = None) -> str:
    r"""A value as JSON; characters that standard output cannot show, or that act on a terminal, are \uXXXX."""
    is_utf8 = (getattr(sys.stdout, "encoding", None) or "").lower().replace("_", "-") in {"utf-8", "utf8"}
    text = json.dumps(value, ensure_ascii=not is_utf8, indent=indent, default=default)
    return _escaped_in_json(text)


def for_terminal(data: bytes, *, is_json: bool) -> bytes:
    """A program's output that goes to a terminal this time: what would act there is written out, JSON stays JSON."""
    text = data.decode("utf-8", "replace")
    return (_escaped_in_json(text) if is_json else "\n".join(map(visible, text.split("\n")))).encode()


def _escaped_in_json(text: str) -> str:
    return _RAW_IN_JSON.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def escape_unencodable() -> None:
    r"""From now on, what a terminal's encoding lacks (Latin-1, cp1252, ASCII) is printed as \u0434 and ends nothing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")

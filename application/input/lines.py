"""Reading files of lines, from the first to the last and never as a whole: plain or gzipped, a file or `-`."""

from __future__ import annotations

import gzip
import io
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

LONGEST_LINE = 64 * 1024 * 1024
"""Bytes of a line that are kept. A longer line is read past, so that no file can fill the memory."""
_GZIP = b"\x1f\x8b"
_READ_AHEAD = 1 << 20


class UnreadableInputError(Exception):
    """The input is not there, or breaks off; the message says after which line."""


class Line(NamedTuple):
    """One line without its end; `too_long` where only its beginning was kept."""

    number: int
    content: bytes
    too_long: bool = False


class Source(NamedTuple):
    """An open input: where its lines come from, and how far the file on disk has been read."""

    stream: BinaryIO
    raw: BinaryIO | None
    size: int | None

    def position(self) -> int | None:
        """Bytes of the file on disk read so far; None for a pipe."""
        return None if self.raw is None else self.raw.tell()


@contextmanager
def open_source(name: str) -> Iterator[Source]:
    """Opens a file or, for `-`, standard input; what is gzipped is read through. Raises UnreadableInputError."""
    if name == "-":
        piped = sys.stdin.buffer
        yield Source(
            _decompressed(piped if isinstance(piped, io.BufferedReader) else io.BytesIO(piped.read())), None, None
        )
        return
    with _opened(name) as raw:
        seekable = raw.seekable()
        size = raw.seek(0, io.SEEK_END) if seekable else None
        if seekable:
            raw.seek(0)
        yield Source(_decompressed(raw), raw if seekable else None, size)


def _opened(name: str) -> io.BufferedReader[Any]:
    try:
        return cast("io.BufferedReader[Any]", Path(name).open("rb", buffering=_READ_AHEAD))
    except OSError as error:
        raise UnreadableInputError(str(error)) from error


def _decompressed(stream: io.BufferedReader[Any] | io.BytesIO) -> BinaryIO:
    beginning = stream.peek(2)[:2] if isinstance(stream, io.BufferedReader) else stream.getvalue()[:2]
    return cast("BinaryIO", gzip.GzipFile(fileobj=stream) if beginning == _GZIP else stream)


def read_lines(stream: BinaryIO, longest: int = LONGEST_LINE) -> Iterator[Line]:
    """Each line with its number from 1, without its line end; a byte order mark before the first is dropped.

    Raises UnreadableInputError, also where gzipped data is cut short or damaged.
    """
    number = 0
    while raw := _read_line(stream, longest + 1, number):
        number += 1
        too_long = len(raw) > longest and not raw.endswith(b"\n")
        if too_long:
            raw = raw[:longest]
            _read_past(stream)
        if number == 1:
            raw = raw.removeprefix(b"\xef\xbb\xbf")
        yield Line(number, raw.removesuffix(b"\n").removesuffix(b"\r"), too_long)


def _read_line(stream: BinaryIO, longest: int, number: int) -> bytes:
    try:
        return stream.readline(longest)
    except (OSError, EOFError, zlib.error) as error:
        raise UnreadableInputError(f"cannot be read after line {number}: {error}") from error


def _read_past(stream: BinaryIO) -> None:
    """Goes on to the end of a line whose beginning is enough."""
    while (rest := stream.readline(_READ_AHEAD)) and not rest.endswith(b"\n"):
        pass

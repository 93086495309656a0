"""Reads the lines of a file or of standard input (`-`), plain or compressed, without holding all of it in memory."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

from application.input.contents import DAMAGED, ForeignContentError, decompressed

LONGEST_LINE = 64 * 1024 * 1024
"""Bytes of a line that are kept. A longer line is read past, so that no file can fill the memory."""
_MARK = b"\xef\xbb\xbf"
_READ_AHEAD = 1 << 20


class UnreadableInputError(Exception):
    """The input is not there, is no text in UTF-8, or breaks off; the message says after which line."""


class Line(NamedTuple):
    """One line without its end; `too_long` where only its beginning was kept.

    `ended` is false for a last line that no line end follows: whoever writes the file may not be done with it.
    """

    number: int
    content: bytes
    too_long: bool = False
    ended: bool = True


class Source(NamedTuple):
    """An open input: where its lines come from, and how far the file on disk has been read."""

    stream: BinaryIO
    raw: BinaryIO | None
    size: int | None

    def position(self) -> int | None:
        """Bytes of the file on disk read so far; None for a pipe."""
        return None if self.raw is None else self.raw.tell()


@contextmanager
def open_source(name: str, standard_input: BinaryIO | None = None) -> Iterator[Source]:
    """Opens a file or, for `-`, the standard input that the caller hands in; gzip, bzip2 and xz are read through.

    Raises UnreadableInputError.
    """
    if name == "-" and standard_input is not None:
        yield Source(_text(standard_input), None, None)
        return
    with _opened(name) as raw:
        seekable = raw.seekable()
        size = raw.seek(0, io.SEEK_END) if seekable else None
        if seekable:
            raw.seek(0)
        yield Source(_text(raw), raw if seekable else None, size)


def _opened(name: str) -> io.BufferedReader[Any]:
    try:
        return cast("io.BufferedReader[Any]", Path(name).open("rb", buffering=_READ_AHEAD))
    except OSError as error:
        raise UnreadableInputError(str(error)) from error


def _text(stream: BinaryIO) -> BinaryIO:
    try:
        return decompressed(stream)
    except ForeignContentError as error:
        raise UnreadableInputError(str(error)) from error


def read_lines(stream: BinaryIO, longest: int = LONGEST_LINE) -> Iterator[Line]:
    """Each line with its number from 1, without its line end.

    Not part of a line are a byte order mark and zero bytes before it: what `copytruncate`, or a machine that lost its
    power, leaves in a log. Zero bytes at the file's end are no line. Raises UnreadableInputError, also where compressed
    data is cut short or damaged, and where the whole file is one line because CR alone ends its lines.
    """
    number = 0
    while raw := _read_line(stream, longest + 1, number):
        number += 1
        ended = raw.endswith(b"\n")
        too_long = len(raw) > longest and not ended
        if too_long:
            raw = raw[:longest]
            ended = _read_past(stream, number)
        content = raw.removeprefix(_MARK).removesuffix(b"\n").rstrip(b"\r")
        if number == 1 and not ended and b"\r" in content:
            raise UnreadableInputError("ends its lines with CR alone: convert it first, with tr '\\r' '\\n'")
        yield Line(number, content, too_long, ended)


def _read_line(stream: BinaryIO, longest: int, number: int) -> bytes:
    """The next line, at most `longest` bytes after the zero bytes that it begins with; nothing at the end."""
    line = _read(stream, longest, number)
    while line.startswith(b"\0"):
        line = line.lstrip(b"\0")
        if line.endswith(b"\n"):
            break
        rest = _read(stream, longest - len(line), number)
        line += rest
        if not rest:
            break
    return line


def _read(stream: BinaryIO, longest: int, number: int) -> bytes:
    try:
        return stream.readline(longest)
    except DAMAGED as error:
        raise UnreadableInputError(f"cannot be read after line {number}: {error}") from error


def _read_past(stream: BinaryIO, number: int) -> bool:
    """Goes on to the end of a line whose beginning is enough; returns whether it has an end."""
    rest = b""
    while (rest := _read(stream, _READ_AHEAD, number)) and not rest.endswith(b"\n"):
        pass
    return bool(rest)

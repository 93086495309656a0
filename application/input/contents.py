"""Looks at how a file begins: decompresses it, and names content that is not text in UTF-8.

A file that is not understood must say so in one sentence. Read as text it would be thousands of bad lines, or, worse, a
few good ones.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable
from typing import Any, BinaryIO, cast

DAMAGED = (OSError, EOFError, zlib.error, lzma.LZMAError)
"""What reading raises where the file, or what is compressed in it, is damaged or cut short."""

_SNIFFED = 512
_ENOUGH = 16
_READ = 1 << 16
_READ_THROUGH: tuple[tuple[bytes, Callable[[Any], Any]], ...] = (
    (b"\x1f\x8b", lambda stream: gzip.GzipFile(fileobj=stream)),
    (b"BZh", lambda stream: io.BufferedReader(_Members(stream, bz2.BZ2Decompressor), 1 << 20)),
    (b"\xfd7zXZ\x00", lambda stream: io.BufferedReader(_Members(stream, lzma.LZMADecompressor), 1 << 20)),
)
_FOREIGN = (
    (b"\x28\xb5\x2f\xfd", "compressed with zstd: unpack it first, with zstd -dc"),
    (b"\x50\x2a\x4d\x18", "compressed with zstd: unpack it first, with zstd -dc"),
    (b"\x04\x22\x4d\x18", "compressed with lz4: unpack it first, with lz4 -dc"),
    (b"\x1f\x9d", "compressed with compress: unpack it first, with gzip -dc"),
    (b"LZIP", "compressed with lzip: unpack it first, with lzip -dc"),
    (b"\x5d\x00\x00", "compressed with lzma: unpack it first, with xz -dc"),
    (b"\xff\x06\x00\x00sNaPpY", "compressed with snappy: unpack it first"),
    (b"PK\x03\x04", "a zip archive: unpack it first, with unzip -p"),
    (b"PK\x05\x06", "an empty zip archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive: unpack it first, with 7z x -so"),
    (b"Rar!\x1a\x07", "a RAR archive: unpack it first"),
    (b"PAR1", "a Parquet file: export it as NDJSON first"),
    (b"Obj\x01", "an Avro container file: export it as NDJSON first"),
    (b"SQLite format 3\x00", "an SQLite database: export it as NDJSON first"),
    (b"LPKSHHRH", "a systemd journal: print it first, with journalctl -o cat"),
    (b"%PDF-", "a PDF"),
)
_WIDE_MARKS = (
    (b"\xff\xfe\x00\x00", "UTF-32LE"),
    (b"\x00\x00\xfe\xff", "UTF-32BE"),
    (b"\xff\xfe", "UTF-16LE"),
    (b"\xfe\xff", "UTF-16BE"),
)
_UNITS_LOOKED_AT = 4


class ForeignContentError(Exception):
    """The content is neither NDJSON nor a log as text in UTF-8; the message names it and what to do."""


def decompressed(stream: BinaryIO) -> BinaryIO:
    """The stream, read through gzip, bzip2 or xz where it begins like one. Raises ForeignContentError.

    A wrong or damaged compression raises one of DAMAGED when it is read.
    """
    beginning, stream = _with_beginning(stream)
    reader = next((opened for magic, opened in _READ_THROUGH if beginning.startswith(magic)), None)
    if reader is None:
        _refuse_foreign(beginning)
        return stream
    beginning, inner = _with_beginning(cast("BinaryIO", reader(stream)))
    if any(beginning.startswith(magic) for magic, _ in _READ_THROUGH):
        raise ForeignContentError("is compressed twice: unpack it once first")
    _refuse_foreign(beginning)
    return inner


def _refuse_foreign(beginning: bytes) -> None:
    for magic, name in _FOREIGN:
        if beginning.startswith(magic):
            raise ForeignContentError(f"is {name}")
    if beginning[257:262] == b"ustar":
        raise ForeignContentError("is a tar archive: unpack it first, with tar -xO")
    if (encoding := wide_encoding(beginning)) is not None:
        raise ForeignContentError(f"is text in {encoding}, not in UTF-8: convert it first, with iconv -f {encoding}")


def wide_encoding(beginning: bytes) -> str | None:
    """UTF-16 or UTF-32 with its byte order, by its mark or by where the zero bytes of its ASCII characters are.

    NDJSON and logs begin with ASCII. The zero bytes that a truncated log begins with stand side by side and are no
    such pattern.
    """
    for mark, name in _WIDE_MARKS:
        if beginning.startswith(mark):
            return name
    for name, width, position in (("UTF-32LE", 4, 0), ("UTF-32BE", 4, 3), ("UTF-16LE", 2, 0), ("UTF-16BE", 2, 1)):
        units = [beginning[at : at + width] for at in range(0, _UNITS_LOOKED_AT * width, width)]
        if all(len(unit) == width and unit[position] and sum(map(bool, unit)) == 1 for unit in units):
            return name
    return None


def _with_beginning(stream: BinaryIO) -> tuple[bytes, BinaryIO]:
    """The first bytes, as many as are there at once, and a stream that still has them.

    Waits for a pipe's first bytes only as long as they could still be the beginning of something else.
    """
    beginning = b""
    damage: Exception | None = None
    read = getattr(stream, "read1", stream.read)
    while len(beginning) < _ENOUGH and b"\n" not in beginning:
        try:
            piece = read(_SNIFFED)
        except DAMAGED as error:
            damage = error  # raised where reading goes on, which says after which line
            break
        if not piece:
            break
        beginning += piece
    return beginning, cast("BinaryIO", io.BufferedReader(_Continued(beginning, read, damage), 1 << 20))


class _Members(io.RawIOBase):
    """What a file of bzip2 or xz streams, one after another, holds.

    Python's own files take a stream whose beginning is cut or damaged for something behind the end, and ignore it
    silently. Here only zero bytes (xz's padding) may follow a stream; all else raises one of DAMAGED.
    """

    def __init__(self, stream: io.BufferedReader, new: Callable[[], Any]) -> None:
        self._stream = stream
        self._new = new
        self._decompressor = new()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece = b""
        while not piece:
            compressed = b""
            if self._decompressor.eof:
                compressed = self._next_member()
                if not compressed:
                    return 0
                self._decompressor = self._new()
            elif self._decompressor.needs_input:
                compressed = self._stream.read1(_READ)
                if not compressed:
                    raise EOFError("the compressed data end in the middle")
            piece = self._decompressor.decompress(compressed, len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)

    def _next_member(self) -> bytes:
        """The beginning of what follows the stream that has ended, nothing at the file's end."""
        compressed: bytes = self._decompressor.unused_data.lstrip(b"\0")
        while not compressed and (more := self._stream.read1(_READ)):
            compressed = more.lstrip(b"\0")
        return compressed


class _Continued(io.RawIOBase):
    """Bytes that were read already, then what a stream goes on with, or the damage that stands there.

    Damage is kept: a gzip file that ends within its header would be taken for an empty one when it is read again.
    """

    def __init__(self, beginning: bytes, read: Callable[[int], bytes], damage: Exception | None) -> None:
        self._beginning = beginning
        self._read = read
        self._damage = damage

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._beginning:
            piece, self._beginning = self._beginning[: len(buffer)], self._beginning[len(buffer) :]
        elif self._damage is not None:
            raise self._damage
        else:
            piece = self._read(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)

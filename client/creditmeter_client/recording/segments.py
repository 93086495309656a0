"""One file of the spool: lines with a checksum, appended, read whole, deleted when all of them are settled."""

from __future__ import annotations

import errno
import os
import threading
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_OPEN = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND


def framed(line: bytes, written_at: int) -> bytes:
    """A line as it stands in a file: CRC-32 in hex, the time of writing in ms, the line. `line` has no line end."""
    rest = b"%d %s" % (written_at, line)
    return b"%08x %s\n" % (zlib.crc32(rest), rest)


@dataclass(frozen=True)
class SpooledLine:
    written_at: int
    line: bytes


def read_lines(data: bytes) -> Iterator[SpooledLine | None]:
    """The lines of a file; None for each that is cut or damaged."""
    for framed_line in data.splitlines():
        checksum, _, rest = framed_line.partition(b" ")
        written_at, _, line = rest.partition(b" ")
        try:
            intact = int(checksum, 16) == zlib.crc32(rest)
            yield SpooledLine(int(written_at), line) if intact else None
        except ValueError:
            yield None


class Segment:
    """A file that is being written, or was. Whoever holds its owner's lock file may delete it."""

    def __init__(self, path: Path) -> None:
        """Makes the file (0600). Raises OSError."""
        self.path = path
        self.size = 0
        self.outstanding = 0
        """Lines that are not settled yet."""
        self.closed = False
        self._synced = 0
        self._syncing = threading.Lock()
        self._descriptor = os.open(path, _OPEN, 0o600)

    def append(self, data: bytes) -> int:
        """Writes one framed line and returns the size of the file then. Raises OSError: then nothing counts as written.

        What a failed write left is cut off, so that the next line begins a line.
        """
        try:
            written = os.write(self._descriptor, data)
        except OSError:
            os.ftruncate(self._descriptor, self.size)
            raise
        if written != len(data):
            os.ftruncate(self._descriptor, self.size)
            raise OSError(errno.ENOSPC, f"only {written} of {len(data)} bytes were written")
        self.size += written
        self.outstanding += 1
        return self.size

    def sync(self, end: int) -> None:
        """Returns when the first `end` bytes are on the disk. Threads that wait together share one fsync."""
        with self._syncing:
            if self._synced < end:
                size = self.size
                os.fsync(self._descriptor)
                self._synced = size

    def settle_one(self) -> int:
        """Notes that one line is settled, and returns how many are left."""
        self.outstanding -= 1
        return self.outstanding

    def empty(self) -> None:
        """Cuts a file whose lines are all settled, to be written again."""
        with self._syncing:
            os.ftruncate(self._descriptor, 0)
            self.size = self._synced = 0

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            os.close(self._descriptor)

    def delete(self) -> None:
        self.close()
        self.path.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Makes new names in the folder outlast a power loss."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

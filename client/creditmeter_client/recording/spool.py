"""Commands on disk: what does not fit into memory, what the process leaves behind, and, if durable, everything.

Two kinds of segments are written. *Overflow* holds lines that are nowhere else; each is read back whole when its turn
comes. *Durable* holds copies of what is in memory, for the case that the process is killed; it is cut when all of them
are settled. Segments of processes that are gone are read like overflow, whatever they were.

A crash between a delivery and the deletion of its segment sends that segment again: ids make it harmless.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from creditmeter_client.recording.ownership import EVENTS, Owner, become_owner, owners_gone, prepare_folder
from creditmeter_client.recording.segments import Segment, SpooledLine, framed, read_lines, sync_folder

logger = logging.getLogger(__name__)


class SpoolFull(Exception):
    """The spool has reached its size."""


@dataclass
class LoadedSegment:
    """A segment that was read back. `outstanding`: lines that are not settled yet."""

    path: Path
    lines: list[SpooledLine]
    torn: int
    size: int
    owner: Owner | None
    """The process that is gone, whose segment it was; None: this process's own."""
    outstanding: int


@dataclass(frozen=True)
class _Waiting:
    """A segment that was not read back yet. `lines`: how many it has, where it is this process's own."""

    path: Path
    owner: Owner | None
    lines: int = 0


class Spool:
    """A folder of segments. Safe to use from several threads, and from several processes on one machine."""

    def __init__(
        self, folder: Path, *, max_bytes: int, segment_bytes: int = 1 << 20, durable_bytes: int = 64 << 10
    ) -> None:
        """Raises SpoolUnusable. Nothing is written before the first line.

        `durable_bytes`: the size of a durable segment. What a killed process had delivered is sent again from those of
        its segments in which a line was open, so they are small.
        """
        prepare_folder(folder)
        self._folder = folder
        self._max_bytes = max_bytes
        self._segment_bytes = segment_bytes
        self._durable_bytes = durable_bytes
        self._lock = threading.Lock()
        self._begin()

    def _begin(self) -> None:
        self._owner: Owner | None = None
        self._overflow: Segment | None = None
        self._durable: Segment | None = None
        self._waiting: deque[_Waiting] = deque()
        self._adopted: dict[str, tuple[Owner, int]] = {}
        self._number = 0
        self._own_bytes = 0
        self._lines_waiting = 0
        self._other_bytes = 0

    def write_overflow(self, line: bytes, written_at: int, *, sync: bool) -> None:
        """Raises SpoolFull or OSError."""
        with self._lock:
            if self._overflow is not None and self._overflow.size >= self._segment_bytes:
                self._close_overflow()
            data = framed(line, written_at)
            segment = self._overflow = self._ready(self._overflow, len(data), sync=sync)
            end = segment.append(data)
            self._own_bytes += len(data)
            self._lines_waiting += 1
        if sync:
            segment.sync(end)

    def write_durable(self, line: bytes, written_at: int) -> Segment:
        """Returns when the line is on the disk; give its segment to `settle` later. Raises SpoolFull or OSError."""
        with self._lock:
            if self._durable is not None and self._durable.size >= self._durable_bytes:
                self._durable = None  # deleted when its last line is settled
            data = framed(line, written_at)
            segment = self._durable = self._ready(self._durable, len(data), sync=True)
            end = segment.append(data)
            self._own_bytes += len(data)
        try:
            segment.sync(end)
        except OSError:
            self.settle(segment)
            raise
        return segment

    def settle(self, segment: Segment) -> None:
        """One line of a durable segment was delivered, refused or reported lost."""
        with self._lock:
            if segment.settle_one() or segment.closed:
                return
            self._own_bytes -= segment.size
            if segment is self._durable:
                segment.empty()
            else:
                segment.delete()

    def waiting(self) -> int:
        """Lines of this process's overflow that were not read back yet."""
        return self._lines_waiting

    def has_more(self) -> bool:
        """Whether `load_oldest` has something to read."""
        with self._lock:
            return bool(self._waiting) or (self._overflow is not None and self._overflow.outstanding > 0)

    def load_oldest(self) -> LoadedSegment | None:
        """Reads the next segment of overflow or of a process that is gone. Raises OSError."""
        with self._lock:
            if not self._waiting:
                self._close_overflow()
            if not self._waiting:
                return None
            segment = self._waiting[0]
            data = self._read(segment)
            self._waiting.popleft()
            self._lines_waiting -= segment.lines
        lines = list(read_lines(data))
        intact = [line for line in lines if line is not None]
        torn = len(lines) - len(intact)
        if torn:
            logger.error("%s: %d lines are cut or damaged and can't be sent", segment.path, torn)
        return LoadedSegment(segment.path, intact, torn, len(data), segment.owner, len(intact))

    def finish(self, segment: LoadedSegment) -> None:
        """All lines of a loaded segment are settled."""
        with self._lock:
            segment.path.unlink(missing_ok=True)
            if segment.owner is None:
                self._own_bytes -= segment.size
                return
            if segment.owner.name not in self._adopted:  # closed meanwhile
                return
            owner, left = self._adopted[segment.owner.name]
            self._adopted[owner.name] = owner, left - 1
            if left == 1:
                del self._adopted[owner.name]
                owner.release()

    def adopt(self) -> int:
        """Takes over what processes that are gone have left, and returns how many segments that is."""
        adopted = 0
        for owner in owners_gone(self._folder):
            paths = owner.segments()
            if not paths:
                owner.release()
                continue
            adopted += len(paths)
            with self._lock:
                self._adopted[owner.name] = owner, len(paths)
                self._waiting.extend(_Waiting(path, owner) for path in paths)
        return adopted

    def close(self) -> None:
        """Lets go of everything; what is not settled stays for the next process."""
        with self._lock:
            for segment in (self._overflow, self._durable):
                if segment is not None:
                    if segment.outstanding:
                        segment.close()
                    else:
                        segment.delete()
            for owner in (self._owner, *(owner for owner, _ in self._adopted.values())):
                if owner is not None:
                    owner.release()
            self._begin()

    def after_fork(self) -> None:
        """In a child: what is open belongs to the parent."""
        self._lock = threading.Lock()
        for segment in (self._overflow, self._durable):
            if segment is not None:
                segment.close()
        for owner in (self._owner, *(owner for owner, _ in self._adopted.values())):
            if owner is not None:
                owner.forget()
        self._begin()

    def _ready(self, segment: Segment | None, size: int, *, sync: bool) -> Segment:
        """The segment to write `size` bytes to. Raises SpoolFull or OSError."""
        if segment is None or self._own_bytes + self._other_bytes + size > self._max_bytes:
            self._other_bytes = self._bytes_of_others()
        if self._own_bytes + self._other_bytes + size > self._max_bytes:
            raise SpoolFull(f"{self._folder} has reached its {self._max_bytes} bytes")
        return self._new_segment(sync=sync) if segment is None else segment

    def _new_segment(self, *, sync: bool) -> Segment:
        if self._owner is None:
            self._owner = become_owner(self._folder)
        self._number += 1
        segment = Segment(self._folder / f"{self._owner.name}.{self._number}{EVENTS}")
        if sync:
            sync_folder(self._folder)
        return segment

    def _close_overflow(self) -> None:
        if self._overflow is not None:
            self._overflow.close()
            self._waiting.append(_Waiting(self._overflow.path, None, self._overflow.outstanding))
            self._overflow = None

    @staticmethod
    def _read(segment: _Waiting) -> bytes:
        try:
            return segment.path.read_bytes()
        except FileNotFoundError:
            logger.error("%s was deleted by somebody else: its events (%d known) are lost", segment.path, segment.lines)  # noqa: TRY400 -- no trace helps
            return b""

    def _bytes_of_others(self) -> int:
        own = f"{self._owner.name}." if self._owner is not None else ""
        total = 0
        for path in self._folder.glob(f"*{EVENTS}"):
            if not own or not path.name.startswith(own):
                try:
                    total += path.stat().st_size
                except FileNotFoundError:  # sent meanwhile by its owner
                    continue
        return total

"""Who owns which files of a spool: one locked file a process, so that a dead process's events are taken over.

The kernel lets go of a lock when its process ends, however it ends. A name is `<owner>.lock`; the owner's segments are
`<owner>.<number>.events`.
"""

from __future__ import annotations

import fcntl
import os
import stat
import uuid
from collections.abc import Iterator
from pathlib import Path

LOCK = ".lock"
EVENTS = ".events"


class SpoolUnusable(ValueError):
    """The folder can't be a spool; the message says why and what to do."""


def prepare_folder(folder: Path) -> None:
    """Makes the folder (0700). Raises SpoolUnusable for one that others may enter or that is somebody else's."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
    except OSError as error:
        raise SpoolUnusable(f"the spool {folder} can't be made: {error}") from error
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        raise SpoolUnusable(f"the spool {folder} must be a folder of the user that runs this process")
    if stat.S_IMODE(status.st_mode) & 0o077:
        raise SpoolUnusable(f"others may enter the spool {folder}: chmod 700 {folder}")


class Owner:
    """A locked file. While it is held, the segments with its name are this process's."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.name = path.name[: -len(LOCK)]
        self._path = path
        self._descriptor = descriptor

    def segments(self) -> list[Path]:
        """Its segments, oldest first."""
        paths = self._path.parent.glob(f"{self.name}.*{EVENTS}")
        return sorted(paths, key=lambda path: int(path.name.split(".")[1]))

    def release(self) -> None:
        """Deletes the locked file, where no segment needs it any more, and lets go of the lock."""
        if not self.segments():
            self._path.unlink(missing_ok=True)
        os.close(self._descriptor)

    def forget(self) -> None:
        """In a child after a fork: closes this copy; the parent keeps the lock."""
        os.close(self._descriptor)


def become_owner(folder: Path) -> Owner:
    """A new name, locked. Raises OSError."""
    while True:
        owner = _locked(folder / f"{os.getpid()}-{uuid.uuid4().hex}{LOCK}", os.O_CREAT | os.O_EXCL)
        if owner is not None:
            return owner


def owners_gone(folder: Path) -> Iterator[Owner]:
    """The names of processes that have ended, now locked by this one."""
    for path in sorted(folder.glob(f"*{LOCK}")):
        try:
            owner = _locked(path, 0)
        except FileNotFoundError:
            continue
        if owner is not None:
            yield owner


def _locked(path: Path, flags: int) -> Owner | None:
    """None where another process has the lock, or deleted the file before this one got it."""
    descriptor = os.open(path, os.O_RDWR | flags, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(descriptor), path.stat()):
            return Owner(path, descriptor)
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(descriptor)
    return None

"""A process's own folder for what it is still making, on the disk of the states, so that links and renames work."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from itertools import count
from pathlib import Path

from streams.checkpoints.sealed import CheckpointError

_NAME = "scratch"


class Scratch:
    """`<root>/scratch/<pid>`. What a process left behind that ended in the middle is removed by the next one."""

    def __init__(self, root: Path) -> None:
        """Raises CheckpointError where the folder cannot be made."""
        self._own = root / _NAME / str(os.getpid())
        self._numbers = count()
        try:
            self._own.parent.mkdir(parents=True, exist_ok=True)
            for folder in self._own.parent.iterdir():
                if folder == self._own or not owner_runs(folder.name):
                    shutil.rmtree(folder, ignore_errors=True)
            self._own.mkdir(exist_ok=True)
        except OSError as error:
            raise CheckpointError(f"{self._own}: the folder cannot be made: {error}") from error

    def new(self, name: str) -> Path:
        """A path at which there is nothing."""
        return self._own / f"{name}-{next(self._numbers)}"

    def close(self) -> None:
        """Removes it."""
        shutil.rmtree(self._own, ignore_errors=True)
        with suppress(OSError):
            self._own.parent.rmdir()  # where no other process has one


def owner_runs(name: str) -> bool:
    """Whether the process that a scratch folder is named after, `<pid>` or `<pid>-…`, still runs."""
    try:
        os.kill(int(name.partition("-")[0]), 0)
    except (ProcessLookupError, ValueError):
        return False
    except OSError:
        return True
    return True

"""A command's own folder while it works, on the disk of the data. What a killed one left, the next one removes."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from application.errors import Misconfigured
from streams.checkpoints.scratch import owner_runs


@contextmanager
def scratch_folder(data_dir: Path) -> Iterator[Path]:
    """A folder that is removed afterwards. Raises Misconfigured where `data_dir` takes none."""
    root = data_dir / "scratch"
    try:
        root.mkdir(parents=True, exist_ok=True)
        _clear(root)
        path = Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-", dir=root))
    except OSError as error:
        raise Misconfigured(f"data_dir: nothing can be kept for the moment in {root}: {error.strerror}") from error
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _clear(root: Path) -> None:
    """Removes what processes that no longer run have left."""
    for folder in root.iterdir():
        if folder.name[:1].isdecimal() and not owner_runs(folder.name):
            shutil.rmtree(folder, ignore_errors=True)

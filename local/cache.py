"""Fetches files once for each user and keeps them in the cache folder, whole or not at all."""

import fcntl
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from local.process import ServerFailed


def cache_folder() -> Path:
    """Where this user's fetched files are: below $XDG_CACHE_HOME, else ~/.cache."""
    root = os.environ.get("XDG_CACHE_HOME") or ""
    base = Path(root) if Path(root).is_absolute() else Path.home() / ".cache"
    return base / "creditmeter"


def fetch_once(folder: Path, fetch: Callable[[Path], None]) -> Path:
    """Returns `folder`, filled first where it does not exist: `fetch` fills an empty folder, which is then renamed.

    A folder that exists is therefore whole. Of several processes at once one fetches, and the others wait for it.
    Raises ServerFailed when the cache folder cannot be written, and whatever `fetch` raises.
    """
    if folder.is_dir():
        return folder
    prefix = f"{folder.name}.part-"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with (folder.parent / f"{folder.name}.lock").open("w") as lock:
            # A lock ends with its process, so whoever holds it now may remove what a killed process left behind.
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not folder.is_dir():
                for leftover in folder.parent.glob(f"{prefix}*"):
                    shutil.rmtree(leftover)
                with tempfile.TemporaryDirectory(dir=folder.parent, prefix=prefix) as scratch:
                    part = Path(scratch) / "whole"
                    part.mkdir()
                    fetch(part)
                    part.rename(folder)
    except OSError as error:
        raise ServerFailed(
            f"{folder} could not be filled: {error}; set XDG_CACHE_HOME to a folder that can be written"
        ) from error
    return folder


def print_progress(text: str) -> None:
    """Prints one line for people on standard error."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - progress belongs on standard error

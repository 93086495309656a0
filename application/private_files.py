"""Keeps data_dir private: folders 0700, files 0600, whatever the umask."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from application.configuration.settings import Settings

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def private_folders(settings: Settings) -> list[str]:
    """Makes data_dir, and takes from others what rights they have on it, on the state and on local checkpoints.

    Returns a warning for each folder that others can still read. Raises OSError where data_dir cannot be
    made.
    """
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    folders = [settings.data_dir, settings.state_path]
    if (checkpoints := _local_folder(settings.checkpoint_url)) is not None:
        folders.append(checkpoints)
    return [remark for folder in folders if folder.is_dir() for remark in _narrowed(folder)]


def _narrowed(folder: Path) -> Iterator[str]:
    """Takes others' rights on the folder and all that is in it; yields a remark where that cannot be done."""
    if _is_of_people(folder):
        if folder.stat().st_mode & _OTHERS:
            yield f"others may look into {folder}, where you work: keep the data in a folder of their own (data_dir)"
        inside = [folder / name for name in _OURS if (folder / name).exists()]
    elif (reason := _narrow(folder)) is not None:
        yield f"{folder} can be read by others, with all usage and balances in it ({reason}): take their rights away"
        return
    else:
        inside = [folder]
    for top in inside:
        _narrow(top)
        for place, names, files in os.walk(top):
            for name in (*names, *files):
                _narrow(Path(place) / name)


def _narrow(path: Path) -> str | None:
    """None where others have no rights (any more), else why they still have them."""
    try:
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode) or not mode & _OTHERS:
            return None
        path.chmod(stat.S_IMODE(mode) & ~_OTHERS)
        return "its file system keeps no rights" if path.stat().st_mode & _OTHERS else None
    except OSError as error:
        return error.strerror or type(error).__name__


def _is_of_people(folder: Path) -> bool:
    """Whether it is the folder that somebody works in, above it, or a home: its rights are not ours to change."""
    place, here = folder.resolve(), Path.cwd()
    return place == here or place in here.parents or place == Path.home()


def _local_folder(url: str | None) -> Path | None:
    """The folder of checkpoints where it is one of this machine."""
    if url is None:
        return None
    parts = urlsplit(url)
    return (
        Path(parts.path if parts.scheme in {"file", "local"} else url)
        if parts.scheme in {"", "file", "local"}
        else None
    )


_OURS = (
    "kafka",
    "clickhouse",
    "state",
    "logs",
    "loader",
    "ready",
    "scratch",
    "run.json",
    "up.json",
    "secret.key",
    "operator.key",
)
"""What we make in data_dir."""

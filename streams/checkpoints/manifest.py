"""The manifest of a checkpoint of a partition's state, and the condition in which a checkpoint is found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from streams.checkpoints.sealed import CheckpointError
from streams.state.store import Identity

FORMAT = 1
_DIGITS = 20
_SEAL_LETTERS = 12


class CheckpointDamaged(CheckpointError):
    """A checkpoint is not what was written; the message names the file. The one before may be used."""


class Condition(StrEnum):
    """The condition of a checkpoint by its seal and the sizes of its files."""

    WHOLE = "whole"
    INCOMPLETE = "incomplete"  # no seal: being written, or its writer ended
    DAMAGED = "damaged"


class StoredFile(NamedTuple):
    """One file of a checkpoint. `size` in bytes."""

    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A partition's state up to input offset `applied`.

    `recorded_at`: the log's time of the message there, None where it is not known; `made_at`: the writer's clock, for
    people only (both ms UTC). `name` is its folder's, below the partition's; `place` the same as a whole URL.
    """

    partition: int
    applied: int
    recorded_at: int | None
    made_at: int
    files: Mapping[str, StoredFile]
    name: str
    place: str

    @property
    def size(self) -> int:
        """Bytes of all its files."""
        return sum(file.size for file in self.files.values())


class ListedCheckpoint(NamedTuple):
    """A folder that is, was or will be a checkpoint. `checkpoint` is None where the manifest is missing or damaged."""

    place: str
    name: str
    applied: int
    condition: Condition
    detail: str
    checkpoint: Checkpoint | None


def content_of(
    of: Identity, applied: int, recorded_at: int | None, made_at: int, files: Mapping[str, StoredFile]
) -> dict[str, Any]:
    """A manifest's content."""
    return {
        "format": FORMAT,
        "topic": of.topic,
        "log_id": of.log_id,
        "partition": of.partition,
        "applied": applied,
        "recorded_at": recorded_at,
        "made_at": made_at,
        "files": {name: stored._asdict() for name, stored in files.items()},
    }


def checkpoint_of(content: Mapping[str, Any], wanted: Identity, name: str, place: str) -> Checkpoint:
    """Reads the manifest of the folder `name`. Raises CheckpointDamaged where it cannot be that partition's."""
    if content.get("format") != FORMAT:
        raise CheckpointDamaged(f"format {content.get('format')}, this version reads {FORMAT}")
    if Identity(content["topic"], content["partition"], content["log_id"]) != wanted:
        raise CheckpointDamaged(f"it is of {content['topic']}[{content['partition']}] (log {content['log_id']})")
    if content["applied"] != applied_of(name):
        raise CheckpointDamaged(f"it reaches offset {content['applied']}, not that of its name")
    files = {file_name: StoredFile(**stored) for file_name, stored in content["files"].items()}
    for file_name in files:
        if "/" in file_name or file_name.startswith("."):
            raise CheckpointDamaged(f"it names a file outside of its folder: {file_name}")
    recorded_at, made_at = content["recorded_at"], content["made_at"]
    return Checkpoint(wanted.partition, content["applied"], recorded_at, made_at, files, name, place)


def folder_name(applied: int, seal: str) -> str:
    """By offset, and by content: two writers at one offset never share a folder."""
    return f"{applied:0{_DIGITS}d}-{seal[:_SEAL_LETTERS]}"


def applied_of(name: str) -> int | None:
    """The offset in a folder's name; None where it is no checkpoint's."""
    digits, _, letters = name.partition("-")
    return int(digits) if len(digits) == _DIGITS and digits.isdecimal() and letters else None


def first_differing(files: Mapping[str, StoredFile], listed: Mapping[str, int | None]) -> str | None:
    """The first file that is not listed with its size."""
    return next((name for name, stored in files.items() if listed.get(name) != stored.size), None)

"""The end of a clean audit, kept so that a later one goes on from there instead of from the log's beginning.

A folder: `state/<partition>` (RocksDB checkpoints: the replayed state and the digests), `manifest.json` (offsets,
output positions, totals, the SHA-256 of every file) and `manifest.sha256`. It is there whole or not at all, and never
changed.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from replay.audit.findings import Totals
from replay.audit.outputs import Stretch
from streams.checkpoints.sealed import (
    MANIFEST,
    SEAL,
    CheckpointError,
    Damaged,
    checksum,
    compare,
    files_in,
    sealed_text,
    unsealed,
)
from streams.state.rocks import RocksState

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a checkpoint says of itself. `applied`: by partition, the last input offset that is in it."""

    prefix: str
    log_id: str
    applied: Mapping[int, int]
    outputs: Mapping[tuple[str, int], Stretch]
    totals: Totals
    with_rows: bool

    def as_json(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "prefix": self.prefix,
            "log_id": self.log_id,
            "applied": {str(partition): offset for partition, offset in self.applied.items()},
            "outputs": [[t, p, stretch.first, *stretch.last] for (t, p), stretch in self.outputs.items()],
            "totals": self.totals.as_json(),
            "with_rows": self.with_rows,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Manifest:
        outputs = {(t, p): Stretch(first, first, (offset, part)) for t, p, first, offset, part in data["outputs"]}
        applied = {int(partition): offset for partition, offset in data["applied"].items()}
        totals = Totals.from_json(data["totals"])
        return cls(data["prefix"], data["log_id"], applied, outputs, totals, data["with_rows"])


class CheckpointWriter:
    """Makes a checkpoint beside its place, and moves it there when it is whole."""

    def __init__(self, target: Path) -> None:
        """Raises CheckpointError where something is there already."""
        if target.exists():
            raise CheckpointError(f"{target} is there already: name a new folder for the checkpoint")
        self._target = target
        self._part = target.with_name(f"{target.name}.part")
        shutil.rmtree(self._part, ignore_errors=True)

    def add(self, partition: int, state: RocksState) -> None:
        """Keeps a partition's state as it is now. Raises StateError."""
        state.checkpoint(self._part / "state" / str(partition))

    def finish(self, manifest: Manifest) -> None:
        """Seals it. Raises CheckpointError where the disk does not take it."""
        try:
            self._part.mkdir(parents=True, exist_ok=True)
            files = {name: checksum(self._part / name) for name in files_in(self._part)}
            text, seal = sealed_text({**manifest.as_json(), "files": files})
            _write(self._part / MANIFEST, text)
            _write(self._part / SEAL, seal.encode())
            self._part.rename(self._target)
        except OSError as error:
            raise CheckpointError(f"{self._target}: the checkpoint cannot be written: {error}") from error

    def drop(self) -> None:
        """Leaves nothing behind."""
        shutil.rmtree(self._part, ignore_errors=True)


def load(folder: Path) -> Manifest:
    """The manifest, after every file was compared with its checksum. Raises CheckpointError."""
    try:
        text, seal = (folder / MANIFEST).read_bytes(), (folder / SEAL).read_bytes()
    except OSError as error:
        raise CheckpointError(f"{folder}: no checkpoint of an audit: {error}") from error
    try:
        data = unsealed(text, seal)
        if data["format"] != FORMAT:
            raise CheckpointError(f"{folder}: format {data['format']}, this version reads {FORMAT}: audit without it")
        compare(folder, data["files"])
    except Damaged as damage:
        raise CheckpointError(
            f"{folder / damage.name}: damaged: not what the audit wrote; use an earlier checkpoint, or audit from the "
            "beginning"
        ) from None
    return Manifest.from_json(data)


def restore(folder: Path, partition: int, into: Path) -> None:
    """Copies a partition's state to where it is opened; table files, which never change, by a link where possible."""
    source = folder / "state" / str(partition)
    if not source.is_dir():
        return
    into.mkdir(parents=True)
    for path in source.iterdir():
        copy = into / path.name
        if path.suffix == ".sst":
            try:
                os.link(path, copy)
            except OSError:
                shutil.copyfile(path, copy)
        else:
            shutil.copyfile(path, copy)


def _write(path: Path, text: bytes) -> None:
    with path.open("wb") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())

"""The end of a clean audit, kept so that a later one goes on from there instead of from the log's beginning.

A folder: `state/<partition>` (RocksDB checkpoints: the replayed state and the digests), `manifest.json` (offsets,
output positions, totals, the SHA-256 of every file) and `manifest.sha256`. It is there whole or not at all, and never
changed.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streams.audit_outputs import Stretch
from streams.audit_report import Totals
from streams.rocks import RocksState

FORMAT = 1
_MANIFEST, _SEAL = "manifest.json", "manifest.sha256"
_BLOCK = 1 << 20


class CheckpointError(Exception):
    """The checkpoint cannot be used or written; the message says which file and what to do."""


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
            files = {name: _sha256(self._part / name) for name in _files(self._part)}
            text = json.dumps({**manifest.as_json(), "files": files}, indent=1)
            _write(self._part / _MANIFEST, text)
            _write(self._part / _SEAL, hashlib.sha256(text.encode()).hexdigest())
            self._part.rename(self._target)
        except OSError as error:
            raise CheckpointError(f"{self._target}: the checkpoint cannot be written: {error}") from error

    def drop(self) -> None:
        """Leaves nothing behind."""
        shutil.rmtree(self._part, ignore_errors=True)


def load(folder: Path) -> Manifest:
    """The manifest, after every file was compared with its checksum. Raises CheckpointError."""
    try:
        text = (folder / _MANIFEST).read_text()
        sealed = (folder / _SEAL).read_text()
    except OSError as error:
        raise CheckpointError(f"{folder}: no checkpoint of an audit: {error}") from error
    if hashlib.sha256(text.encode()).hexdigest() != sealed.strip():
        raise _damaged(folder, _MANIFEST)
    data = json.loads(text)
    if data["format"] != FORMAT:
        raise CheckpointError(f"{folder}: format {data['format']}, this version reads {FORMAT}: audit without it")
    found = _files(folder)
    for name, checksum in data["files"].items():
        if name not in found or _sha256(folder / name) != checksum:
            raise _damaged(folder, name)
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


def _damaged(folder: Path, name: str) -> CheckpointError:
    return CheckpointError(
        f"{folder / name}: damaged: not what the audit wrote; use an earlier checkpoint, or audit from the beginning"
    )


def _files(folder: Path) -> list[str]:
    inside = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return [name for path in inside if (name := str(path.relative_to(folder))) not in {_MANIFEST, _SEAL}]


def _sha256(path: Path) -> str:
    made = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            made.update(block)
    return made.hexdigest()


def _write(path: Path, text: str) -> None:
    with path.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())

"""Checkpoints of partitions' states in a folder or an object store: written whole, listed, checked, fetched, pruned.

`<url>/<topic>/<log_id>/<partition>/<applied>-<seal>/` holds the files of a RocksDB checkpoint, `manifest.json` (whose
state it is, how far it goes, size and SHA-256 of every file) and the seal, written last: without it a folder is no
checkpoint. Each has all of its files for itself and is never written to again: what damages one leaves the one before.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from streams import clock
from streams.checkpoints.manifest import (
    Checkpoint,
    CheckpointDamaged,
    Condition,
    ListedCheckpoint,
    StoredFile,
    applied_of,
    checkpoint_of,
    content_of,
    first_differing,
    folder_name,
)
from streams.checkpoints.object_store import MissingObject, ObjectStore, StoreUnavailable
from streams.checkpoints.sealed import (
    MANIFEST,
    SEAL,
    CheckpointError,
    Damaged,
    checksum,
    files_in,
    sealed_text,
    unsealed,
)
from streams.state.store import Identity


class Checkpoints:
    """The checkpoints of one input topic, of the log with this id: offsets of another mean something else."""

    def __init__(self, url: str, topic: str, log_id: str) -> None:
        """Raises DriverMissing. Nothing is asked of the store yet."""
        self._store = ObjectStore(url)
        self._topic = topic
        self.log_id = log_id
        self._root = f"{topic}/{log_id}"

    @property
    def place(self) -> str:
        """Where they are, for people."""
        return self._store.place(self._root)

    def partitions(self) -> list[int]:
        """The partitions that have any. Raises StoreUnavailable."""
        return sorted(int(name) for name in self._store.listed(self._root) if name.isdecimal())

    def listed(self, partition: int) -> Iterator[ListedCheckpoint]:
        """All of a partition, whatever their condition, the newest first, each looked at when it is asked for.

        Raises StoreUnavailable.
        """
        names = self._store.listed(self._folder(partition))
        for name in sorted((candidate for candidate in names if applied_of(candidate) is not None), reverse=True):
            yield self._look(partition, name)

    def whole(self, partition: int, before: int | None = None) -> Iterator[Checkpoint]:
        """Those that look whole, with `applied` < `before` where that is given, the newest first.

        Raises StoreUnavailable.
        """
        for checkpoint in self.listed(partition):
            fits = before is None or checkpoint.applied < before
            if fits and checkpoint.checkpoint is not None and checkpoint.condition is Condition.WHOLE:
                yield checkpoint.checkpoint

    def newest(self, partition: int, before: int | None = None) -> Checkpoint | None:
        """The newest that looks whole, with `applied` < `before` where that is given. Raises StoreUnavailable."""
        return next(self.whole(partition, before), None)

    def fetch(self, checkpoint: Checkpoint, into: Path) -> None:
        """Makes the folder `into` of its files, each compared with its checksum: whole and on the disk, or not at all.

        Raises CheckpointDamaged, StoreUnavailable, CheckpointError where the disk does not take it.
        """
        try:
            into.mkdir(parents=True)
        except OSError as error:
            raise CheckpointError(f"{into}: the folder cannot be made: {error}") from error
        try:
            for name, stored in checkpoint.files.items():
                self._download(checkpoint, name, stored, into / name)
            _sync(into)
        except BaseException as error:
            shutil.rmtree(into, ignore_errors=True)
            if isinstance(error, OSError):
                raise CheckpointError(f"{into}: {checkpoint.place} cannot be fetched to it: {error}") from error
            raise

    def verify(self, checkpoint: Checkpoint, scratch: Path) -> None:
        """Reads every file, one at a time through the folder `scratch`, and compares it. Raises as `fetch` does."""
        try:
            for name, stored in checkpoint.files.items():
                self._download(checkpoint, name, stored, scratch / name)
                (scratch / name).unlink()
        except OSError as error:
            raise CheckpointError(f"{scratch}: {checkpoint.place} cannot be read through it: {error}") from error

    def save(self, partition: int, applied: int, recorded_at: int | None, source: Path) -> Checkpoint:
        """Keeps the files of a state that nobody writes to. In this order: manifest, files, a check of them, the seal.

        One that looks whole at the same offset is not written again. Raises StoreUnavailable, CheckpointError.
        """
        there = self.newest(partition, applied + 1)
        if there is not None and there.applied == applied:
            return there
        try:
            files = {
                name: StoredFile(checksum(source / name), (source / name).stat().st_size) for name in files_in(source)
            }
        except OSError as error:
            raise CheckpointError(f"{source}: the copy of the state cannot be read: {error}") from error
        identity = self._identity(partition)
        content = content_of(identity, applied, recorded_at, clock.now_ms(), files)
        text, seal = sealed_text(content)
        name = folder_name(applied, seal)
        folder = self._folder(partition, name)
        self._store.write(f"{folder}/{MANIFEST}", text)
        for file in files:
            self._store.upload(source / file, f"{folder}/{file}")
        differing = first_differing(files, self._store.listed(folder))
        if differing:
            raise StoreUnavailable(f"{self._store.place(folder)}/{differing}: it is not there as it was written")
        self._store.write(f"{folder}/{SEAL}", seal.encode())
        return checkpoint_of(content, identity, name, self._store.place(folder))

    def prune(self, partition: int, keep: int) -> list[str]:
        """Removes what is older than the newest `keep` that look whole, the seal first; returns the places removed.

        Also what an ended writer left behind them. Raises StoreUnavailable.
        """
        wholes, removed = 0, []
        for checkpoint in list(self.listed(partition)):
            if wholes >= keep:
                self._remove(partition, checkpoint.name)
                removed.append(checkpoint.place)
            elif checkpoint.condition is Condition.WHOLE:
                wholes += 1
        return removed

    def _remove(self, partition: int, name: str) -> None:
        folder = self._folder(partition, name)
        for file_name in sorted(self._store.listed(folder), key=lambda file: (file != SEAL, file)):
            self._store.remove(f"{folder}/{file_name}")
        self._store.remove_folder(folder)

    def _look(self, partition: int, name: str) -> ListedCheckpoint:
        folder = self._folder(partition, name)
        place, applied = self._store.place(folder), applied_of(name) or 0
        listed = self._store.listed(folder)
        if SEAL not in listed:
            return ListedCheckpoint(place, name, applied, Condition.INCOMPLETE, "it has no seal", None)
        try:
            content = unsealed(self._store.read(f"{folder}/{MANIFEST}"), self._store.read(f"{folder}/{SEAL}"))
            checkpoint = checkpoint_of(content, self._identity(partition), name, place)
        except (Damaged, MissingObject):
            return ListedCheckpoint(
                place, name, applied, Condition.DAMAGED, f"{MANIFEST} is not what its seal says", None
            )
        except CheckpointDamaged as error:
            return ListedCheckpoint(place, name, applied, Condition.DAMAGED, str(error), None)
        differing = first_differing(checkpoint.files, listed)
        if differing:
            detail = f"{differing} is missing, or has another size"
            return ListedCheckpoint(place, name, applied, Condition.DAMAGED, detail, checkpoint)
        return ListedCheckpoint(place, name, applied, Condition.WHOLE, "", checkpoint)

    def _download(self, checkpoint: Checkpoint, name: str, stored: StoredFile, target: Path) -> None:
        try:
            self._store.download(f"{self._folder(checkpoint.partition, checkpoint.name)}/{name}", target)
            is_same = target.stat().st_size == stored.size and checksum(target) == stored.sha256
        except MissingObject:
            is_same = False
        if not is_same:
            raise CheckpointDamaged(f"{checkpoint.place}/{name}: damaged: missing, or not what was written")

    def _identity(self, partition: int) -> Identity:
        return Identity(self._topic, partition, self.log_id)

    def _folder(self, partition: int, name: str = "") -> str:
        return f"{self._root}/{partition}/{name}" if name else f"{self._root}/{partition}"


def _sync(folder: Path) -> None:
    """Sees to it that a power loss leaves the files as they were fetched."""
    for path in [*folder.iterdir(), folder]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

"""Makes a checkpoint of a state on this machine while a worker may hold it: copies it row by row into a fresh state."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from streams.checkpoints.checkpoints import Checkpoints
from streams.checkpoints.manifest import Checkpoint
from streams.checkpoints.restoring import has_state
from streams.log.protocols import InputLog, LostPrefix
from streams.state.read_only import StateView
from streams.state.rocks_folder import RocksFolder, RocksLimits, state_folder
from streams.state.store import NOTHING_APPLIED, RESERVED, Identity, StateError

_MIB = 1 << 20
_LIMITS = RocksLimits(cache_bytes=16 * _MIB, buffer_bytes=64 * _MIB)
_AT_ONCE = 5_000


def state_path(root: Path, identity: Identity) -> Path | None:
    """Where the partition's state is on this machine; None where it is not."""
    path = state_folder(root, identity)
    return path if has_state(path) else None


def make_checkpoint(
    root: Path, identity: Identity, input_log: InputLog, checkpoints: Checkpoints, scratch: Path
) -> Checkpoint:
    """Keeps the state below `root` as it is now. `scratch` is a folder of the caller's, left empty.

    Raises StateError (not here, of another log, nothing in it), CheckpointError, LogError.
    """
    path = state_path(root, identity)
    place = f"{identity.topic}[{identity.partition}]"
    if path is None:
        raise StateError(f"{place}: its state is not on this machine; run this where its worker runs, or set state_dir")
    view = StateView(path)
    try:
        if view.identity != identity:
            raise StateError(f"{path}: the state is not of {place} as it is now: the topic was made again, or moved")
        if view.applied == NOTHING_APPLIED:
            raise StateError(f"{path}: there is nothing in the state yet")
        copy = RocksFolder(scratch, _LIMITS)
        _copy(view, copy, identity)
        applied = view.applied
    finally:
        view.close()
    try:
        return checkpoints.save(
            identity.partition, applied, _recorded_at(input_log, identity.partition, applied), copy.path(identity)
        )
    finally:
        shutil.rmtree(copy.path(identity), ignore_errors=True)


def _copy(view: StateView, folder: RocksFolder, identity: Identity) -> None:
    """Every row of the view, then the offset that goes with them."""
    state = folder.open(identity)
    try:
        rows: dict[bytes, Any] = {}
        for key, value in view.scan(b""):
            if key.startswith(RESERVED):
                continue
            rows[key] = value
            if len(rows) >= _AT_ONCE:
                state.write(rows)
                rows = {}
        state.commit(rows, view.applied)
        state.flush()
    finally:
        state.close()


def _recorded_at(log: InputLog, partition: int, applied: int) -> int | None:
    """The log's time of the message at that offset; None where it is not kept, or the offset holds none."""
    try:
        return next((message.timestamp for message in log.read(partition, applied, applied + 1)), None)
    except LostPrefix:
        return None

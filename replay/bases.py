"""Finds where the replay of an account may begin: the nearest state that is known to be of this log.

Skips states that are missing, foreign or unreadable, and remarks why; the log's beginning always fits.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from replay.account import Base, beginning
from streams.checkpoints.checkpoints import Checkpoints
from streams.checkpoints.manifest import Checkpoint, CheckpointDamaged
from streams.checkpoints.sealed import CheckpointError
from streams.log.protocols import InputLog
from streams.state.read_only import StateView
from streams.state.rocks_folder import state_folder
from streams.state.store import Identity, StateError

Remark = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class BasePlaces:
    """Where states may be. `identity`: the partition of the log as it is now, its id known; `state_root` a worker's.

    A checkpoint is fetched into a new folder below `scratch`.
    """

    identity: Identity
    input_log: InputLog
    scratch: Path
    state_root: Path | None = None
    checkpoints: Checkpoints | None = None

    @property
    def partition_name(self) -> str:
        return f"{self.identity.topic}[{self.identity.partition}]"


def base_for(places: BasePlaces, remark: Remark, before: int | None = None) -> Base:
    """The nearest base with `applied` < `before` (None: the newest). Close it when the replay is done.

    That is the worker's state on this machine, else the newest checkpoint that is whole, else the log's beginning.
    `remark` gets a sentence for each that is skipped for another reason than `before`. Raises LogError.
    """
    return workers_state(places, remark, before) or _checkpoint(places, remark, before) or beginning()


def workers_state(places: BasePlaces, remark: Remark, before: int | None = None) -> Base | None:
    """The worker's state on this machine, as `base_for` takes it; None where there is none that fits."""
    if places.state_root is None:
        return None
    path = state_folder(places.state_root, places.identity)
    name = f"the worker's state of {places.partition_name}"
    if not path.is_dir():
        remark(f"{name} is not on this machine ({path})")
        return None
    try:
        view = StateView(path)
    except StateError as error:
        remark(f"{name} is not used: {error}")
        return None
    unfit = _unfit(places, view.identity, view.applied)
    if unfit is not None or (before is not None and view.applied >= before):
        view.close()
        if unfit is not None:
            remark(f"{name} is not used: {path} {unfit}")
        return None
    return Base(view, view.applied, "the worker's state", view.close)


def _checkpoint(places: BasePlaces, remark: Remark, before: int | None) -> Base | None:
    if places.checkpoints is None:
        return None
    kept = places.input_log.bounds(places.identity.partition)[0]
    try:
        for checkpoint in places.checkpoints.whole(places.identity.partition, before):
            if checkpoint.applied + 1 < kept:  # as are all that are older
                ends = f"it goes up to offset {checkpoint.applied}, the log begins at {kept}"
                remark(f"{checkpoint.place} is not used: {ends}")
                return None
            base = _fetched(places, checkpoint, remark)
            if base is not None:
                return base
    except CheckpointError as error:
        remark(f"no checkpoint of {places.partition_name} is used: {error}")
    return None


def _fetched(places: BasePlaces, checkpoint: Checkpoint, remark: Remark) -> Base | None:
    """The checkpoint, fetched and opened; None, with a remark, where the one before may be better."""
    if places.checkpoints is None:
        return None
    folder = places.scratch / checkpoint.name
    try:
        places.checkpoints.fetch(checkpoint, folder)
        view = StateView(folder)
    except (CheckpointDamaged, StateError) as error:
        remark(f"a checkpoint is not used: {error}")
        shutil.rmtree(folder, ignore_errors=True)
        return None

    def close() -> None:
        view.close()
        shutil.rmtree(folder, ignore_errors=True)

    unfit = _unfit(places, view.identity, view.applied)
    if unfit is not None:
        close()
        remark(f"{checkpoint.place} is not used: it {unfit}")
        return None
    return Base(view, view.applied, f"the checkpoint {checkpoint.place}", close)


def _unfit(places: BasePlaces, identity: Identity | None, applied: int) -> str | None:
    """Why a state cannot be a base of this log; None where it can."""
    wanted = places.identity
    if identity is None:
        return "is no state that this version can read"
    if (identity.topic, identity.partition) != (wanted.topic, wanted.partition):
        return f"belongs to {identity.topic}[{identity.partition}]"
    if identity.log_id is None:
        return "does not say which log it was made from"
    if identity.log_id != wanted.log_id:
        return "was made from an earlier topic of that name, which was deleted and made again"
    kept, end = places.input_log.bounds(wanted.partition)
    if applied >= end:
        return f"goes up to offset {applied}, and the log ends at {end}"
    if applied + 1 < kept:
        return f"goes up to offset {applied}, and the log begins at {kept}"
    return None

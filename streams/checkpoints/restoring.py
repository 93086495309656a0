"""Opens a partition's state, from the newest checkpoint where this machine's own is missing or too far behind."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

from streams.checkpoints.checkpoints import Checkpoints
from streams.checkpoints.manifest import Checkpoint, CheckpointDamaged
from streams.checkpoints.scratch import Scratch
from streams.checkpoints.sealed import CheckpointError
from streams.log.protocols import InputLog, LogChanged
from streams.metrics import Metrics
from streams.state.rocks import RocksState
from streams.state.rocks_folder import RocksFolder
from streams.state.same_log import check_same_log
from streams.state.store import NOTHING_APPLIED, Identity, StateError

logger = logging.getLogger(__name__)

FAR_BEHIND = 10_000
"""Messages that a state may lack before a newer checkpoint is looked for; fewer are sooner read from the log."""


class Restorer:
    """Opens states. A local one that is newer than every checkpoint is never touched.

    A checkpoint that is damaged, or of another log than `input_log`, is reported and the one before is used; with none,
    the state is caught up from the log by whoever opened it, as far as the log reaches back.
    """

    def __init__(
        self,
        checkpoints: Checkpoints,
        folder: RocksFolder,
        scratch: Scratch,
        input_log: InputLog,
        metrics: Metrics,
    ) -> None:
        self._checkpoints = checkpoints
        self._folder = folder
        self._scratch = scratch
        self._input_log = input_log
        self._metrics = metrics

    def open(self, identity: Identity) -> RocksState:
        """The partition's state. Raises StateError, LogError."""
        first, end = self._input_log.bounds(identity.partition)
        if not has_state(self._folder.path(identity)):
            least = max(NOTHING_APPLIED + 1, first - 1)
            return self._newest(identity, least, end, None) or self._folder.open(identity)
        state = self._folder.open(identity)
        applied = state.applied
        if first > applied + 1:
            return self._newest(identity, max(applied + 1, first - 1), end, state) or state
        if end - applied > FAR_BEHIND:
            return self._newest(identity, applied + FAR_BEHIND, end, state) or state
        return state

    def _newest(self, identity: Identity, least: int, end: int, held: RocksState | None) -> RocksState | None:
        """The state of the newest usable checkpoint with `least` <= applied < `end`, in place of what is there.

        `held` is what is there, open; it is closed when, and only when, another takes its place.
        """
        try:
            for checkpoint in self._checkpoints.whole(identity.partition):
                if checkpoint.applied < least:
                    logger.info("%s reaches offset %d only: not used", checkpoint.place, checkpoint.applied)
                    return None
                if checkpoint.applied >= end:
                    logger.error("%s reaches beyond the log, which ends at %d: not used", checkpoint.place, end)
                    continue
                source = self._fetched(identity, checkpoint)
                if source is not None:
                    return self._moved(identity, source, held)
        except CheckpointError as error:
            self._metrics.restores.labels("failed").inc()
            logger.error("no checkpoint for %s[%d]: %s", identity.topic, identity.partition, error)  # noqa: TRY400
        return None

    def _fetched(self, identity: Identity, checkpoint: Checkpoint) -> Path | None:
        """The state in a folder beside, after it was compared and opened; None, and reported, where it is damaged."""
        folder = RocksFolder(self._scratch.new(f"restore-{identity.partition}"))
        path = folder.path(identity)
        logger.info("restoring %s[%d] from %s", identity.topic, identity.partition, checkpoint.place)
        try:
            self._checkpoints.fetch(checkpoint, path)
            self._check(folder, identity, checkpoint)
        except (CheckpointDamaged, StateError, LogChanged) as error:
            shutil.rmtree(path, ignore_errors=True)
            self._metrics.restores.labels("damaged").inc()
            logger.error("%s; the checkpoint before it is tried", error)  # noqa: TRY400 - the error says it all
            return None
        return path

    def _check(self, folder: RocksFolder, identity: Identity, checkpoint: Checkpoint) -> None:
        """Opens the state as a worker would. Raises StateError, CheckpointDamaged, LogChanged, LogUnavailable."""
        state = folder.open(identity)
        try:
            if state.applied != checkpoint.applied:
                raise CheckpointDamaged(f"{checkpoint.place}: the state in it reaches offset {state.applied}")
            check_same_log(
                self._input_log, checkpoint.place, identity.partition, state.applied, state.last_message, patience=0
            )
        finally:
            state.close()

    def _moved(self, identity: Identity, source: Path, held: RocksState | None) -> RocksState:
        """Puts the state in its place, whole, and what was there out of the way. Raises StateError."""
        place = self._folder.path(identity)
        aside = self._scratch.new("replaced")
        if held is not None:
            held.close()
        elif has_state(place):  # another process of this machine was quicker
            shutil.rmtree(source, ignore_errors=True)
            return self._folder.open(identity)
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            if place.exists():
                place.rename(aside)
            source.rename(place)
        except OSError as error:
            if aside.exists() and not place.exists():
                aside.rename(place)
            raise StateError(
                f"{place}: a checkpoint cannot be moved here: {error}; see to it and start again"
            ) from error
        shutil.rmtree(aside, ignore_errors=True)
        self._metrics.restores.labels("done").inc()
        return self._folder.open(identity)


def has_state(path: Path) -> bool:
    """Whether a folder holds a state: RocksDB's own first file."""
    return (path / "CURRENT").exists()

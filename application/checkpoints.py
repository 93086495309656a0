"""Checkpoints of a pipeline's states: making, listing and verifying them, and what of the log they need."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from application.errors import ErrorCode, Failed, Misconfigured
from application.pipeline import Pipeline
from application.scratch import scratch_folder
from streams.checkpoints.by_hand import make_checkpoint, state_path
from streams.checkpoints.checkpoints import Checkpoints
from streams.checkpoints.manifest import Checkpoint, CheckpointDamaged, Condition, ListedCheckpoint
from streams.checkpoints.object_store import DriverMissing, problem_of
from streams.log.protocols import InputLog
from streams.state.store import Identity

_LAST_OFFSETS = 10

Listed = Mapping[int, Sequence[ListedCheckpoint]]
"""By partition, its checkpoints with their condition, the newest first."""


class LogEnds(NamedTuple):
    """A partition of the log: its first offset kept, its end, and the time of its last record (ms)."""

    first: int
    end: int
    last_at: int | None


@dataclass(frozen=True, slots=True)
class CheckpointPlace:
    """The checkpoints of one pipeline's log at one place."""

    pipeline: Pipeline
    checkpoints: Checkpoints

    def listed(self, chosen: Iterable[int] = ()) -> dict[int, list[ListedCheckpoint]]:
        """Those of the chosen partitions, of all without any; only their seals are looked at.

        Raises Misconfigured, LogError, CheckpointError.
        """
        partitions = self._chosen(chosen) or range(self.pipeline.partitions)
        return {partition: list(self.checkpoints.listed(partition)) for partition in partitions}

    def verified(self, chosen: Iterable[int] = ()) -> dict[int, list[ListedCheckpoint]]:
        """As `listed`, every byte of each read and compared with its checksum."""
        return {
            partition: [self._read(checkpoint) for checkpoint in own] for partition, own in self.listed(chosen).items()
        }

    def log_ends(self, partitions: Iterable[int]) -> dict[int, LogEnds]:
        """Where the log of each partition begins and ends now. Raises LogError."""
        log = self.pipeline.input_log
        bounds = {partition: log.bounds(partition) for partition in partitions}
        return {
            number: LogEnds(first, end, _last_at(log, number, first, end)) for number, (first, end) in bounds.items()
        }

    def make(self, chosen: Sequence[int] = (), *, kept: int | None = None) -> list[Checkpoint]:
        """Copies the states of this machine, or of the chosen partitions, also while their worker runs.

        `kept`: how many of each partition remain; None: nothing is removed. Raises Failed where no state is here,
        Misconfigured, StateError, CheckpointError.
        """
        pipeline, root = self.pipeline, self.pipeline.places.states
        partitions = self._chosen(chosen) or range(pipeline.partitions)
        identities = [Identity(pipeline.names.requests, partition, self.checkpoints.log_id) for partition in partitions]
        here = [identity for identity in identities if chosen or state_path(root, identity) is not None]
        if not here:
            raise Failed(
                f"{root}: no partition's state is on this machine; run this where a worker runs", ErrorCode.NOT_FOUND
            )
        made = []
        with scratch_folder(pipeline.places.data) as scratch:
            for identity in here:
                with pipeline.notices.waiting(f"copying partition {identity.partition}"):
                    made.append(make_checkpoint(root, identity, pipeline.input_log, self.checkpoints, scratch))
                if kept is not None:
                    self.checkpoints.prune(identity.partition, kept)
        return made

    def _chosen(self, chosen: Iterable[int]) -> list[int]:
        partitions = sorted(set(chosen))
        if partitions and partitions[-1] >= self.pipeline.partitions:
            topic, last = self.pipeline.names.requests, self.pipeline.partitions - 1
            wrong = next(partition for partition in partitions if partition > last)
            raise Misconfigured(f"--partition {wrong}: {topic} has partitions 0 to {last}")
        return partitions

    def _read(self, checkpoint: ListedCheckpoint) -> ListedCheckpoint:
        """The condition of a checkpoint after every byte was read."""
        if checkpoint.condition is not Condition.WHOLE or checkpoint.checkpoint is None:
            return checkpoint
        with (
            self.pipeline.notices.waiting(f"reading {checkpoint.place}"),
            tempfile.TemporaryDirectory(prefix="creditmeter-verify-") as scratch,
        ):
            try:
                self.checkpoints.verify(checkpoint.checkpoint, Path(scratch))
            except CheckpointDamaged as error:
                detail = str(error).removeprefix(f"{checkpoint.place}/")
                return checkpoint._replace(condition=Condition.DAMAGED, detail=detail)
        return checkpoint


@contextmanager
def opened_checkpoints(pipeline: Pipeline, url: str | None = None) -> Iterator[CheckpointPlace]:
    """The checkpoints at `url`, else at the configured place. Raises Misconfigured where neither can be used."""
    place = url or pipeline.places.checkpoint_url
    if place is None:
        raise Misconfigured("No place for checkpoints is known: set checkpoint_url, or give one (see --help).")
    problem = problem_of(place)
    if problem is not None:
        raise Misconfigured(f"{place.partition('://')[0] if '@' in place else place}: {problem}")
    try:
        yield CheckpointPlace(pipeline, Checkpoints(place, pipeline.names.requests, pipeline.log_id))
    except DriverMissing as error:
        raise Misconfigured(str(error)) from error


def needed_from(checkpoints: Sequence[ListedCheckpoint]) -> int | None:
    """The first offset that the log must keep so that each of a partition's checkpoints can be caught up from."""
    whole = [checkpoint.applied for checkpoint in checkpoints if checkpoint.condition is Condition.WHOLE]
    return min(whole) + 1 if whole else None


def _last_at(log: InputLog, partition: int, first: int, end: int) -> int | None:
    """The time of the last record; some offsets at the end may hold none."""
    times = [message.timestamp for message in log.read(partition, max(first, end - _LAST_OFFSETS), end)]
    return times[-1] if times else None

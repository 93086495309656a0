"""A worker's automatic checkpoints, from a thread of its own beside the rating.

For a partition whose turn it is, in this order:

1. buffered writes go to table files, while rating goes on;
2. between two groups, a local copy by hard links (some milliseconds in which nothing is rated);
3. the copy's files are uploaded and sealed, while rating goes on;
4. checkpoints beyond those to be kept are removed.

Whatever fails is logged, counted, and tried again with a new copy; rating does not depend on it.
"""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from streams import clock
from streams.checkpoints.checkpoints import Checkpoints
from streams.checkpoints.manifest import Checkpoint
from streams.checkpoints.scratch import Scratch
from streams.metrics import Metrics
from streams.state.rocks import RocksState
from streams.state.store import StateStore

logger = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
FIRST_PAUSE, LONGEST_PAUSE = 10.0, 300.0
"""Seconds until a partition is tried again after a failure: doubled from the first to the longest."""


class RatedPartition(Protocol):
    """A partition that a worker rates, as far as its checkpoints are concerned."""

    recorded_at: int | None
    """The log's time (ms) of the last message written; None before the first."""

    @property
    def applied(self) -> int:
        """The last source offset applied on the overlay, committed or not; -1 for none."""
        ...

    @property
    def store(self) -> StateStore: ...


@dataclass(frozen=True, slots=True)
class CheckpointSettings:
    """Where checkpoints are kept, how often one is made (s, where anything was applied), how many of a partition."""

    url: str
    every: float = 900.0
    kept: int = 3


class Turns:
    """Lets a copy be made between two groups, before the next one begins; no state is closed while it is copied."""

    def __init__(self) -> None:
        self._gate = threading.Lock()  # else a busy rating thread would take its lock again before any other does
        self._group = threading.Lock()
        self.open = threading.Lock()  # held while states are closed, and while one is copied

    @contextmanager
    def rating(self) -> Iterator[None]:
        """Enclose the rating of a group."""
        with self._gate:
            pass
        with self._group:
            yield

    @contextmanager
    def between_groups(self) -> Iterator[None]:
        """Enclose the making of a copy."""
        with self._gate, self._group:
            yield


@dataclass(slots=True)
class _Schedule:
    """When a partition's next checkpoint is due (monotonic s), what is in the newest one, how often it failed."""

    due: float
    applied: int
    pause: float = FIRST_PAUSE


class Checkpointer:
    """Makes the checkpoints of this worker's partitions."""

    def __init__(
        self, checkpoints: Checkpoints, settings: CheckpointSettings, scratch: Scratch, metrics: Metrics, turns: Turns
    ) -> None:
        self._checkpoints = checkpoints
        self._settings = settings
        self._scratch = scratch
        self._metrics = metrics
        self._turns = turns
        self._schedules: dict[int, _Schedule] = {}
        self._stopped = threading.Event()

    def start(self, raters: Callable[[], Mapping[int, RatedPartition]]) -> None:
        """Looks from now on, in the background, at the partitions that `raters` returns."""

        def run() -> None:
            while not self._stopped.is_set():
                self.look(raters())
                self._stopped.wait(LOOK_SECONDS)

        threading.Thread(target=run, name="checkpoints", daemon=True).start()

    def stop(self) -> None:
        """Stops before the process ends: what is being uploaded is left without a seal, so that nobody uses it."""
        self._stopped.set()
        self._scratch.close()

    def look(self, raters: Mapping[int, RatedPartition]) -> None:
        """Makes every checkpoint that is due now, one after another."""
        for partition in [known for known in self._schedules if known not in raters]:
            del self._schedules[partition]  # it is another worker's now; should it come back, the store is asked again
        for partition, rater in dict(raters).items():
            try:
                schedule = self._schedules.get(partition) or self._scheduled(partition)
                if schedule.due <= clock.monotonic() and rater.store.applied > schedule.applied:
                    self._make(partition, rater, schedule)
            except Exception as error:  # noqa: BLE001 - whatever it is, rating goes on without it
                if self._stopped.is_set():
                    return
                self._failed(partition, error)

    def _scheduled(self, partition: int) -> _Schedule:
        """Due when the newest one is old enough, by whichever worker it was made; at once where there is none."""
        newest = self._checkpoints.newest(partition)
        left = 0.0
        if newest is not None:
            age = max(0.0, (clock.now_ms() - newest.made_at) / 1_000)
            left = max(0.0, self._settings.every - age)
        schedule = _Schedule(clock.monotonic() + left, -1 if newest is None else newest.applied)
        self._schedules[partition] = schedule
        return schedule

    def _make(self, partition: int, rater: RatedPartition, schedule: _Schedule) -> None:
        began = clock.monotonic()
        copy = self._scratch.new(f"upload-{partition}")
        try:
            place = self._copied(rater, copy)
            if place is None:
                return
            applied, recorded_at = place
            kept = self._checkpoints.save(partition, applied, recorded_at, copy)
            schedule.applied, schedule.due, schedule.pause = applied, began + self._settings.every, FIRST_PAUSE
            self._made(kept, clock.monotonic() - began)
        finally:
            shutil.rmtree(copy, ignore_errors=True)
        self._checkpoints.prune(partition, self._settings.kept)

    def _copied(self, rater: RatedPartition, copy: Path) -> tuple[int, int | None] | None:
        """The offset that is in the copy, and the log's time there; None where the partition was let go of."""
        state = rater.store
        with self._turns.open:
            if not isinstance(state, RocksState) or state.is_closed:
                return None
            state.flush()
            with self._turns.between_groups():
                began = clock.monotonic()
                place = state.applied, rater.recorded_at
                state.checkpoint(copy)
                self._metrics.checkpoint_pause.observe(clock.monotonic() - began)
        return place

    def _made(self, kept: Checkpoint, seconds: float) -> None:
        self._metrics.checkpoints.labels("kept").inc()
        self._metrics.checkpoint_offset.labels(str(kept.partition)).set(kept.applied)
        self._metrics.checkpoint_seconds.observe(seconds)
        logger.info("checkpoint of partition %d at offset %d: %s", kept.partition, kept.applied, kept.place)

    def _failed(self, partition: int, error: Exception) -> None:
        self._metrics.checkpoints.labels("failed").inc()
        schedule = self._schedules.setdefault(partition, _Schedule(0.0, -1))
        logger.warning(
            "no checkpoint of partition %d now: %s; rating goes on, and it is tried again in %.0f s",
            partition, error, schedule.pause,
        )  # fmt: skip
        schedule.due = clock.monotonic() + schedule.pause
        schedule.pause = min(2 * schedule.pause, LONGEST_PAUSE)

"""One account's present or past state: opened from the nearest base, and replayed from the log."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from application.errors import Misconfigured
from application.pipeline import Pipeline
from application.scratch import scratch_folder
from metering.places import KeptPlace, event_place
from metering.store import Store
from replay.account import AccountReplay, is_account_id
from replay.bases import BasePlaces, base_for, workers_state
from streams.log.partitioner import partition_of
from streams.state.rocks_folder import RocksFolder, RocksLimits
from streams.state.store import Identity

FindPlace = Callable[[Store, str, str], "KeptPlace | None"]
_MIB = 1 << 20


class OpenedReplay(NamedTuple):
    """A replay that stands at its base. `stop`: where the log ended when it was opened."""

    pipeline: Pipeline
    replay: AccountReplay
    stop: int

    def run(self) -> None:
        """Replay to `stop` and report the progress. Raises LogError, StateError."""
        with self.progress() as report:
            self.replay.run(self.stop, report)

    @contextmanager
    def progress(self) -> Iterator[Callable[[int], None]]:
        """Reports the replay's progress; the block calls it with the next offset."""
        begin = self.replay.applied + 1
        with self.pipeline.notices.progress("replaying the log", max(0, self.stop - begin)) as report:
            yield lambda offset: report(offset - begin)


@contextmanager
def opened_replay(pipeline: Pipeline, account_id: str, *, before: int | None = None) -> Iterator[OpenedReplay]:
    """The account over the nearest base with `applied` < `before` (None: the newest); nothing is applied yet.

    Remarks which states could not be the base. Raises Misconfigured, LogError, StateError, CheckpointError.
    """
    if not is_account_id(account_id):
        raise Misconfigured(f"{account_id!r} is no account's id: it has 1 to 128 characters")
    with scratch_folder(pipeline.places.data) as scratch, _store_in(scratch / "upper") as upper:
        identity = Identity(pipeline.names.requests, partition_of(account_id, pipeline.partitions), pipeline.log_id)
        places = BasePlaces(identity, pipeline.input_log, scratch, pipeline.places.states, pipeline.checkpoints())
        base = base_for(places, pipeline.notices.remark, before)
        try:
            stop = pipeline.input_log.bounds(identity.partition)[1]
            yield OpenedReplay(pipeline, AccountReplay(pipeline.replay_source, account_id, base, upper), stop)
        finally:
            base.close()


def kept_place(pipeline: Pipeline, account_id: str, own_id: str, find: FindPlace = event_place) -> KeptPlace | None:
    """Where an accepted command stands, by the worker's state on this machine; None where that does not say.

    `find` is `event_place` or `hold_place` of metering. Raises LogError, StateError.
    """
    if not is_account_id(account_id):
        return None
    identity = Identity(pipeline.names.requests, partition_of(account_id, pipeline.partitions), pipeline.log_id)
    places = BasePlaces(identity, pipeline.input_log, pipeline.places.data, pipeline.places.states)
    base = workers_state(places, lambda _why: None)
    if base is None:
        return None
    try:
        return find(base.store, account_id, own_id)
    finally:
        base.close()


@contextmanager
def scratch_store(data_dir: Path) -> Iterator[Store]:
    """An empty store on disk, removed afterwards: what a use case changes for itself, whatever its size.

    Raises Misconfigured where `data_dir` takes nothing.
    """
    with scratch_folder(data_dir) as scratch, _store_in(scratch) as store:
        yield store


@contextmanager
def _store_in(folder: Path) -> Iterator[Store]:
    store = RocksFolder(folder, RocksLimits(32 * _MIB, 32 * _MIB)).open(Identity("scratch", 0))
    try:
        yield store
    finally:
        store.close()

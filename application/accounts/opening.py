"""One account's present or past state for the commands that show it: opened from the nearest base, and replayed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from application.configuration.settings import Settings
from application.errors import Failed, Misconfigured
from application.pipeline import Cluster, opened
from application.scratch import scratch_folder
from cli.terminal.output import say
from cli.terminal.progress import counting_bar
from metering.store import Store
from replay.account import AccountReplay, ReplaySource, is_account_id
from replay.bases import BasePlaces, base_for
from schemas.price_book import read_book
from streams.checkpoints.checkpoints import Checkpoints
from streams.checkpoints.sealed import CheckpointError
from streams.log.partitioner import partition_of
from streams.log.topics import check_topics
from streams.state.rocks_folder import RocksFolder, RocksLimits
from streams.state.store import Identity, StateError

_MIB = 1 << 20


class OpenedReplay(NamedTuple):
    """A replay that stands at its base. `stop`: where the log ended when it was opened."""

    cluster: Cluster
    replay: AccountReplay
    stop: int


@contextmanager
def opened_replay(settings: Settings, account_id: str, *, before: int | None = None) -> Iterator[OpenedReplay]:
    """The account over the nearest base with `applied` < `before` (None: the newest); nothing is applied yet.

    Says on standard error what could not be the base. Raises Misconfigured, and Failed for what goes wrong with Kafka
    or the state, also within the block.
    """
    if not is_account_id(account_id):
        raise Misconfigured(f"{account_id!r} is no account's id: it has 1 to 128 characters")
    with opened(settings) as cluster, scratch_folder(settings) as scratch, _store_in(scratch / "upper") as upper:
        names = cluster.names
        log_id = check_topics(cluster.bootstrap, names, security=cluster.security)[names.requests]
        log = cluster.log(names.requests)
        source = ReplaySource(names, cluster.partitions, cluster.codec, read_book, log)
        identity = Identity(names.requests, partition_of(account_id, cluster.partitions), log_id)
        try:
            url = settings.checkpoint_url
            checkpoints = None if url is None else Checkpoints(url, names.requests, log_id)
            base = base_for(BasePlaces(identity, log, scratch, settings.state_path, checkpoints), say, before)
            stop = log.bounds(identity.partition)[1]
            try:
                yield OpenedReplay(cluster, AccountReplay(source, account_id, base, upper), stop)
            finally:
                base.close()
        except (StateError, CheckpointError) as error:
            raise Failed(str(error)) from error


@contextmanager
def scratch_store(settings: Settings) -> Iterator[Store]:
    """An empty store on disk, removed afterwards: what a command changes for itself, whatever its size."""
    with scratch_folder(settings) as scratch, _store_in(scratch) as store:
        yield store


@contextmanager
def _store_in(folder: Path) -> Iterator[Store]:

    store = RocksFolder(folder, RocksLimits(32 * _MIB, 32 * _MIB)).open(Identity("scratch", 0))
    try:
        yield store
    finally:
        store.close()


@contextmanager
def replay_bar(opened: OpenedReplay) -> Iterator[Callable[[int], None]]:
    """A bar on standard error, where that is a terminal, to be told the next offset."""
    begin = opened.replay.applied + 1
    with counting_bar("replaying the log", max(0, opened.stop - begin)) as bar:
        yield lambda offset: bar.told(offset - begin)

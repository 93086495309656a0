"""One account replayed is what the stream made of it: rows, outputs and their bytes, from any base."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from metering.records import MAX_ID, Output
from metering.state import State
from metering.store import ACCOUNT, BOOK_KEY, CLAIM, COMMAND_ID, EVENT, HOLD, Store, account_prefix
from replay.account import AccountReplay, Base, ReplaySource, beginning
from schemas.codec import Codec
from streams.log.memory import MemoryInputLog, MemoryOutputLog
from streams.log.partitioner import partition_of
from streams.log.protocols import LostPrefix
from streams.rating.deciding import apply_message
from streams.rating.outputs import Decided, answers_to, encoded, topics_by_kind
from streams.rating.partition import Wiring
from streams.state.read_only import StateView
from streams.state.rocks_folder import RocksFolder
from streams.state.store import Identity, MemoryState, StateStore
from tests.streams.simulation import NAMES, PARTITIONS, Cluster, read_book_once

ACCOUNTS = [f"account-{n}" for n in range(6)]
Bytes = list[tuple[str, int, bytes]]


@pytest.fixture(scope="module", params=[3, 7])
def cluster(request: pytest.FixtureRequest) -> Cluster:
    return Cluster(request.param, messages=250)


def source(cluster: Cluster) -> ReplaySource:
    log = MemoryInputLog(cluster.broker, NAMES.requests)
    return ReplaySource(NAMES, PARTITIONS, cluster.codec, read_book_once, log)


def end(cluster: Cluster, account_id: str) -> int:
    return cluster.broker.bounds(NAMES.requests, partition_of(account_id, PARTITIONS))[1]


def stream(cluster: Cluster, partition: int, store: StateStore, stop: int) -> Iterator[tuple[int, Output]]:
    """What the stream makes of a partition, unswept: (offset, output), and afterwards the rows in `store`."""
    log = MemoryInputLog(cluster.broker, NAMES.requests)
    nowhere = MemoryOutputLog(cluster.broker, cluster.codec.read_position)
    wiring = Wiring(NAMES, PARTITIONS, cluster.codec, read_book_once, log, nowhere)
    state = State(store, read_book_once)
    for message in log.read(partition, 0, stop):
        for output in apply_message(wiring, state, message).outputs:
            yield message.offset, output
    store.commit(state.changes(), stop - 1)


def of_account(outputs_by_offset: Iterator[tuple[int, Output]], account_id: str) -> list[tuple[int, Output]]:
    """The account's outputs, and repeats of price books, which concern every account."""
    return [
        item
        for item in outputs_by_offset
        if (item[1].record["account_id"] or item[1].record["command"]) in {account_id, "price_book"}
    ]


def rows(store: Store, account_id: str) -> dict[bytes, Any]:
    own = account_prefix(account_id)
    messages = {
        key: value for table in (ACCOUNT, EVENT, HOLD, CLAIM, COMMAND_ID) for key, value in store.scan(table + own)
    }
    return messages | {BOOK_KEY: store.get(BOOK_KEY)}


def replayed(replay: AccountReplay, stop: int) -> list[tuple[int, Output]]:
    outputs = [(step.message.offset, output) for step in replay.commands(stop) for output in replay.apply(step)]
    replay.flush()
    return outputs


def as_bytes(codec: Codec, partition: int, outputs: list[tuple[int, Output]]) -> Bytes:
    topics = topics_by_kind(NAMES)
    by_offset = {offset: [output for at, output in outputs if at == offset] for offset in dict(outputs)}
    return [
        message
        for offset, own in by_offset.items()
        for message in encoded(codec, topics, Decided(own, answers_to(own)), partition, offset)
    ]


@pytest.mark.parametrize("account_id", ACCOUNTS)
def test_from_the_beginning_it_is_what_the_stream_made(cluster: Cluster, account_id: str) -> None:
    partition, stop, store = partition_of(account_id, PARTITIONS), end(cluster, account_id), MemoryState()
    wanted = of_account(stream(cluster, partition, store, stop), account_id)
    replay = AccountReplay(source(cluster), account_id, beginning())
    outputs = replayed(replay, stop)
    assert outputs == wanted
    assert len(wanted) > 10
    assert as_bytes(cluster.codec, partition, outputs) == as_bytes(cluster.codec, partition, wanted)
    assert rows(replay.store, account_id) == rows(store, account_id)
    assert replay.applied == stop - 1


@pytest.mark.parametrize("account_id", ACCOUNTS[:3])
def test_from_the_workers_state_it_goes_on(cluster: Cluster, account_id: str, tmp_path: Path) -> None:
    """The worker's folder stands in the middle of the log, is open in its worker, and is not changed."""
    partition, stop = partition_of(account_id, PARTITIONS), end(cluster, account_id)
    middle, store = stop // 2, MemoryState()
    wanted = [
        command for command in of_account(stream(cluster, partition, store, stop), account_id) if command[0] >= middle
    ]
    with_worker = RocksFolder(tmp_path).open(Identity(NAMES.requests, partition, "id"))
    assert list(stream(cluster, partition, with_worker, middle))
    view = StateView(with_worker.path)
    assert (view.applied, view.identity) == (middle - 1, Identity(NAMES.requests, partition, "id"))
    before = rows(with_worker, account_id)
    replay = AccountReplay(source(cluster), account_id, Base(view, view.applied, "the worker's state", view.close))
    assert replayed(replay, stop) == wanted
    assert rows(replay.store, account_id) == rows(store, account_id)
    assert rows(with_worker, account_id) == before
    replay.base.close()
    with_worker.close()


def test_it_says_how_far_it_is_and_passes_over_offsets_without_a_record(cluster: Cluster) -> None:
    reported: list[int] = []
    stop = end(cluster, "account-0")
    AccountReplay(source(cluster), "account-0", beginning()).run(stop, reported.append)
    assert reported == sorted(reported)
    assert reported[-1] == stop


def test_an_account_that_nobody_knows_has_no_steps(cluster: Cluster) -> None:
    replay = AccountReplay(source(cluster), "nobody", beginning())
    assert {step.command for step in replay.commands(end(cluster, "nobody"))} == {"price_book"}


@pytest.mark.parametrize("account_id", ["", "a" * (MAX_ID + 1)])
def test_an_id_that_no_account_has_is_refused(cluster: Cluster, account_id: str) -> None:
    with pytest.raises(ValueError, match="1 to 128 characters"):
        AccountReplay(source(cluster), account_id, beginning())


def test_a_lost_beginning_is_an_error() -> None:
    cluster = Cluster(7, messages=60)
    partition = partition_of("account-0", PARTITIONS)
    cluster.broker.expire(NAMES.requests, partition, 3)
    replay = AccountReplay(source(cluster), "account-0", beginning())
    with pytest.raises(
        LostPrefix, match=r"sim\.requests\[\d\]: the log begins at 3, and the log's beginning ends at -1"
    ):
        replay.run(end(cluster, "account-0"))

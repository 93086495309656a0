"""The newest lines of an account are the last of its billed partition, doubles left out."""

import pytest

from replay.recent_lines import newest_lines
from schemas.codec import Codec
from streams.log.memory import MemoryBroker, MemoryInputLog
from streams.log.partitioner import partition_of
from tests.streams.simulation import NAMES, PARTITIONS, Cluster

ACCOUNT = "account-1"
PARTITION = partition_of(ACCOUNT, PARTITIONS)


@pytest.fixture(scope="module")
def cluster() -> Cluster:
    made = Cluster(5, messages=300)
    made.run_undisturbed()
    return made


def every_line(cluster: Cluster, up_to: int) -> list[object]:
    return [
        event
        for message in cluster.broker.records(NAMES.billed, PARTITION)
        for batch in [cluster.codec.decode(message.value)[1]]
        if batch["source_offset"] <= up_to
        for event in batch["events"]
        if event["account_id"] == ACCOUNT
    ]


@pytest.mark.parametrize("count", [0, 1, 3, 10_000])
@pytest.mark.parametrize("up_to", [0, 40, 10**9])
def test_the_last_ones_up_to_an_offset(cluster: Cluster, count: int, up_to: int) -> None:
    log = MemoryInputLog(cluster.broker, NAMES.billed)
    wanted = every_line(cluster, up_to)
    tail = newest_lines(log, cluster.codec, PARTITION, ACCOUNT, count, up_to)
    assert tail.lines == (wanted[-count:] if count else [])
    assert tail.is_whole


def copies(broker: MemoryBroker, value: bytes, others: bytes, before: int, after: int) -> None:
    for number in range(before + 1 + after):
        broker.append("billed", 0, value if number == before else others)


def test_it_goes_back_in_steps_and_gives_up_in_the_end(cluster: Cluster) -> None:
    """The account's one message stands far before the end, behind it are others' (all the same: it does not matter)."""
    codec, broker = Codec(), MemoryBroker()
    line = every_line(cluster, 10**9)[0]
    own = codec.encode_parts("BilledBatch", 0, 7, [line])[0]  # type: ignore[list-item]
    others = codec.encode_parts("BilledBatch", 0, 8, [line | {"account_id": "somebody"}])[0]  # type: ignore[operator]
    copies(broker, own, others, 5, 3_000)
    log = MemoryInputLog(broker, "billed")
    assert newest_lines(log, codec, 0, ACCOUNT, 1, 100).lines == [line]
    assert newest_lines(log, codec, 0, ACCOUNT, 2, 100) == ([line], True)
    assert newest_lines(log, codec, 0, ACCOUNT, 1, 100, looked_at=3_000) == ([], False)


def test_a_double_counts_once(cluster: Cluster) -> None:
    broker = MemoryBroker()
    for message in [m for m in cluster.broker.records(NAMES.billed, PARTITION) for _ in range(2)]:
        broker.append(NAMES.billed, PARTITION, message.value)
    log = MemoryInputLog(broker, NAMES.billed)
    wanted = every_line(cluster, 10**9)
    assert newest_lines(log, cluster.codec, PARTITION, ACCOUNT, 10_000, 10**9).lines == wanted


def test_what_no_worker_wrote_is_passed_over(cluster: Cluster) -> None:
    broker, codec, name = MemoryBroker(), cluster.codec, ACCOUNT.encode()
    line = every_line(cluster, 10**9)[0]
    grant = {
        "grant_id": "g", "account_id": ACCOUNT, "credit_type": "credit", "status": "applied", "credits": 1,
        "expires_at": None, "balance_after": 1, "reason": "", "changed_at": 0,
    }  # fmt: skip
    for value in (
        b"stray " + name,
        codec.encode_parts("BilledBatch", 0, 7, [line])[0],  # type: ignore[list-item]
        codec.encode_parts("GrantBatch", 0, 8, [grant])[0],
        name,
        codec.encode_parts("BilledBatch", 0, 9, [line])[0][:-40] + name,  # type: ignore[list-item]
    ):
        broker.append("billed", 0, value)
    assert newest_lines(MemoryInputLog(broker, "billed"), codec, 0, ACCOUNT, 10, 100).lines == [line]

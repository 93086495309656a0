"""Forged records in every output topic, and copies put back of state and store at once, on logs and disks in memory.

The crash simulation meets these at random; here each is made on purpose, with contents that would change a bill.
"""

from __future__ import annotations

from functools import cache, partial
from typing import Any

import pytest

from replay.audit.findings import Finding
from replay.audit.partition import Against
from schemas.batches import read_position
from streams.log.seals import SEAL_HEADER, Sealer
from streams.rating.outputs import BATCH_NAME, topics_by_kind
from tests.replay.audit.audited import Audited
from tests.streams.simulation import CODEC, NAMES, PARTITIONS, SEALS, Cluster, Machine

pytestmark = pytest.mark.slow

SEED, MESSAGES = 17, 150
"""Traffic with several records in every output topic."""
EVERY = list(range(PARTITIONS))
CHANGES: dict[str, dict[str, Any]] = {
    NAMES.billed: {"credits": 1_000_000, "balance_after": -1_000_000},
    NAMES.refunds: {"credits": 1_000_000, "balance_after": 1_000_000},
    NAMES.grants: {"credits": 1_000_000, "balance_after": 1_000_000},
    NAMES.holds: {"status": "released"},
    NAMES.alerts: {"balance": -1},
    NAMES.accounts: {"on_empty": "reject"},
    NAMES.dead_letters: {"reason": "undecodable"},
}
SEALED_WITH = {
    "no seal": None,
    "a seal of zeros": bytes(16),
    "the seal of another key": "another key",
    "the seal of another partition": "another partition",
}


@cache
def undisturbed() -> Cluster:
    cluster = Cluster(SEED, MESSAGES)
    cluster.run_undisturbed()
    return cluster


def rate(cluster: Cluster, messages: int) -> None:
    """So many further messages come, and a worker that has just started rates them."""
    machine = cluster.machines[0]
    machine.stop()
    cluster.produce(messages)
    while cluster._behind():
        cluster._commit(machine.step(EVERY, 1_000))


def forged(topic: str, offset: int) -> tuple[int, bytes]:
    """A partition, and a record with a false content as a worker would have made it there for the input at `offset`."""
    name = {name_of_topic: BATCH_NAME[kind] for kind, name_of_topic in topics_by_kind(NAMES).items()}[topic]
    for partition in EVERY:
        for message in undisturbed().broker.records(topic, partition):
            batch = CODEC.decode(message.value)[1]
            field = next(key for key, value in batch.items() if isinstance(value, list))
            if batch[field]:
                batch[field][0].update(CHANGES[topic])
                head = {"source_offset": offset, "part": 0, "parts": 1}
                return partition, CODEC.encode(name, batch | head)
    raise AssertionError(f"no record with items in {topic}")


def forge(cluster: Cluster, topic: str, offset: int, sealed_with: str | bytes | None) -> None:
    partition, value = forged(topic, offset)
    seal: bytes | None = sealed_with if isinstance(sealed_with, bytes) else None
    if sealed_with == "another key":
        seal = Sealer(b"another pipeline").seal(topic, partition, value)
    if sealed_with == "another partition":
        seal = SEALS.seal(topic, (partition + 1) % PARTITIONS, value)
    cluster.broker.append(topic, partition, value, headers={} if seal is None else {SEAL_HEADER: seal})


def check(cluster: Cluster, strays: int) -> None:
    assert cluster.view() == undisturbed().view()
    assert cluster.load_all().rows == undisturbed().load_all().rows
    audited = Audited(cluster).run(partial(with_state, cluster.machines[0]))
    assert [difference.finding for difference in audited.differences] == [Finding.UNEXPECTED] * strays
    assert all(difference.detail.startswith("a stray record, with ") for difference in audited.differences)


def with_state(machine: Machine, partition: int) -> Against:
    return Against(state=machine.disk[partition].reopen())


@pytest.mark.parametrize("topic", NAMES.outputs)
@pytest.mark.parametrize("sealed_with", SEALED_WITH.values(), ids=SEALED_WITH.keys())
def test_forged_records_change_nothing_wherever_they_stand(topic: str, sealed_with: str | bytes | None) -> None:
    """First in its partition, behind what is there while no worker runs, and last; for past and coming input."""
    cluster = Cluster(SEED, MESSAGES)
    partition, _ = forged(topic, 0)
    forge(cluster, topic, 2**60, sealed_with)
    forge(cluster, topic, 0, sealed_with)
    rate(cluster, 30)
    ours = [m for m in cluster.broker.records(topic, partition) if SEALS.is_ours(topic, m)]
    known = read_position(ours[-1].value)[0] if ours else 0
    forge(cluster, topic, known + 1, sealed_with)
    rate(cluster, 30)
    forge(cluster, topic, known, sealed_with)  # of a message that was decided long ago
    forge(cluster, topic, cluster.broker.bounds(NAMES.requests, partition)[1] + 3, sealed_with)  # of one that comes
    rate(cluster, MESSAGES)
    forge(cluster, topic, 10**6, sealed_with)
    check(cluster, strays=6)


@pytest.mark.parametrize("loaded_first", [False, True], ids=["states first", "store first"])
def test_state_and_store_both_put_back_to_copies_of_other_times(*, loaded_first: bool) -> None:
    """Each goes on from its own position; Kafka and the groups' offsets are as they were."""
    cluster = Cluster(SEED, MESSAGES)
    machine = cluster.machines[0]
    rate(cluster, 0)
    if loaded_first:
        backup = cluster.load_all().copy()
    rate(cluster, 30)
    states = {number: state.copy() for number, state in machine.disk.items()}
    if not loaded_first:
        backup = cluster.load_all().copy()
    rate(cluster, 30)
    applied = {number: state.applied for number, state in machine.disk.items()}
    newer = cluster.load_all().rows
    assert newer != backup.rows
    machine.stop()
    machine.disk, cluster.store = {number: state.copy() for number, state in states.items()}, backup
    assert any(state.applied < applied[number] for number, state in machine.disk.items())
    rate(cluster, MESSAGES)
    check(cluster, strays=0)


@pytest.mark.parametrize("sealed_with", SEALED_WITH.values(), ids=SEALED_WITH.keys())
def test_a_checkpoint_put_back_beside_strays_that_claim_what_comes(sealed_with: str | bytes | None) -> None:
    """The outputs since the checkpoint are in the topics, and behind them strays that claim more."""
    cluster = Cluster(SEED, MESSAGES)
    machine = cluster.machines[0]
    rate(cluster, 0)
    checkpoint = {number: state.copy() for number, state in machine.disk.items()}
    rate(cluster, 40)
    machine.stop()
    assert any(state.applied > checkpoint[number].applied for number, state in machine.disk.items())
    machine.disk = checkpoint
    for topic in NAMES.outputs:
        partition, _ = forged(topic, 0)
        forge(cluster, topic, cluster.broker.bounds(NAMES.requests, partition)[1] + 5, sealed_with)
    rate(cluster, MESSAGES)
    check(cluster, strays=len(NAMES.outputs))


def test_an_emptied_store_and_a_lost_state_are_made_again() -> None:
    cluster = Cluster(SEED, MESSAGES)
    rate(cluster, 40)
    cluster.load_all()
    cluster.machines[0].stop()
    cluster.machines[0].disk = {}
    cluster.store = type(cluster.store)(cluster.store.strike)
    rate(cluster, MESSAGES)
    check(cluster, strays=0)

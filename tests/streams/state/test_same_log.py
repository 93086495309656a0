"""A log that is not the one the state was made from: a restored copy of Kafka is refused, and nothing else is."""

from __future__ import annotations

from hashlib import blake2b

import pytest

from streams.log.memory import MemoryBroker, MemoryInputLog
from streams.log.protocols import LogChanged, Message
from streams.state.same_log import check_same_log, digest_of, last_message_of
from streams.state.store import LastMessage
from tests.streams.simulation import NAMES, PARTITIONS, Cluster, Machine

TOPIC = "credits.requests"


def log_of(*values: bytes, at: int = 1_000) -> tuple[MemoryBroker, MemoryInputLog]:
    broker = MemoryBroker()
    for number, value in enumerate(values):
        broker.append(TOPIC, 0, value, at + number)
    return broker, MemoryInputLog(broker, TOPIC)


def check(log: MemoryInputLog, applied: int, last: LastMessage | None) -> None:
    check_same_log(log, f"{TOPIC}[0]", 0, applied, last, patience=0)


def mark(log: MemoryInputLog, offset: int) -> LastMessage:
    return last_message_of(next(iter(log.read(0, offset, offset + 1))))


def test_the_same_log_is_taken_at_any_offset() -> None:
    _, log = log_of(b"a", b"b", b"c")
    check(log, -1, None)
    for offset in range(3):
        check(log, offset, mark(log, offset))


def test_a_log_that_ends_before_the_state_is_refused() -> None:
    _, longer = log_of(b"a", b"b", b"c")
    _, shorter = log_of(b"a", b"b")
    with pytest.raises(
        LogChanged, match=r"credits\.requests\[0\]: the state has applied offsets up to 2, but the log ends at 2"
    ):
        check(shorter, 2, mark(longer, 2))
    with pytest.raises(LogChanged, match="restored"):  # a state of an older version knows its offset
        check(shorter, 2, None)


@pytest.mark.parametrize(
    "other", [log_of(b"a", b"b", b"C", b"d"), log_of(b"a", b"b", b"c", b"d", at=1_001)], ids=["value", "time"]
)
def test_a_log_that_went_on_otherwise_is_refused(other: tuple[MemoryBroker, MemoryInputLog]) -> None:
    _, log = log_of(b"a", b"b", b"c")
    with pytest.raises(LogChanged, match=r"credits\.requests\[0\]@2: the log has another record there"):
        check(other[1], 2, mark(log, 2))


def test_offsets_without_a_record_and_a_record_that_retention_took() -> None:
    broker, log = log_of(b"a", b"b")
    broker.skip(TOPIC, 0, 2)
    broker.append(TOPIC, 0, b"c")
    last = mark(log, 1)
    check(log, 3, last)  # a catch-up ended on a transaction's marker
    with pytest.raises(LogChanged, match="@3: the log has no record there"):
        check(log, 4, LastMessage(3, last.digest))
    broker.expire(TOPIC, 0, 4)
    check(log, 3, last)


def test_the_digest_is_of_time_and_value() -> None:
    message = Message(0, 5, 1_700_000_000_000, b"value", None)
    assert len(digest_of(message)) == 16
    assert digest_of(message) == digest_of(message._replace(offset=6, partition=2, producer="x"))
    assert digest_of(message) != digest_of(message._replace(timestamp=1_700_000_000_001))
    assert digest_of(message) != digest_of(message._replace(value=b"Value"))


def test_a_state_that_was_written_before_has_the_digest_of_its_time() -> None:
    _, log = log_of(b"a", b"b")
    digest = blake2b((1_001).to_bytes(8, "big") + b"b", digest_size=16).digest()
    check(log, 1, LastMessage(1, digest))
    with pytest.raises(LogChanged, match="@0: the log has another record there"):
        check(log, 1, LastMessage(0, digest))


@pytest.mark.parametrize("seed", range(1, 31))
def test_a_broker_restored_to_an_earlier_copy(seed: int) -> None:
    """Every state that is ahead of the copy refuses it, at once or after others were sent; one that is not goes on."""
    cluster = Cluster(seed, messages=80)
    machine = cluster.machines[0]
    run(cluster)
    copy, committed = cluster.broker.copy(), dict(cluster.committed)
    before = {partition: state.copy() for partition, state in machine.disk.items()}
    cluster.produce(30)
    run(cluster)
    ahead = {p for p in range(PARTITIONS) if machine.disk[p].applied > before[p].applied}
    assert ahead

    cluster.broker, cluster.committed = copy, committed
    if seed % 2:
        cluster.produce(len(cluster.coming))  # others in the place of those that are gone
    machine.stop()
    for partition in range(PARTITIONS):
        machine.start()
        assert machine.loop is not None
        if partition in ahead:
            with pytest.raises(LogChanged, match=rf"sim\.requests\[{partition}\].*restored"):
                machine.loop.assign([partition])
            waiting = cluster.broker.bounds(NAMES.requests, partition)[1] > committed.get(partition, 0)
            if waiting:
                with pytest.raises(LogChanged):
                    machine.step([partition], 5)
                assert not machine.loop.raters
        else:
            machine.loop.assign([partition])
        machine.stop()

    machine.disk = before  # a checkpoint that is no newer than the copy, for instance
    cluster.produce(len(cluster.coming))
    run(cluster)
    again = Cluster(seed)
    again.broker = MemoryBroker()
    for partition in range(PARTITIONS):
        for message in cluster.broker.records(NAMES.requests, partition):
            again.broker.skip(
                NAMES.requests, partition, message.offset - again.broker.bounds(NAMES.requests, partition)[1]
            )
            again.broker.append(NAMES.requests, partition, message.value, message.timestamp)
    again.coming.clear()
    assert cluster.view() == again.run_undisturbed(), "the bill of the log as it is now"


def run(cluster: Cluster) -> None:
    """One machine takes all that is there through, and it is committed."""
    machine: Machine = cluster.machines[0]
    while cluster._behind():
        cluster._commit(machine.step(list(range(PARTITIONS)), 7))

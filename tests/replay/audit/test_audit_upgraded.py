"""A pipeline that the version before began: its records and its state are read, and only what was altered differs."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest

from metering.store import ACCOUNT, COMMAND_ID, EVENT
from replay.audit.findings import Finding
from replay.audit.partition import Against
from schemas.batches import read_position
from schemas.catalog import current, fingerprint_of, released, short_name
from schemas.resolution import adapter
from schemas.wire import single_object_header
from schemas.writing import compile_writer
from streams.state.store import MemoryState
from tests.replay.audit.audited import Audited
from tests.streams.simulation import NAMES, PARTITIONS, Cluster
from tests.streams.traffic import Traffic

pytestmark = pytest.mark.slow

SEED = 5


def first_version(name: str) -> dict[str, Any]:
    return next(schema for schema in released() if short_name(schema) == name)


def as_before(cluster: Cluster, value: bytes) -> bytes:
    """The record as the version before wrote it."""
    name, record = cluster.codec.decode(value)
    schema = first_version(name)
    back = adapter(current(name), schema)
    return single_object_header(fingerprint_of(schema)) + compile_writer(schema)(
        record if back is None else back(record)
    )


def put_back(cluster: Cluster, topic: str, partition: int, values: list[bytes]) -> None:
    cluster.broker._kept.pop((topic, partition), None)
    cluster.broker._next.pop((topic, partition), None)
    for value in values:
        cluster.append(topic, partition, value)


def upgraded(until: int) -> Cluster:
    """All before the input offset ``until`` was decided by the version before: no answers, no changes of settings."""
    cluster = Cluster(SEED, messages=150)
    cluster.run_undisturbed()
    for partition in range(PARTITIONS):
        for topic in (NAMES.billed, NAMES.refunds, NAMES.accounts):
            values = []
            for message in cluster.broker.records(topic, partition):
                if read_position(message.value)[0] >= until:
                    values.append(message.value)
                elif topic != NAMES.accounts and (
                    topic != NAMES.billed or cluster.codec.decode(message.value)[1]["events"]
                ):
                    values.append(as_before(cluster, message.value))
            put_back(cluster, topic, partition, values)
    return cluster


@pytest.mark.parametrize("until", [20, 40, 10**9])
def test_outputs_of_the_version_before_are_no_differences(until: int) -> None:
    cluster = upgraded(until)
    older = [
        cluster.codec.is_older(message.value)
        for partition in range(PARTITIONS)
        for message in cluster.broker.records(NAMES.billed, partition)
    ]
    assert any(older)
    assert all(older) == (until == 10**9)
    assert Audited(cluster).run().differences == []


def altered(cluster: Cluster, older: bool, change: Any) -> list[Finding]:
    """What an audit finds where one record of one of the versions is altered."""
    for partition in range(PARTITIONS):
        values = [message.value for message in cluster.broker.records(NAMES.billed, partition)]
        wanted = [
            at for at, value in enumerate(values)
            if cluster.codec.is_older(value) == older and cluster.codec.decode(value)[1]["events"]
        ]  # fmt: skip
        if wanted:
            at = wanted[len(wanted) // 2]
            put_back(cluster, NAMES.billed, partition, values[:at] + change(values[at]) + values[at + 1 :])
            return Audited(cluster).run().found
    raise AssertionError("there is no such record")


@pytest.mark.parametrize("older", [True, False])
def test_lines_missing_or_altered_are_found_in_either_version(older: bool) -> None:
    cluster = upgraded(25)

    def dearer(value: bytes) -> list[bytes]:
        name, record = cluster.codec.decode(value)
        record["events"][0]["credits"] += 1
        made = cluster.codec.encode(name, record)
        return [as_before(cluster, made) if older else made]

    assert Finding.MISSING in altered(upgraded(25), older, lambda _value: [])
    assert altered(cluster, older, dearer) == [Finding.DIFFERENT]


def test_an_answer_without_lines_is_missed_once_there_are_answers() -> None:
    cluster = upgraded(25)
    rewritten = 0
    for partition in range(PARTITIONS):
        values = [message.value for message in cluster.broker.records(NAMES.billed, partition)]
        current_ones = [at for at, value in enumerate(values) if not cluster.codec.is_older(value)]
        lone = [at for at in current_ones[1:-1] if not cluster.codec.decode(values[at])[1]["events"]]
        if lone:
            put_back(cluster, NAMES.billed, partition, values[: lone[0]] + values[lone[0] + 1 :])
            rewritten += 1
    assert rewritten
    assert Audited(cluster).run().found == [Finding.MISSING] * rewritten


def in_the_first_format(state: MemoryState) -> MemoryState:
    """The rows as the version before wrote them; it knew no holds."""
    changes: dict[bytes, Any] = {}
    for key, row in state.scan(b""):
        if key[:1] == ACCOUNT:
            changes[key] = row[:8]
        elif key[:1] == EVENT:
            changes[key] = row[:2] if row[1] else row[:1]
        elif key[:1] == COMMAND_ID:
            changes[key] = 1
    state.write(changes)
    return state


def test_a_state_of_the_first_format_is_no_difference() -> None:
    cluster = without_holds()
    states = {partition: in_the_first_format(state) for partition, state in cluster.machines[0].disk.items()}
    audited = Audited(cluster).run(lambda partition: Against(state=states[partition].reopen()))
    assert audited.differences == []


def test_an_altered_state_of_the_first_format_is_one() -> None:
    cluster = without_holds()
    state = in_the_first_format(cluster.machines[0].disk[0])
    key, row = next(entry for entry in state.scan(EVENT) if len(entry[1]) > 1)
    row[1][0][3] += 1
    state.write({key: row})
    findings = Audited(cluster).run(lambda partition: Against(state=state.reopen() if partition == 0 else None)).found
    assert findings == [Finding.DIFFERENT]


def without_holds() -> Cluster:
    cluster = Cluster(SEED, messages=0)
    header = single_object_header(fingerprint_of(current("Hold")))
    messages = Traffic(SEED, PARTITIONS, cluster.codec).messages(150)
    cluster.coming = deque(message for message in messages if not message[2].startswith(header))
    cluster.run_undisturbed()
    return cluster

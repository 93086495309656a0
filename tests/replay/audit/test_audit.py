"""The audit on in-memory logs: clean after any accidents, and not clean when anything was altered."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from metering.store import ACCOUNT, EVENT
from replay.audit.findings import Finding, Totals
from replay.audit.partition import Against
from schemas.batches import read_position
from streams.log.protocols import LostPrefix
from tests.replay.audit.audited import BILLED, Audited, Everything, altered, billed, billed_with_lines, items, replace
from tests.streams.simulation import NAMES, PARTITIONS, Cluster

pytestmark = pytest.mark.slow


@pytest.fixture
def cluster() -> Cluster:
    made = Cluster(7, messages=120)
    made.run_undisturbed()
    return made


@pytest.mark.parametrize("seed", range(1, 21))
def test_clean_after_any_accidents(seed: int) -> None:
    cluster = Cluster(seed)
    cluster.run_with_accidents()
    states = {p: state for m in cluster.machines for p, state in m.disk.items()}
    audited = Audited(cluster).run(lambda p: Against(state=states[p].reopen() if p in states else None))
    assert not audited.differences, (seed, audited.differences[:3], cluster.accidents)


def test_counts_what_it_replays(cluster: Cluster) -> None:
    audited = Audited(cluster).run()
    lines = items(cluster, BILLED, "events")
    assert not audited.differences
    assert not audited.gaps
    totals = audited.totals
    assert totals.messages == sum(len(cluster.broker.records(NAMES.requests, p)) for p in range(PARTITIONS))
    assert totals.lines == len(lines) > 0
    assert sum(totals.charged.values()) == sum(line["credits"] for line in lines) > 0
    assert totals.records == sum(
        len(cluster.broker.records(topic, p)) for topic in NAMES.outputs for p in range(PARTITIONS)
    )
    assert Totals.from_json(totals.as_json()) == totals


def test_one_altered_byte_is_found_with_its_place_and_field(cluster: Cluster) -> None:
    at, value, wanted = next(
        (number, value, batch)
        for number, value in enumerate(billed(cluster))
        if number > 2 and (batch := cluster.codec.decode(value)[1])["events"]
    )
    line = wanted["events"][0]
    replace(cluster, BILLED, 0, at, [altered(cluster, value, credits=line["credits"] + 1)])
    (difference,) = Audited(cluster).run().differences
    assert (difference.finding, difference.place) == (Finding.DIFFERENT, f"{BILLED}[0]@{at}")
    assert difference.source == f"0@{wanted['source_offset']}/0"
    assert f"event_id={line['event_id']}" in difference.detail
    assert f"credits is {line['credits'] + 1}, should be {line['credits']}" in difference.detail


@pytest.mark.parametrize("at", [0, 5, -1])
def test_any_single_flipped_bit_of_a_record_is_found(cluster: Cluster, at: int) -> None:
    value = bytearray(billed(cluster)[2])
    value[at] ^= 1
    replace(cluster, BILLED, 0, 2, [bytes(value)])
    assert Audited(cluster).run().differences


def test_a_missing_record_is_found(cluster: Cluster) -> None:
    source_offset, part = read_position(billed(cluster)[2])
    replace(cluster, BILLED, 0, 2, [])
    (difference,) = Audited(cluster).run().differences
    assert (difference.finding, difference.place) == (Finding.MISSING, f"{BILLED}[0]")
    assert difference.source == f"0@{source_offset}/{part}"


def test_the_missing_end_of_a_topic_is_found(cluster: Cluster) -> None:
    replace(cluster, BILLED, 0, len(billed(cluster)) - 1, [])
    assert Audited(cluster).run().found == [Finding.MISSING]


def test_a_double_with_the_same_bytes_is_fine(cluster: Cluster) -> None:
    for value in billed(cluster)[:4]:
        cluster.append(BILLED, 0, value)
    audited = Audited(cluster).run()
    assert not audited.differences
    assert audited.totals.doubles == 4


def test_a_double_with_other_bytes_is_found(cluster: Cluster) -> None:
    offset = cluster.append(BILLED, 0, altered(cluster, billed_with_lines(cluster)[1], credits=77))
    (difference,) = Audited(cluster).run().differences
    assert (difference.finding, difference.place) == (Finding.DIFFERENT, f"{BILLED}[0]@{offset}")


def test_records_that_no_worker_wrote_are_found(cluster: Cluster) -> None:
    codec = cluster.codec
    name, batch = codec.decode(billed(cluster)[0])
    offset = cluster.append(BILLED, 0, b"by hand")
    cluster.append(BILLED, 0, codec.encode(name, batch | {"source_offset": 10**9}))
    cluster.append(BILLED, 0, codec.encode(name, batch | {"source_partition": 1}))
    cluster.append(BILLED, 0, codec.encode(name, batch | {"part": 9}))
    audited = Audited(cluster).run()
    assert audited.found == [Finding.UNEXPECTED] * 4
    assert [difference.place for difference in audited.differences] == [f"{BILLED}[0]@{offset + n}" for n in range(4)]


def test_an_unexpected_record_hides_those_behind_it(cluster: Cluster) -> None:
    """A reader that took a record too early skips what comes after it: that is what is said."""
    values = billed(cluster)
    replace(cluster, BILLED, 0, 1, [values[3], values[1]])
    findings = Audited(cluster).run().found
    assert findings.count(Finding.MISSING) == 2


def test_what_the_worker_has_not_passed_is_not_judged_and_said(cluster: Cluster) -> None:
    class Behind(Everything):
        def rated(self, topic: str, partitions: int) -> dict[int, int]:
            return super().rated(topic, partitions) | {0: 3}

    stop = next(n for n, value in enumerate(billed(cluster)) if read_position(value)[0] >= 3)
    whole = billed(cluster)
    replace(cluster, BILLED, 0, len(whole) - 1, [])
    audited = Audited(cluster).run(positions=Behind(cluster))
    assert not audited.differences
    assert any(gap.startswith(f"{NAMES.requests}[0] from 3 to") for gap in audited.gaps)
    assert stop < len(whole) - 1


def test_rows_that_are_not_loaded_yet_are_not_judged_and_said(cluster: Cluster) -> None:
    class Behind(Everything):
        def loaded(self, topics: Sequence[str], partitions: int) -> dict[tuple[str, int], int]:
            return super().loaded(topics, partitions) | {(BILLED, 0): 3, (BILLED, 1): whole[1]}

    whole = {p: len(billed(cluster, p)) for p in (0, 1)}
    cluster.append(BILLED, 0, b"by hand")
    for value in (b"by hand", *billed(cluster, 1)[:2]):  # nothing that a row comes of
        cluster.append(BILLED, 1, value)
    scopes = Audited(cluster).scopes(Behind(cluster), with_rows=True)
    horizon = read_position(billed(cluster)[3])[0]
    assert scopes[0].horizons[BILLED] == horizon < scopes[0].stop
    assert scopes[0].gaps == (f"rows of {BILLED}[0] from input {horizon} on: not loaded yet",)
    assert scopes[1].horizons[BILLED] == scopes[1].stop


def test_offsets_without_a_record_count_as_passed(cluster: Cluster) -> None:
    cluster.broker.skip(NAMES.requests, 0, 3)

    class Behind(Everything):
        def rated(self, topic: str, partitions: int) -> dict[int, int]:
            return {p: end - 3 * (p == 0) for p, end in super().rated(topic, partitions).items()}

    audited = Audited(cluster).run(positions=Behind(cluster))
    assert not audited.gaps
    assert not audited.differences


def test_outputs_deleted_by_retention_are_a_gap(cluster: Cluster) -> None:
    cluster.broker.expire(BILLED, 0, 3)
    audited = Audited(cluster).run()
    assert not audited.differences
    assert audited.gaps == [f"{BILLED}[0] before 3: deleted by retention"]


def test_a_lost_beginning_of_the_input_is_an_error(cluster: Cluster) -> None:
    cluster.broker.expire(NAMES.requests, 1, 2)
    with pytest.raises(LostPrefix, match=r"sim\.requests\[1\]: the log begins at 2"):
        Audited(cluster).run()


def test_an_altered_state_is_found(cluster: Cluster) -> None:
    state = cluster.machines[0].disk[0].reopen()
    account, row = next(state.scan(ACCOUNT))
    event, _ = max(state.scan(EVENT + account[1:]), key=lambda row: row[1][0])
    state.write({account: [row[0] + 1, *row[1:]], event: None})
    audited = Audited(cluster).run(lambda p: Against(state=state if p == 0 else None))
    assert sorted(audited.found) == [Finding.DIFFERENT, Finding.MISSING]
    assert all(difference.place.startswith(f"state of {NAMES.requests}[0]") for difference in audited.differences)


def test_a_state_that_is_behind_is_compared_where_it_stands(cluster: Cluster) -> None:
    state = cluster.machines[0].disk[0].reopen()
    assert state.lose(1)
    assert not Audited(cluster).run(lambda p: Against(state=state if p == 0 else None)).differences

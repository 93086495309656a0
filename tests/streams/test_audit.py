"""The audit on in-memory logs: clean after any accidents, and not clean when anything was altered."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from metering.store import ACCOUNT, EVENT
from schemas.batches import read_position
from schemas.price_book import read_book
from sinks.embedded import EmbeddedSink
from sinks.migrate import migrate
from sinks.rows import to_columns
from streams.audit import Against, AuditLogs, PartitionAudit
from streams.audit_checkpoint import CheckpointError, load
from streams.audit_outputs import Stretch
from streams.audit_report import Difference, Finding, Totals
from streams.audit_rows import RowStore, stray_rows
from streams.audit_run import AuditPlan, AuditResult, run_audit
from streams.audit_scope import Scope, Surveyor
from streams.audit_state import StateView
from streams.log import LostPrefix
from streams.memory_log import MemoryInputLog
from streams.rocks_folder import RocksFolder
from streams.state import Identity, MemoryState
from tests.streams.simulation import NAMES, PARTITIONS, Cluster
from tests.streams.traffic import HOUR, START

BILLED = NAMES.billed
Alter = Callable[[Cluster, Callable[[bytes], bytes]], None]


@dataclass
class Audited:
    """One audit of a whole in-memory cluster."""

    cluster: Cluster
    differences: list[Difference] = field(default_factory=list)
    totals: Totals = field(default_factory=Totals)
    gaps: list[str] = field(default_factory=list)

    @property
    def logs(self) -> AuditLogs:
        broker = self.cluster.broker
        outputs = {topic: MemoryInputLog(broker, topic) for topic in NAMES.outputs}
        input_log = MemoryInputLog(broker, NAMES.requests)
        return AuditLogs(NAMES, PARTITIONS, self.cluster.codec, read_book, input_log, outputs)

    def scopes(self, positions: Any = None, *, with_rows: bool = False) -> list[Scope]:
        logs = self.logs
        survey = Surveyor(
            NAMES, PARTITIONS, logs.input_log, logs.output_logs, positions or Everything(self.cluster), 0.0, with_rows
        )
        return survey.scopes()

    def run(self, against: Callable[[int], Against] = lambda _: Against(), positions: Any = None) -> Audited:
        for scope in self.scopes(positions):
            audit = PartitionAudit(
                self.logs, scope, MemoryState(), against(scope.partition), self.differences.append
            )  # fmt: skip
            audit.run()
            audit.compare_state()
            self.totals.add(audit.totals)
            self.gaps += audit.gaps
        return self

    @property
    def found(self) -> list[Finding]:
        return [each.found for each in self.differences]


class Everything:
    """Consumer groups that have acknowledged all there is."""

    def __init__(self, cluster: Cluster) -> None:
        self.broker = cluster.broker

    def rated(self, topic: str, partitions: int) -> dict[int, int]:
        return {p: self.broker.bounds(topic, p)[1] for p in range(partitions)}

    def loaded(self, topics: Sequence[str], partitions: int) -> dict[tuple[str, int], int]:
        return {(t, p): self.broker.bounds(t, p)[1] for t in topics for p in range(partitions)}


@pytest.fixture
def cluster() -> Cluster:
    made = Cluster(7, messages=120)
    made.run_undisturbed()
    return made


def replace(cluster: Cluster, topic: str, partition: int, index: int, values: list[bytes]) -> None:
    """Puts other records in place of one, as nobody can in Kafka; offsets are counted anew."""
    values = (old := [m.value for m in cluster.broker.records(topic, partition)])[:index] + values + old[index + 1 :]
    cluster.broker._kept.pop((topic, partition), None)
    cluster.broker._next.pop((topic, partition), None)
    for value in values:
        cluster.broker.append(topic, partition, value)


def billed(cluster: Cluster, partition: int = 0) -> list[bytes]:
    return [message.value for message in cluster.broker.records(BILLED, partition)]


def altered(cluster: Cluster, value: bytes, **changes: Any) -> bytes:
    """The same batch with other values in its first item, and a valid encoding."""
    name, batch = cluster.codec.decode(value)
    batch["events"][0].update(changes)
    return cluster.codec.encode(name, batch)


def items(cluster: Cluster, topic: str, name: str) -> list[dict[str, Any]]:
    return [
        item
        for partition in range(PARTITIONS)
        for message in cluster.broker.records(topic, partition)
        for item in cluster.codec.decode(message.value)[1][name]
    ]


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
    value = billed(cluster)[3]
    wanted = cluster.codec.decode(value)[1]
    line = wanted["events"][0]
    replace(cluster, BILLED, 0, 3, [altered(cluster, value, credits=line["credits"] + 1)])
    (found,) = Audited(cluster).run().differences
    assert (found.found, found.place) == (Finding.DIFFERENT, f"{BILLED}[0]@3")
    assert found.source == f"0@{wanted['source_offset']}/0"
    assert f"event_id={line['event_id']}" in found.detail
    assert f"credits is {line['credits'] + 1}, should be {line['credits']}" in found.detail


@pytest.mark.parametrize("at", [0, 5, -1])
def test_any_single_flipped_bit_of_a_record_is_found(cluster: Cluster, at: int) -> None:
    value = bytearray(billed(cluster)[2])
    value[at] ^= 1
    replace(cluster, BILLED, 0, 2, [bytes(value)])
    assert Audited(cluster).run().differences


def test_a_missing_record_is_found(cluster: Cluster) -> None:
    source_offset, part = read_position(billed(cluster)[2])
    replace(cluster, BILLED, 0, 2, [])
    (found,) = Audited(cluster).run().differences
    assert (found.found, found.place, found.source) == (Finding.MISSING, f"{BILLED}[0]", f"0@{source_offset}/{part}")


def test_the_missing_end_of_a_topic_is_found(cluster: Cluster) -> None:
    replace(cluster, BILLED, 0, len(billed(cluster)) - 1, [])
    assert Audited(cluster).run().found == [Finding.MISSING]


def test_a_double_with_the_same_bytes_is_fine(cluster: Cluster) -> None:
    for value in billed(cluster)[:4]:
        cluster.broker.append(BILLED, 0, value)
    audited = Audited(cluster).run()
    assert not audited.differences
    assert audited.totals.doubles == 4


def test_a_double_with_other_bytes_is_found(cluster: Cluster) -> None:
    offset = cluster.broker.append(BILLED, 0, altered(cluster, billed(cluster)[1], credits=77))
    (found,) = Audited(cluster).run().differences
    assert (found.found, found.place) == (Finding.DIFFERENT, f"{BILLED}[0]@{offset}")


def test_records_that_no_worker_wrote_are_found(cluster: Cluster) -> None:
    codec = cluster.codec
    name, batch = codec.decode(billed(cluster)[0])
    offset = cluster.broker.append(BILLED, 0, b"by hand")
    cluster.broker.append(BILLED, 0, codec.encode(name, batch | {"source_offset": 10**9}))
    cluster.broker.append(BILLED, 0, codec.encode(name, batch | {"source_partition": 1}))
    cluster.broker.append(BILLED, 0, codec.encode(name, batch | {"part": 9}))
    audited = Audited(cluster).run()
    assert audited.found == [Finding.UNEXPECTED] * 4
    assert [each.place for each in audited.differences] == [f"{BILLED}[0]@{offset + n}" for n in range(4)]


def test_an_unexpected_record_hides_those_behind_it(cluster: Cluster) -> None:
    """A reader that took a record too early skips what comes after it: that is what is said."""
    values = billed(cluster)
    replace(cluster, BILLED, 0, 1, [values[3], values[1]])
    found = Audited(cluster).run().found
    assert found.count(Finding.MISSING) == 2


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
    cluster.broker.append(BILLED, 0, b"by hand")
    for value in (b"by hand", *billed(cluster, 1)[:2]):  # nothing that a row comes of
        cluster.broker.append(BILLED, 1, value)
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
    event, _ = max(state.scan(EVENT + account[1:]), key=lambda each: each[1][0])
    state.write({account: [row[0] + 1, *row[1:]], event: None})
    audited = Audited(cluster).run(lambda p: Against(state=state if p == 0 else None))
    assert sorted(audited.found) == [Finding.DIFFERENT, Finding.MISSING]
    assert all(each.place.startswith(f"state of {NAMES.requests}[0]") for each in audited.differences)


def test_a_state_that_is_behind_is_compared_where_it_stands(cluster: Cluster) -> None:
    state = cluster.machines[0].disk[0].reopen()
    assert state.lose(1)
    assert not Audited(cluster).run(lambda p: Against(state=state if p == 0 else None)).differences


# Rows, checkpoints: on real RocksDB, and chDB.


class SinkRows:
    """Rows as the command reads them."""

    def __init__(self, sink: EmbeddedSink) -> None:
        self.sink = sink

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return self.sink.query(sql).rows


def fill(cluster: Cluster, sink: EmbeddedSink) -> None:
    migrate(sink)
    for topic in NAMES.outputs:
        for partition in range(PARTITIONS):
            decoded = [cluster.codec.decode(m.value) for m in cluster.broker.records(topic, partition)]
            if decoded:
                sink.insert(*to_columns(decoded[0][0], [batch for _, batch in decoded]))


def plan(audited: Audited, folder: Path, **options: Any) -> AuditPlan:
    return AuditPlan(audited.logs, "log-1", folder / "scratch", **options)


def run(audited: Audited, made: AuditPlan, rows: RowStore | None = None) -> AuditResult:
    resumed = {} if made.began_from is None else made.began_from.outputs
    logs = made.logs
    scopes = Surveyor(
        NAMES, PARTITIONS, logs.input_log, logs.output_logs, Everything(audited.cluster), 0.0, rows is not None,
        resumed=resumed,
    ).scopes()  # fmt: skip
    return run_audit(made, scopes, audited.differences.append, lambda _partition, _offset: None)


def test_rows_are_compared_one_by_one(cluster: Cluster, tmp_path: Path) -> None:
    sink = EmbeddedSink(tmp_path / "clickhouse")
    try:
        fill(cluster, sink)
        rows = SinkRows(sink)
        clean = Audited(cluster)
        result = run(clean, plan(clean, tmp_path, rows=rows), rows)
        assert not clean.differences, clean.differences[:3]
        assert result.totals.rows == sum(sink.query(f"SELECT count() FROM {t}").rows[0][0] for t in TABLES) > 0
        alter_rows(sink, cluster)
        audited = Audited(cluster)
        run(audited, plan(audited, tmp_path, rows=rows), rows)
        places = sorted((each.found, each.place.split()[0]) for each in audited.differences)
        assert places == [
            (Finding.DIFFERENT, "billed_rows"), (Finding.MISSING, "refund_rows"), (Finding.UNEXPECTED, "billed_rows"),
            (Finding.UNEXPECTED, "grant_rows"),
        ]  # fmt: skip
        different = next(each for each in audited.differences if each.found is Finding.DIFFERENT)
        assert "credits is 999, should be" in different.detail
    finally:
        sink.close()


def test_the_statements_of_the_finance_page(cluster: Cluster, tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "finance.md").read_text()
    blocks = re.findall(r"```sql\n(.*?)```", text, re.DOTALL)
    statements = [each for block in blocks for each in block.split(";") if each.strip()]
    sink = EmbeddedSink(tmp_path / "clickhouse")
    try:
        fill(cluster, sink)
        closing, later, net = (sink.query(each).dicts() for each in statements)
        ends = {p: max(read_position(value)[0] for value in billed(cluster, p)) for p in range(PARTITIONS)}
        assert {row["source_partition"]: row["invoiced_to"] for row in closing} == ends
        assert later == [], "nothing came after the offset of the example"
        january = range(START, START + 31 * 24 * HOUR)  # late events reach back into December
        lines, refunds = items(cluster, BILLED, "events"), items(cluster, NAMES.refunds, "refunds")
        charged = sum(line["credits"] for line in lines if line["occurred_at"] in january)
        refunded = sum(
            each["credits"] for each in refunds if each["status"] == "refunded" and each["requested_at"] in january
        )
        assert sum(row["charged"] for row in net) == charged > 0
        assert sum(row["refunded"] for row in net) == refunded > 0
        assert all(row["net"] == row["charged"] - row["refunded"] for row in net)
    finally:
        sink.close()


TABLES = ("billed_rows", "refund_rows", "grant_rows", "dead_letter_rows", "alert_rows")


def alter_rows(sink: EmbeddedSink, cluster: Cluster) -> None:
    """One row other, one gone, one of a message that there is not, one under an existing message's name."""
    sync = "SETTINGS mutations_sync = 1"
    event, account = sink.query(
        "SELECT event_id, account_id FROM billed_rows WHERE decision = 'charged' AND line = 0 LIMIT 1"
    ).rows[0]
    where = f"event_id = '{event}' AND account_id = '{account}' AND line = 0"
    sink.execute(f"ALTER TABLE billed_rows UPDATE credits = 999 WHERE {where} {sync}")
    refund = sink.query("SELECT refund_id FROM refund_rows WHERE status = 'rejected' LIMIT 1").rows[0][0]
    sink.execute(f"ALTER TABLE refund_rows DELETE WHERE refund_id = '{refund}' {sync}")
    message = cluster.broker.records(BILLED, 0)[0].value
    name, batch = cluster.codec.decode(message)
    sink.insert(*to_columns(name, [batch | {"part": 3, "events": batch["events"][:1]}]))
    grants = next(p for p in range(PARTITIONS) if cluster.broker.records(NAMES.grants, p))
    name, batch = cluster.codec.decode(cluster.broker.records(NAMES.grants, grants)[0].value)
    sink.insert(*to_columns(name, [batch | {"source_offset": 10**6, "grants": batch["grants"][:1]}]))


def test_stray_rows_of_partitions_that_there_are_not() -> None:
    class Store:
        def rows(self, sql: str) -> list[tuple[Any, ...]]:
            if "GROUP BY source_partition" in sql:
                return [(0, 0, 9), (77, 4, 4)] if "billed_rows" in sql else []
            return [(4, 2)]

    found: list[Difference] = []
    stray_rows(Store(), 8, lambda _: 10, found.append)
    assert [(each.place, each.source) for each in found] == [("billed_rows", "77@4")]


def test_a_later_audit_goes_on_from_a_checkpoint(tmp_path: Path) -> None:
    whole = Cluster(11, messages=100)
    messages = {p: whole.broker.records(NAMES.requests, p) for p in range(PARTITIONS)}
    cluster = Cluster(11, messages=1)
    cluster.broker = type(cluster.broker)()
    half = {p: len(each) // 2 for p, each in messages.items()}
    copy(cluster, messages, {p: (0, stop) for p, stop in half.items()})
    first = Audited(cluster)
    assert run(first, plan(first, tmp_path, checkpoint_to=tmp_path / "kept")).is_kept
    copy(cluster, messages, {p: (start, len(messages[p])) for p, start in half.items()})
    manifest = load(tmp_path / "kept")
    second = Audited(cluster)
    going_on = {"began_from": manifest, "checkpoint_from": tmp_path / "kept"}
    result = run(second, plan(second, tmp_path, **going_on, checkpoint_to=tmp_path / "again"))
    assert not second.differences
    assert result.totals.messages == sum(len(messages[p]) - half[p] for p in messages)
    everything = Audited(cluster).run().totals
    both = load(tmp_path / "again").totals
    assert (both.charged, both.lines, both.records) == (everything.charged, everything.lines, everything.records)
    # Doubles of what stands before the checkpoint are still known.
    cluster.broker.append(BILLED, 0, billed(cluster)[0])
    cluster.broker.append(BILLED, 0, altered(cluster, billed(cluster)[0], credits=5))
    third = Audited(cluster)
    assert run(third, plan(third, tmp_path, **going_on)).totals.doubles == 1
    assert third.found == [Finding.DIFFERENT]
    assert not list((tmp_path / "scratch").rglob("*.sst"))


def copy(cluster: Cluster, messages: dict[int, list[Any]], ranges: dict[int, tuple[int, int]]) -> None:
    """Gives the cluster these messages, and lets it rate them."""
    for partition, (first, stop) in ranges.items():
        for message in messages[partition][first:stop]:
            cluster.broker.append(NAMES.requests, partition, message.value, message.timestamp)
    cluster.run_undisturbed()


def test_a_damaged_checkpoint_and_one_that_is_not_clean(cluster: Cluster, tmp_path: Path) -> None:
    audited = Audited(cluster)
    run(audited, plan(audited, tmp_path, checkpoint_to=tmp_path / "kept"))
    with pytest.raises(CheckpointError, match="there already"):
        run(audited, plan(audited, tmp_path, checkpoint_to=tmp_path / "kept"))
    table = next((tmp_path / "kept" / "state").rglob("CURRENT"))
    table.write_bytes(table.read_bytes() + b" ")
    with pytest.raises(CheckpointError, match="CURRENT: damaged"):
        load(tmp_path / "kept")
    replace(cluster, BILLED, 0, 2, [])
    result = run(audited, plan(audited, tmp_path, checkpoint_to=tmp_path / "other"))
    assert not result.is_kept
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept", "scratch"]


def test_a_state_on_disk_is_read_without_touching_it(cluster: Cluster, tmp_path: Path) -> None:
    folder = RocksFolder(tmp_path / "state")
    identity = Identity(NAMES.requests, 0, "log-1")
    held = folder.open(identity)
    kept = cluster.machines[0].disk[0].reopen()
    held.commit(dict(kept.scan(b"")), kept.applied)
    before = sorted(path.name for path in held.path.iterdir())
    view = StateView(held.path)  # while its worker holds it
    assert view.applied == kept.applied
    assert not Audited(cluster).run(lambda p: Against(state=view if p == 0 else None)).differences
    view.close()
    assert sorted(path.name for path in held.path.iterdir()) == before
    held.close()


def test_where_the_resumed_reading_begins() -> None:
    cluster = Cluster(3)
    cluster.run_undisturbed()
    audited = Audited(cluster)
    resumed = {(BILLED, 0): Stretch(2, 2, (5, 0))}
    survey = Surveyor(
        NAMES, PARTITIONS, audited.logs.input_log, audited.logs.output_logs, Everything(cluster), 0.0, False,
        resumed=resumed,
    )  # fmt: skip
    assert survey.scopes()[0].outputs[BILLED] == Stretch(2, len(billed(cluster)), (5, 0))

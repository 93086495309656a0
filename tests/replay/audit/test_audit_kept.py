"""The audit on what is kept on disk: rows in chDB, states in RocksDB, checkpoints of earlier audits."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from replay.audit.checkpoint import CheckpointError, load
from replay.audit.findings import Difference, Finding
from replay.audit.outputs import Stretch
from replay.audit.partition import Against
from replay.audit.rows import RowStore, stray_rows
from replay.audit.run import AuditPlan, AuditResult, run_audit
from replay.audit.scope import Surveyor
from schemas.batches import read_position
from sinks.embedded import EmbeddedSink
from sinks.rows import SHAPES, RecordBatches, to_columns
from streams.state.read_only import StateView
from streams.state.rocks_folder import RocksFolder
from streams.state.store import Identity
from tests.replay.audit.audited import (
    BILLED,
    Audited,
    Everything,
    SinkRows,
    altered,
    billed,
    billed_with_lines,
    filled,
    items,
    replace,
)
from tests.streams.simulation import NAMES, PARTITIONS, Cluster
from tests.streams.traffic import HOUR, START

pytestmark = pytest.mark.slow


@pytest.fixture
def cluster() -> Cluster:
    made = Cluster(7, messages=120)
    made.run_undisturbed()
    return made


def plan(audited: Audited, folder: Path, **options: Any) -> AuditPlan:
    return AuditPlan(audited.logs, "log-1", folder / "scratch", **options)


def run(audited: Audited, made: AuditPlan, rows: RowStore | None = None) -> AuditResult:
    resumed = {} if made.began_from is None else made.began_from.outputs
    logs = made.logs
    scopes = Surveyor(
        NAMES, PARTITIONS, logs.input_log, logs.own_outputs, Everything(audited.cluster), 0.0, rows is not None,
        resumed=resumed,
    ).scopes()  # fmt: skip
    return run_audit(made, scopes, audited.differences.append, lambda _partition, _offset: None)


@pytest.mark.slow
def test_rows_are_compared_one_by_one(cluster: Cluster, tmp_path: Path) -> None:
    sink = filled(cluster, tmp_path / "clickhouse")
    try:
        rows = SinkRows(sink)
        clean = Audited(cluster)
        result = run(clean, plan(clean, tmp_path, rows=rows), rows)
        assert not clean.differences, clean.differences[:3]
        assert result.totals.rows == sum(sink.query(f"SELECT count() FROM {t}").rows[0][0] for t in TABLES) > 0
        alter_rows(sink, cluster)
        audited = Audited(cluster)
        run(audited, plan(audited, tmp_path, rows=rows), rows)
        places = sorted((difference.finding, difference.place.split()[0]) for difference in audited.differences)
        assert places == [
            (Finding.DIFFERENT, "billed_rows"), (Finding.MISSING, "refund_rows"), (Finding.UNEXPECTED, "billed_rows"),
            (Finding.UNEXPECTED, "grant_rows"),
        ]  # fmt: skip
        different = next(difference for difference in audited.differences if difference.finding is Finding.DIFFERENT)
        assert "credits is 999, should be" in different.detail
    finally:
        sink.close()


def test_the_statements_of_the_finance_page(cluster: Cluster, tmp_path: Path) -> None:
    text = (Path(__file__).parents[3] / "docs" / "finance.md").read_text()
    blocks = re.findall(r"```sql\n(.*?)```", text, re.DOTALL)
    statements = [statement for block in blocks for statement in block.split(";") if statement.strip()]
    sink = filled(cluster, tmp_path / "clickhouse")
    try:
        closing, later, net = (sink.query(statement).dicts() for statement in statements)
        ends = {p: max(read_position(value)[0] for value in billed_with_lines(cluster, p)) for p in range(PARTITIONS)}
        assert {row["source_partition"]: row["invoiced_to"] for row in closing} == ends
        assert later == [], "nothing came after the offset of the example"
        january = range(START, START + 31 * 24 * HOUR)  # late events reach back into December
        lines, refunds = items(cluster, BILLED, "events"), items(cluster, NAMES.refunds, "refunds")
        charged = sum(line["credits"] for line in lines if line["occurred_at"] in january)
        refunded = sum(
            refund["credits"]
            for refund in refunds
            if refund["status"] == "refunded" and refund["requested_at"] in january
        )
        assert sum(row["charged"] for row in net) == charged > 0
        assert sum(row["refunded"] for row in net) == refunded > 0
        assert all(row["net"] == row["charged"] - row["refunded"] for row in net)
    finally:
        sink.close()


TABLES = tuple(shape.table for shape in SHAPES.values())


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
    name, batch = cluster.codec.decode(billed_with_lines(cluster)[0])
    sink.insert(*to_columns(name, RecordBatches(name, [batch | {"part": 3, "events": batch["events"][:1]}])))
    grants = next(p for p in range(PARTITIONS) if cluster.broker.records(NAMES.grants, p))
    name, batch = cluster.codec.decode(cluster.broker.records(NAMES.grants, grants)[0].value)
    sink.insert(
        *to_columns(name, RecordBatches(name, [batch | {"source_offset": 10**6, "grants": batch["grants"][:1]}]))
    )


def test_stray_rows_of_partitions_that_there_are_not() -> None:
    class Store:
        def rows(self, sql: str) -> list[tuple[Any, ...]]:
            if "GROUP BY source_partition" in sql:
                return [(0, 0, 9), (77, 4, 4)] if "billed_rows" in sql else []
            return [(4, 2)]

    differences: list[Difference] = []
    stray_rows(Store(), 8, lambda _: 10, differences.append)
    assert [(difference.place, difference.source) for difference in differences] == [("billed_rows", "77@4")]


def test_a_later_audit_goes_on_from_a_checkpoint(tmp_path: Path) -> None:
    whole = Cluster(11, messages=100)
    messages = {p: whole.broker.records(NAMES.requests, p) for p in range(PARTITIONS)}
    cluster = Cluster(11, messages=1)
    cluster.broker = type(cluster.broker)()
    half = {p: len(message) // 2 for p, message in messages.items()}
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
    cluster.append(BILLED, 0, billed_with_lines(cluster)[0])
    cluster.append(BILLED, 0, altered(cluster, billed_with_lines(cluster)[0], credits=5))
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
        NAMES, PARTITIONS, audited.logs.input_log, audited.logs.own_outputs, Everything(cluster), 0.0, False,
        resumed=resumed,
    )  # fmt: skip
    assert survey.scopes()[0].outputs[BILLED] == Stretch(2, len(billed(cluster)), (5, 0))

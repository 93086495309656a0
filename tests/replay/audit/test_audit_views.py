"""The audit reads what people read: views that hide, add or change something are found, and the rows are named."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from replay.audit.findings import Difference, Finding
from replay.audit.run import run_audit
from replay.audit.scope import Surveyor
from sinks.embedded import EmbeddedSink
from sinks.views import defined_views
from tests.replay.audit.audited import Audited, Everything, SinkRows, filled
from tests.replay.audit.test_audit_kept import plan
from tests.streams.simulation import NAMES, PARTITIONS, Cluster

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster() -> Cluster:
    made = Cluster(7, messages=120)
    made.run_undisturbed()
    return made


@pytest.fixture(scope="module")
def store(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedSink]:
    sink = filled(cluster, tmp_path_factory.mktemp("views") / "clickhouse")
    yield sink
    sink.close()


@pytest.fixture
def sink(store: EmbeddedSink) -> Iterator[EmbeddedSink]:
    """The store, whose views are made anew after the test."""
    yield store
    for name, select in defined_views().items():
        store.execute(f"DROP TABLE IF EXISTS {name}")
        store.execute(f"CREATE VIEW {name} AS {select}")


def audited(cluster: Cluster, sink: EmbeddedSink, folder: Path) -> list[Difference]:
    rows = SinkRows(sink)
    made = Audited(cluster)
    scopes = Surveyor(
        NAMES, PARTITIONS, made.logs.input_log, made.logs.output_logs, Everything(cluster), 0.0, with_rows=True
    ).scopes()
    differences: list[Difference] = []
    run_audit(plan(made, folder, rows=rows), scopes, differences.append, lambda _partition, _offset: None)
    return differences


def test_views_as_they_were_made_are_clean(cluster: Cluster, sink: EmbeddedSink, tmp_path: Path) -> None:
    assert audited(cluster, sink, tmp_path) == []


def test_a_view_that_hides_a_row_is_found_and_the_row_named(
    cluster: Cluster, sink: EmbeddedSink, tmp_path: Path
) -> None:
    hidden: dict[str, tuple[str, int]] = {}
    for view, key in (
        ("billed_events", "event_id"), ("refunds", "refund_id"), ("grants", "grant_id"), ("dead_letters", "position"),
    ):  # fmt: skip
        value = sink.query(f"SELECT toString(any({key})) FROM {view}").rows[0][0]
        count = sink.query(f"SELECT count() FROM {view} WHERE toString({key}) = '{value}'").rows[0][0]
        hidden[view] = ("" if key == "position" else f"{key}={value}", count)
        select = f"SELECT * FROM ({defined_views()[view]}) WHERE toString({key}) != '{value}'"
        sink.execute(f"CREATE OR REPLACE VIEW {view} AS {select}")
    differences = audited(cluster, sink, tmp_path)
    views = {difference.place: difference for difference in differences if difference.place.startswith("view ")}
    assert views.keys() == {f"view {view}" for view in hidden}
    assert {difference.finding for difference in views.values()} == {Finding.DIFFERENT}
    assert all("should be" in difference.detail for difference in views.values())
    rows = [difference for difference in differences if difference.place not in views]
    assert {difference.finding for difference in rows} == {Finding.MISSING}
    for view, (named, count) in hidden.items():
        own = [difference for difference in rows if difference.place.split()[0] == view]
        assert len(own) == count >= 1, view
        assert all(named in difference.place for difference in own)
    assert len(rows) == sum(count for _, count in hidden.values())


CHANGES: dict[str, tuple[str, str, Finding]] = {
    "other credits": (
        "billed_events",
        "SELECT * REPLACE (credits + 1 AS credits) FROM ({definition})",
        Finding.DIFFERENT,
    ),
    "rows twice": ("grants", "SELECT * FROM ({definition}) UNION ALL SELECT * FROM ({definition})", Finding.DIFFERENT),
    "without FINAL": ("refunds", "{not_final}", Finding.DIFFERENT),
    "a summary without refunds": ("balances", "SELECT * FROM ({definition}) WHERE balance >= 0", Finding.DIFFERENT),
    "a summary of others": ("daily_usage", "SELECT * FROM ({definition}) WHERE account_id != 'x'", Finding.DIFFERENT),
    "what balances rest on": ("last_balances", "SELECT * FROM ({definition}) LIMIT 1", Finding.DIFFERENT),
    "other columns": ("alerts", "SELECT 1 AS one", Finding.DIFFERENT),
}


def test_every_other_change_of_a_view_is_found(cluster: Cluster, sink: EmbeddedSink, tmp_path: Path) -> None:
    """Each of another view, so that one audit finds them all."""
    for view, statement, _ in CHANGES.values():
        definition = defined_views()[view]
        parts: dict[str, Any] = {"definition": definition, "not_final": definition.replace(" FINAL", "")}
        sink.execute(f"CREATE OR REPLACE VIEW {view} AS {statement.format(**parts)}")
    differences = audited(cluster, sink, tmp_path)
    views = {(one.place, one.finding) for one in differences if one.place.startswith("view ")}
    assert views == {(f"view {view}", kind) for view, _, kind in CHANGES.values()}
    assert len(views) == len(CHANGES)


def test_a_column_that_is_cast_is_found(cluster: Cluster, sink: EmbeddedSink, tmp_path: Path) -> None:
    """The statement is the migrations' own; the list of columns before it changes what comes out."""
    for view in ("refunds", "daily_usage"):
        columns = [(row[0], row[1]) for row in sink.query(f"DESCRIBE TABLE {view}").rows]
        assert "credits" in dict(columns)
        listed = ", ".join(f"`{name}` {'Int16' if name == 'credits' else kind}" for name, kind in columns)
        sink.execute(f"CREATE OR REPLACE VIEW {view} ({listed}) AS {defined_views()[view]}")
    differences = audited(cluster, sink, tmp_path)
    (of_sums,) = [difference for difference in differences if difference.place == "view daily_usage"]
    assert of_sums.detail == "it shows other rows than its own statement gives"
    of_rows = [difference for difference in differences if difference != of_sums]
    assert {difference.place.split()[0] for difference in of_rows} == {"refunds"}


def test_a_view_that_is_gone_is_missing(cluster: Cluster, sink: EmbeddedSink, tmp_path: Path) -> None:
    sink.execute("DROP VIEW balances")
    sink.execute("DROP VIEW daily_usage")
    sink.execute("CREATE TABLE daily_usage (day Date) ENGINE = Memory")
    findings = sorted((difference.finding, difference.place) for difference in audited(cluster, sink, tmp_path))
    assert findings == [(Finding.DIFFERENT, "view daily_usage"), (Finding.MISSING, "view balances")]

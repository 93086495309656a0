"""The audit proves what the server reads beside the rows: the newest balances, and how far the store is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from replay.audit.findings import Difference, Finding
from replay.audit.latest_balances import LATEST_BALANCES, compare_latest_balances
from replay.audit.loaded_positions import compare_loaded_positions
from replay.audit.run import run_audit
from sinks.embedded import EmbeddedSink
from sinks.inserts import BALANCE, BALANCE_TABLES, CURRENT
from streams.loading.positions import TABLE, SinkPositions, loaded_of
from streams.log.source_position import source_position
from tests.replay.audit.audited import Audited, SinkRows, filled
from tests.replay.audit.test_audit_kept import plan
from tests.streams.simulation import NAMES, PARTITIONS, Cluster

pytestmark = pytest.mark.slow

SYNC = "SETTINGS mutations_sync = 1"
KEPT = f"(SELECT * FROM kept WHERE kind = '{BALANCE}')"


@pytest.fixture(scope="module")
def cluster() -> Cluster:
    made = Cluster(7, messages=120)
    made.run_undisturbed()
    return made


@pytest.fixture(scope="module")
def store(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedSink]:
    sink = filled(cluster, tmp_path_factory.mktemp("latest") / "clickhouse")
    sink.execute(f"CREATE TABLE kept AS {CURRENT}")
    sink.execute(f"INSERT INTO kept SELECT * FROM {CURRENT}")
    yield sink
    sink.close()


@pytest.fixture
def sink(store: EmbeddedSink, cluster: Cluster) -> EmbeddedSink:
    """The store, with the newest balances and the positions as the loader makes them."""
    for table in (CURRENT, TABLE):
        store.execute(f"TRUNCATE TABLE {table}")
    store.execute(f"INSERT INTO {CURRENT} SELECT * FROM kept")
    records = {(t, p): cluster.broker.records(t, p) for t in NAMES.loaded for p in range(PARTITIONS)}
    SinkPositions(store).write(
        {
            place: loaded_of(messages[-1])._replace(source_offset=source_position(messages[-1])[0])
            for place, messages in records.items()
            if messages
        }
    )
    return store


def row_of(account: str, credit_type: str, table: str) -> str:
    """The condition that chooses a balance."""
    return f"kind = '{BALANCE}' AND account_id = '{account}' AND id = '{credit_type} {table}'"


def compared(cluster: Cluster, sink: EmbeddedSink) -> list[Difference]:
    """What the two comparisons find that a whole audit makes behind the one of rows."""
    made = Audited(cluster)
    differences: list[Difference] = []
    compare_loaded_positions(SinkRows(sink), made.logs, differences.append)
    compare_latest_balances(SinkRows(sink), NAMES, made.scopes(with_rows=True), differences.append)
    return differences


@pytest.mark.slow
def test_a_whole_audit_makes_both(cluster: Cluster, sink: EmbeddedSink, tmp_path: Path) -> None:
    made = Audited(cluster)
    assert compared(cluster, sink) == []
    assert sink.query(f"SELECT uniqExact(origin) FROM {LATEST_BALANCES}").rows == [(len(BALANCE_TABLES),)]
    sink.execute(f"INSERT INTO {CURRENT} SELECT * REPLACE ('nobody' AS account_id) FROM {KEPT} LIMIT 1")
    sink.execute(f"INSERT INTO {TABLE} (topic) VALUES ('other')")
    run_audit(
        plan(made, tmp_path, rows=SinkRows(sink)), made.scopes(with_rows=True), made.differences.append,
        lambda _partition, _offset: None,
    )  # fmt: skip
    places = {difference.place.split()[0] for difference in made.differences}
    assert places == {LATEST_BALANCES, TABLE}


@pytest.mark.parametrize("table", BALANCE_TABLES)
@pytest.mark.parametrize(
    "change",
    ["balance_after = balance_after + 1", "at = at + toIntervalDay(1)", "position = position + 1000000", "packed = ''"],
)
def test_a_newest_balance_that_is_changed_is_named(
    cluster: Cluster, sink: EmbeddedSink, table: str, change: str
) -> None:
    account, kind, partition, offset = sink.query(
        f"SELECT account_id, credit_type, source_partition, source_offset FROM {LATEST_BALANCES} "
        f"WHERE origin = '{table}' ORDER BY account_id, credit_type, version DESC LIMIT 1"
    ).rows[0]
    sink.execute(
        f"ALTER TABLE {CURRENT} UPDATE {change} "
        f"WHERE {row_of(account, kind, table)} AND source_offset = {offset} {SYNC}"
    )
    differences = compared(cluster, sink)
    place = f"{LATEST_BALANCES} account_id={account} credit_type={kind} origin={table}"
    kind_of_change = Finding.UNEXPECTED if change.startswith("position") else Finding.DIFFERENT
    named = [(d.finding, d.place, d.source) for d in differences if d.place.startswith(LATEST_BALANCES)]
    assert (kind_of_change, place, f"{partition}@{offset}") in named
    assert {d.place for d in differences} == {place}


def test_a_newest_balance_that_is_hidden_behind_another_is_named(cluster: Cluster, sink: EmbeddedSink) -> None:
    """A higher version wins over every later row, though its values are right; so does a row of a later message."""
    sink.execute(f"INSERT INTO {CURRENT} SELECT * REPLACE (version + 1000000000 AS version) FROM {KEPT} LIMIT 1")
    sink.execute(
        f"INSERT INTO {CURRENT} SELECT * REPLACE ('nobody' AS account_id, 7 AS balance_after) FROM {KEPT} LIMIT 1"
    )
    sink.execute(f"INSERT INTO {CURRENT} SELECT * REPLACE ('hold_rows' AS status) FROM {KEPT} LIMIT 1")
    sink.execute(f"INSERT INTO {CURRENT} SELECT * REPLACE ('other' AS id) FROM {KEPT} LIMIT 1")
    differences = compared(cluster, sink)
    assert sorted(d.finding for d in differences) == [*[Finding.DIFFERENT] * 2, *[Finding.UNEXPECTED] * 2]
    assert any("version" in d.detail for d in differences)
    assert any("account_id=nobody" in d.place for d in differences)
    assert any("origin=hold_rows" in d.place for d in differences)


@pytest.mark.parametrize("table", BALANCE_TABLES)
def test_a_newest_balance_that_is_missing_is_named(cluster: Cluster, sink: EmbeddedSink, table: str) -> None:
    account, kind = sink.query(
        f"SELECT account_id, credit_type FROM {LATEST_BALANCES} WHERE origin = '{table}' ORDER BY version DESC LIMIT 1"
    ).rows[0]
    sink.execute(f"ALTER TABLE {CURRENT} DELETE WHERE {row_of(account, kind, table)} {SYNC}")
    (difference,) = compared(cluster, sink)
    assert difference.finding is Finding.MISSING
    assert difference.place == f"{LATEST_BALANCES} account_id={account} credit_type={kind} origin={table}"
    sink.execute(f"TRUNCATE TABLE {CURRENT}")
    keys = sink.query(f"SELECT uniqExact(account_id, id) FROM {KEPT}").rows[0][0]
    assert len(compared(cluster, sink)) == keys


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        ("99999 AS log_offset", Finding.DIFFERENT),
        ("'00' AS digest", Finding.DIFFERENT),
        ("log_offset - 1 AS log_offset", Finding.DIFFERENT),
        ("source_offset + 1 AS source_offset", Finding.DIFFERENT),
        ("77 AS log_partition", Finding.UNEXPECTED),
        ("'other.billed' AS topic", Finding.UNEXPECTED),
    ],
)
def test_a_position_that_is_changed_is_named(
    cluster: Cluster, sink: EmbeddedSink, change: str, finding: Finding
) -> None:
    where = f"topic = '{NAMES.billed}' AND log_partition = 1"
    sink.execute(
        f"INSERT INTO {TABLE} SELECT * REPLACE ({change}, version + 1 AS version) "
        f"FROM (SELECT * FROM {TABLE} FINAL WHERE {where})"
    )
    (difference,) = compared(cluster, sink)
    assert difference.finding is finding
    assert difference.place.startswith(f"{TABLE} ")

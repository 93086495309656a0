"""The audit proves the newest rows of grants, holds and settings, which balances and the server are read from."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from replay.audit.current_rows import compare_current_rows
from replay.audit.findings import Difference, Finding
from sinks.embedded import EmbeddedSink
from sinks.inserts import CURRENT
from tests.replay.audit.audited import Audited, SinkRows, filled
from tests.streams.simulation import NAMES, Cluster

pytestmark = pytest.mark.slow

SYNC = "SETTINGS mutations_sync = 1"
KINDS = ("grant", "hold", "settings")


@pytest.fixture(scope="module")
def cluster() -> Cluster:
    made = Cluster(7, messages=120)
    made.run_undisturbed()
    return made


@pytest.fixture(scope="module")
def store(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedSink]:
    sink = filled(cluster, tmp_path_factory.mktemp("current") / "clickhouse")
    sink.execute(f"CREATE TABLE kept AS {CURRENT}")
    sink.execute(f"INSERT INTO kept SELECT * FROM {CURRENT}")
    yield sink
    sink.close()


@pytest.fixture
def sink(store: EmbeddedSink) -> EmbeddedSink:
    """The store, with the newest rows as the loader makes them."""
    store.execute(f"TRUNCATE TABLE {CURRENT}")
    store.execute(f"INSERT INTO {CURRENT} SELECT * FROM kept")
    return store


def compared(cluster: Cluster, sink: EmbeddedSink) -> list[Difference]:
    differences: list[Difference] = []
    compare_current_rows(SinkRows(sink), NAMES, Audited(cluster).scopes(with_rows=True), differences.append)
    return differences


def one_of(sink: EmbeddedSink, kind: str) -> tuple[str, str]:
    """The place of a row of the kind, and the condition that chooses it: an id may come anew, with another end."""
    columns = "account_id, id, toUnixTimestamp64Milli(ends)"
    sql = f"SELECT {columns} FROM {CURRENT} FINAL WHERE kind = '{kind}' ORDER BY source_offset DESC LIMIT 1"
    ((account, own_id, ends),) = sink.query(sql).rows
    where = (
        f"account_id = '{account}' AND kind = '{kind}' AND id = '{own_id}' AND toUnixTimestamp64Milli(ends) = {ends}"
    )
    return f"{CURRENT} account_id={account} kind={kind} id={own_id}", where


def test_what_the_loader_made_is_right(cluster: Cluster, sink: EmbeddedSink) -> None:
    assert sink.query(f"SELECT uniqExact(kind) FROM {CURRENT}").rows == [(len(KINDS) + 1,)]  # and balances
    assert compared(cluster, sink) == []
    sink.execute(f"INSERT INTO {CURRENT} SELECT * FROM kept")
    assert compared(cluster, sink) == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("change", ["amounts = [4242]", "status = 'other'", "packed = '[]'"])
def test_a_changed_row_is_named(cluster: Cluster, sink: EmbeddedSink, kind: str, change: str) -> None:
    place, where = one_of(sink, kind)
    sink.execute(f"ALTER TABLE {CURRENT} UPDATE {change} WHERE {where} {SYNC}")
    (difference,) = compared(cluster, sink)
    assert (difference.finding, difference.place) == (Finding.DIFFERENT, place)


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_with_a_version_that_keeps_later_ones_out_is_named(
    cluster: Cluster, sink: EmbeddedSink, kind: str
) -> None:
    place, where = one_of(sink, kind)
    sink.execute(f"INSERT INTO {CURRENT} SELECT * REPLACE (version + 1 AS version) FROM kept WHERE {where}")
    (difference,) = compared(cluster, sink)
    assert (difference.finding, difference.place) == (Finding.DIFFERENT, place)


@pytest.mark.parametrize("kind", KINDS)
def test_a_dropped_row_is_named(cluster: Cluster, sink: EmbeddedSink, kind: str) -> None:
    place, where = one_of(sink, kind)
    sink.execute(f"ALTER TABLE {CURRENT} DELETE WHERE {where} {SYNC}")
    (difference,) = compared(cluster, sink)
    assert (difference.finding, difference.place) == (Finding.MISSING, place)


def test_rows_that_repeat_nothing_are_named(cluster: Cluster, sink: EmbeddedSink) -> None:
    for row in ("'forged' AS id", "'nobody' AS account_id"):
        sink.execute(f"INSERT INTO {CURRENT} SELECT * REPLACE ({row}) FROM kept WHERE kind = 'hold' LIMIT 1")
    sink.execute(f"INSERT INTO {CURRENT} SELECT * REPLACE ('other' AS kind) FROM kept LIMIT 1")
    assert [difference.finding for difference in compared(cluster, sink)] == [Finding.UNEXPECTED] * 3

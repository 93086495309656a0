"""Definitions of views in the store, beside those of the migrations."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sinks.embedded import EmbeddedSink
from sinks.migrate import migrate
from sinks.server import ServerSink
from sinks.sink import Sink
from sinks.views import ViewDefinition, defined_views, view_definitions
from tests.sinks.native_client import CurrentServerSink
from tests.stores import with_schema

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def embedded_changed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedSink]:
    sink = EmbeddedSink(with_schema(tmp_path_factory.mktemp("views") / "data"))
    yield sink
    sink.close()


@pytest.fixture(scope="module")
def server_changed(embedded_changed: EmbeddedSink) -> Iterator[ServerSink]:
    sink = CurrentServerSink(embedded_changed.folder, "elsewhere")
    migrate(sink)
    yield sink
    sink.close()


@pytest.fixture(params=["embedded", "server"])
def changed(request: pytest.FixtureRequest) -> Sink:
    """A sink whose views a test may change and then has to make anew."""
    chosen: Sink = request.getfixturevalue(f"{request.param}_changed")
    for name, select in defined_views().items():
        chosen.execute(f"DROP TABLE IF EXISTS {name}")
        chosen.execute(f"CREATE VIEW {name} AS {select}")
    return chosen


def wrong(sink: Sink) -> list[ViewDefinition]:
    return [view for view in view_definitions(lambda sql: sink.query(sql).rows) if not view.is_right]


def test_what_migrations_made_is_right(changed: Sink) -> None:
    assert wrong(changed) == []
    names = {view.name for view in view_definitions(lambda sql: changed.query(sql).rows)}
    assert {"billed_events", "refunds", "grants", "balances", "daily_usage", "dead_letters", "alerts"} <= names


@pytest.mark.parametrize("name", defined_views())
def test_each_view_that_hides_a_row_is_found(changed: Sink, name: str) -> None:
    column = changed.query(f"DESCRIBE TABLE {name}").rows[0][0]
    changed.execute(
        f"CREATE OR REPLACE VIEW {name} AS SELECT * FROM ({defined_views()[name]}) WHERE toString({column}) != 'p01'"
    )
    (difference,) = wrong(changed)
    assert difference.name == name
    assert "'p01'" in str(difference.actual)


@pytest.mark.parametrize(
    ("statement", "actual", "kind"),
    [
        ("CREATE OR REPLACE VIEW refunds AS SELECT * FROM refund_rows", "SELECT * FROM refund_rows", None),
        ("DROP VIEW refunds", None, None),
        ("CREATE OR REPLACE TABLE refunds (a Int8) ENGINE = Memory", None, "Memory"),
        (
            (
                "CREATE OR REPLACE VIEW alerts AS SELECT account_id, day, at, kind, credit_type, mark, balance, "
                "source_partition, source_offset, position FROM copies.alert_rows FINAL"
            ),
            (
                "SELECT account_id, day, at, kind, credit_type, mark, balance, source_partition, source_offset, "
                "position FROM copies.alert_rows FINAL"
            ),
            None,
        ),
    ],
)
def test_other_ways_to_change_one(changed: Sink, statement: str, actual: str | None, kind: str | None) -> None:
    changed.execute("CREATE DATABASE IF NOT EXISTS copies")
    changed.execute("CREATE TABLE IF NOT EXISTS copies.alert_rows AS alert_rows")
    if "TABLE refunds" in statement:
        changed.execute("DROP VIEW refunds")
    changed.execute(statement)
    (difference,) = wrong(changed)
    assert (difference.actual, difference.kind) == (actual, kind)


def test_the_last_migration_counts(tmp_path: Path) -> None:
    (tmp_path / "0001_a.sql").write_text(
        "CREATE VIEW IF NOT EXISTS v AS SELECT 1;\nCREATE VIEW IF NOT EXISTS w AS SELECT 2;"
    )
    (tmp_path / "0002_b.sql").write_text("CREATE OR REPLACE VIEW v AS SELECT 3;\nDROP VIEW IF EXISTS w;")
    assert defined_views(tmp_path) == {"v": "SELECT 3"}

"""Migrations are numbered, applied once, and never changed."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Iterator
from itertools import compress
from pathlib import Path
from typing import Any

import pytest

from sinks.embedded import EmbeddedSink
from sinks.inserts import BALANCE, CURRENT, inserts_of
from sinks.migrate import FOLDER, Migration, check_schema, migrate, migrations, pending_migrations
from sinks.packed import PACKING, unpacked
from sinks.rows import RecordBatches, to_columns
from sinks.sink import Sink, SinkRejected
from tests.sinks.conftest import server_sink
from tests.sinks.outputs import load, random_log

pytestmark = pytest.mark.slow


@pytest.fixture
def steps(tmp_path: Path) -> Path:
    folder = tmp_path / "migrations"
    folder.mkdir()
    (folder / "0001_first.sql").write_text("-- one; two\nCREATE TABLE IF NOT EXISTS a (x Int8) ENGINE = Memory;\n")
    return folder


def test_steps_are_applied_once_in_order_and_checked(folder: Path, steps: Path) -> None:
    sink = EmbeddedSink(folder)
    with pytest.raises(SinkRejected, match="behind: apply 0001_first with `creditmeter migrate`"):
        check_schema(sink, folder=steps)
    assert [step.name for step in migrate(sink, dry_run=True, folder=steps)] == ["first"]
    assert sink.query("EXISTS TABLE a").rows == [(0,)]
    assert sink.query("EXISTS TABLE schema_migrations").rows == [(0,)]

    assert [step.name for step in migrate(sink, folder=steps)] == ["first"]
    assert migrate(sink, folder=steps) == []
    check_schema(sink, folder=steps)

    (steps / "0002_second.sql").write_text("ALTER TABLE a ADD COLUMN y Int8;\n\nCREATE VIEW v AS SELECT y FROM a;")
    assert [step.number for step in migrate(sink, folder=steps)] == [2]
    assert sink.query("SELECT * FROM v").columns == ["y"]

    first = steps / "0001_first.sql"
    text = first.read_text()
    first.write_text(text + " ")
    with pytest.raises(SinkRejected, match="0001_first was applied with another content"):
        check_schema(sink, folder=steps)
    first.write_text(text)

    (steps / "0002_second.sql").unlink()
    with pytest.raises(SinkRejected, match="ahead: migration 0002"):
        pending_migrations(sink, steps)
    sink.close()


def test_a_step_cut_short_is_applied_again(folder: Path, steps: Path) -> None:
    sink = EmbeddedSink(folder)
    (steps / "0002_second.sql").write_text("CREATE TABLE IF NOT EXISTS b (x Int8) ENGINE = Memory;\nCREATE nonsense;")
    with pytest.raises(SinkRejected):
        migrate(sink, folder=steps)
    assert [step.number for step in pending_migrations(sink, steps)] == [2]
    (steps / "0002_second.sql").write_text("CREATE TABLE IF NOT EXISTS b (x Int8) ENGINE = Memory;")
    migrate(sink, folder=steps)
    check_schema(sink, folder=steps)
    sink.close()


@pytest.mark.parametrize(
    "names", [["0002_a.sql"], ["0001_a.sql", "0001_b.sql"], ["0001_a.sql", "0003_b.sql"], ["1.sql"]]
)
def test_numbers_have_no_gaps_and_no_doubles(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        (tmp_path / name).write_text("SELECT 1;")
    with pytest.raises(ValueError, match="migration"):
        migrations(tmp_path)


def test_every_statement_of_ours_does_nothing_where_its_object_exists() -> None:
    """So that a migration that a crash cut short can be applied again. What it inserts replaces itself."""
    for step in migrations(FOLDER):
        assert step.statements
        for statement in step.statements:
            first = statement.splitlines()[0]
            # What is set again, or written again, is the same again.
            is_same = re.match(r"ALTER TABLE \w+ (MODIFY SETTING|MATERIALIZE INDEX) |OPTIMIZE TABLE ", first)
            assert (
                is_same
                or "IF NOT EXISTS" in first
                or first.startswith(
                    (
                        "DROP VIEW IF EXISTS",
                        "DROP TABLE IF EXISTS latest_balance_rows",  # its rows are in current_rows then
                        "INSERT INTO latest_balance_rows",
                        f"INSERT INTO {CURRENT}",
                    )
                )
            )


@pytest.fixture(params=["embedded", pytest.param("server", marks=pytest.mark.clickhouse_server)])
def fresh(request: pytest.FixtureRequest, folder: Path) -> Iterator[Sink]:
    """A store with nothing in it."""
    if request.param == "embedded":
        sink: Sink = EmbeddedSink(folder)
    else:
        sink = server_sink(request.getfixturevalue("clickhouse_server"))
    yield sink
    sink.close()


def test_a_store_of_the_version_before_is_brought_up_with_its_rows(fresh: Sink, tmp_path: Path) -> None:
    """Up to 0003 there were no holds, no settings, no latest rows, and a refund without its event's time."""
    migrate(fresh, folder=up_to(3, tmp_path))
    log = random_log(0)
    for name, batch in log.batches:
        if name != "AccountBatch":
            table, columns = to_columns(name, RecordBatches(name, [batch]))
            later = ("hold_id",) if name == "BilledBatch" else ("occurred_at",) if name == "RefundBatch" else ()
            fresh.insert(table, {column: values for column, values in columns.items() if column not in later})
    kept = "SELECT account_id, credit_type, balance, lapsed, balance_after, source_offset FROM balances ORDER BY 1, 2"
    balances = fresh.query(kept).rows
    assert balances
    refunds = fresh.query("SELECT refund_id, line, credits FROM refunds ORDER BY refund_id, line").rows

    migrate(fresh)
    assert fresh.query(kept).rows == balances
    assert fresh.query("SELECT refund_id, line, credits FROM refunds ORDER BY refund_id, line").rows == refunds
    named = fresh.query("SELECT endpoint, action, isNull(occurred_at) FROM refunds WHERE status = 'refunded'").rows
    assert set(named) == {("/v1/lookup", "IP lookup", 1)}
    assert fresh.query("SELECT count() FROM billed_events WHERE isNotNull(hold_id)").rows == [(0,)]

    load(fresh, log.batches)  # its topics once more, by this version
    assert fresh.query(kept).rows == balances
    assert len(fresh.query("SELECT account_id FROM accounts").rows) == 2


def test_comments_and_semicolons() -> None:
    step = Migration(1, "x", "-- a; b\nSELECT ';' ;\n  -- c\nSELECT 2\n")
    assert step.statements == ["SELECT ';'", "SELECT 2"]


def up_to(number: int, tmp_path: Path) -> Path:
    """A folder with the first migrations alone."""
    before = tmp_path / "before"
    before.mkdir()
    for step in sorted(FOLDER.glob("*.sql"))[:number]:
        shutil.copy(step, before)
    return before


def test_rows_of_before_are_packed_as_those_that_come(folder: Path, tmp_path: Path) -> None:
    sink = EmbeddedSink(folder)
    migrate(sink, folder=up_to(13, tmp_path))
    batches = random_log(3).batches
    load_as_of_13(sink, batches[: len(batches) // 2])
    assert [step.number for step in migrate(sink)] == [14, 15, 16]
    load(sink, batches)
    rows = sink.query(f"SELECT packed, {PACKING}, toUnixTimestamp64Milli(at), version FROM {CURRENT}").rows
    assert len(rows) > 5
    for packed, expected, at, version in rows:
        assert packed == expected
        row = unpacked(packed)
        assert (row["at"], row["version"]) == (at, version)
    files = sink.query(f"SELECT DISTINCT part_type FROM system.parts WHERE active AND table = '{CURRENT}'").rows
    assert files == [("Compact",)]
    sink.close()


def load_as_of_13(sink: Sink, batches: Iterable[tuple[str, dict[str, Any]]]) -> None:
    """As `load` when newest balances had a table of their own."""
    for name, batch in batches:
        for table, columns in inserts_of(name, [batch]):
            is_balance = [kind == BALANCE for kind in columns["kind"]] if table == CURRENT else []
            if any(is_balance):
                balances = {column: list(compress(values, is_balance)) for column, values in columns.items()}
                balances["credit_type"] = [types[0] for types in balances.pop("credit_types")]
                balances["origin"] = balances.pop("status")
                sink.insert("latest_balance_rows", {column: balances[column] for column in OF_BALANCES})
            others = [not is_one for is_one in is_balance] or [True] * len(columns["version"])
            if any(others):
                sink.insert(table, {column: list(compress(values, others)) for column, values in columns.items()})


OF_BALANCES = (
    "account_id", "credit_type", "origin", "balance_after", "at", "source_partition", "source_offset", "position",
    "version",
)  # fmt: skip


def test_new_parts_of_billed_rows_are_one_file(folder: Path, tmp_path: Path) -> None:
    sink = EmbeddedSink(folder)
    migrate(sink, folder=up_to(15, tmp_path))
    sink.execute("ALTER TABLE billed_rows MODIFY SETTING min_bytes_for_wide_part = 1")
    batches = random_log(3).batches
    load(sink, batches[: len(batches) // 2])
    parts = "SELECT DISTINCT part_type FROM system.parts WHERE active AND table = 'billed_rows' ORDER BY part_type"
    assert sink.query(parts).rows == [("Wide",)]
    migrate(sink)
    load(sink, batches[len(batches) // 2 :])
    assert ("Compact",) in sink.query(parts).rows
    lines = sum(len(batch["events"]) for name, batch in batches if name == "BilledBatch")
    assert sink.query("SELECT count() FROM billed_rows FINAL").rows == [(lines,)]
    sink.close()


@pytest.mark.parametrize("done", range(5))
def test_newest_balances_move_whole_wherever_a_crash_cuts_it(folder: Path, tmp_path: Path, done: int) -> None:
    sink = EmbeddedSink(folder)
    migrate(sink, folder=up_to(14, tmp_path))
    load_as_of_13(sink, random_log(5).batches)
    named = f"SELECT {', '.join(OF_BALANCES)} FROM latest_balance_rows{{}} ORDER BY 1, 2, 3"
    kept = sink.query(named.format(" FINAL")).rows
    balances = sink.query("SELECT * FROM balances ORDER BY account_id, credit_type").rows
    assert len(kept) > 3
    move, _compact = pending_migrations(sink)
    for statement in move.statements[:done]:
        sink.execute(statement)
    migrate(sink)
    assert sink.query(named.format("").replace("latest_balance_rows", newest_balances())).rows == kept
    assert sink.query("SELECT * FROM balances ORDER BY account_id, credit_type").rows == balances
    sink.close()


def newest_balances() -> str:
    """The view, of whose rows with equal keys the highest version counts."""
    key = "account_id, credit_type, origin"
    return f"(SELECT * FROM latest_balance_rows ORDER BY {key}, version DESC LIMIT 1 BY {key})"

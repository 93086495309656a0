"""What a reader may not do: each attempt is made, on each sink, and leaves nothing behind."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sinks.embedded import EmbeddedSink
from sinks.sink import Sink, SinkRejected
from sinks.statements import check_canonical, check_statement
from tests.metering.meter import NOON, request
from tests.sinks.outputs import Log, load

pytestmark = pytest.mark.slow

SECRET = "the-secret-of-this-machine"

WRITES = [
    "INSERT INTO billed_rows (event_id) VALUES ('x')",
    "DROP TABLE billed_rows",
    "TRUNCATE TABLE billed_rows",
    "ALTER TABLE billed_rows DELETE WHERE 1",
    "ALTER TABLE billed_rows DROP COLUMN plan",
    "RENAME TABLE billed_rows TO gone",
    "DETACH TABLE billed_rows",
    "OPTIMIZE TABLE billed_rows FINAL",
    "CREATE TABLE more (a Int8) ENGINE = Memory",
    "CREATE TEMPORARY TABLE more (a Int8)",
    "CREATE VIEW more AS SELECT 1",
    "CREATE FUNCTION more AS x -> x",
    "CREATE DATABASE more",
    "ATTACH TABLE more (a Int8) ENGINE = Log",
    "SYSTEM FLUSH LOGS",
    "SYSTEM SHUTDOWN",
    "KILL QUERY WHERE 1",
    "GRANT ALL ON *.* TO default",
    "BACKUP TABLE billed_rows TO File('x')",
    "SET readonly = 0",
    "SET max_threads = 1",
    "USE system",
    "SELECT 1; DROP TABLE billed_rows",
    "SELECT 1 SETTINGS readonly = 0",
    "(SELECT 1) ; SELECT 2",
    "/* SELECT */ DROP TABLE billed_rows",
    "-- SELECT\nDROP TABLE billed_rows",
    "EXPLAIN SYNTAX DROP TABLE billed_rows; DROP TABLE billed_rows",
    "",
    " -- nothing",
    "SELECT '\0'",
]
REACHES = [
    "SELECT file('{file}')",
    "SELECT FILE('{file}')",
    "SELECT `file`('{file}')",
    "SELECT \"file\"('{file}')",
    "SELECT `fi\\x6ce`('{file}')",
    "SELECT/**/file/**/('{file}')",
    "SELECT * APPLY(file) FROM (SELECT '{file}')",
    "SELECT arrayMap(file, ['{file}'])",
    "SELECT arrayMap(x -> file(x), ['{file}'])",
    "WITH (SELECT file('{file}')) AS x SELECT x",
    "SELECT * FROM view(SELECT file('{file}'))",
    "SELECT 'it''s' , file('{file}') --'",
    "SELECT $$'$$, file('{file}'), $$'$$",
    "EXPLAIN SELECT file('{file}')",
    "EXPLAIN SYNTAX SELECT file('{file}')",
    "SELECT * FROM file('{file}', 'LineAsString', 'line String')",
    "SELECT * FROM file('{file}')",
    "SELECT * FROM '{file}'",
    "SELECT * FROM `{file}`",
    "DESCRIBE file('{file}', 'LineAsString')",
    "DESCRIBE TABLE '{file}'",
    "SELECT * FROM fileCluster('default', '{file}', 'LineAsString')",
    "SELECT * FROM filesystem('{folder}')",
    "SELECT * FROM sqlite('{file}', 't')",
    "SELECT * FROM icebergLocal('{folder}')",
    "SELECT * FROM deltaLakeLocal('{folder}')",
    "SELECT * FROM url('http://127.0.0.1:9/x', 'LineAsString', 'line String')",
    "DESCRIBE url('http://127.0.0.1:9/x')",
    "SELECT * FROM s3('http://127.0.0.1:9/bucket/x.csv', 'CSV', 'a String')",
    "SELECT * FROM remote('127.0.0.1:9', system.one)",
    "SELECT * FROM mysql('127.0.0.1:9', 'a', 'b', 'c', 'd')",
    "SELECT * FROM postgresql('127.0.0.1:9', 'a', 'b', 'c', 'd')",
    "SELECT * FROM executable('touch {out}', 'TSV', 'a String')",
    "DESCRIBE executable('touch {out}', 'TSV')",
    "SELECT * FROM python('SECRET')",
    "SELECT * FROM Python(SECRET)",
    "SELECT * FROM SECRET",
    "SELECT 1 INTO OUTFILE '{out}'",
    "SELECT 1 INTO /**/ OUTFILE '{out}' TRUNCATE FORMAT CSV",
    "EXPLAIN SYNTAX SELECT 1 INTO OUTFILE '{out}'",
    "EXPLAIN AST SELECT 1 INTO OUTFILE '{out}'",
    "SELECT aiGenerate('x')",
]


@pytest.mark.parametrize("statement", WRITES)
def test_a_reader_cannot_write_or_change_settings(sink: Sink, statement: str) -> None:
    log = Log()
    log.message(("request", request("e1", NOON, ip="10.0.0.1")))
    load(sink, log.batches)
    with pytest.raises(SinkRejected):
        sink.query(statement)
    with pytest.raises(SinkRejected):
        sink.query_text(statement, "CSV")
    assert sink.query("SELECT count() FROM billed_rows").rows == [(1,)]
    assert sink.query("EXISTS TABLE more").rows == [(0,)]


@pytest.mark.parametrize("statement", REACHES)
def test_a_reader_cannot_reach_files_addresses_or_programs(sink: Sink, tmp_path: Path, statement: str) -> None:
    places = {"file": tmp_path / "secret.txt", "folder": tmp_path, "out": tmp_path / "out"}
    places["file"].write_text(SECRET)
    sql = statement.format(**places)
    with pytest.raises(SinkRejected) as caught:
        sink.query(sql)
    assert SECRET not in str(caught.value)
    with pytest.raises(SinkRejected):
        sink.query_text(sql, "CSV")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT count() FROM billed_events",
        "  -- how many\n/* lines */ select 1 -- of them;",
        "WITH 1 AS x SELECT x",
        "(SELECT 1)",
        "SHOW TABLES",
        "DESCRIBE TABLE billed_events",
        "EXISTS TABLE billed_events",
        "SELECT 'a; DROP TABLE billed_rows'",
        "SELECT 'into outfile', 'file(x)', 'it''s \\'quoted\\''",
        "SELECT 1;",
        "SELECT a.format FROM (SELECT 1 AS format) AS a",
    ],
)
def test_what_reads_is_allowed(sink: Sink, statement: str) -> None:
    if sink.__class__.__name__ == "OldServerSink" and statement.startswith("WITH"):
        assert sink.query("WITH 1 AS x SELECT x").rows == [(1,)]
    assert sink.query(statement).columns


def test_a_word_for_a_function_may_be_in_a_string_or_a_column_of_a_table() -> None:
    check_canonical("SELECT 'file', t.file FROM t WHERE name = 'it\\'s a file('")
    with pytest.raises(SinkRejected, match="file"):
        check_canonical("SELECT file FROM t")
    with pytest.raises(SinkRejected, match="OUTFILE"):
        check_canonical("SELECT 1 INTO OUTFILE 'x'")
    with pytest.raises(SinkRejected, match="FORMAT"):
        check_canonical("SELECT 1 FORMAT Null")
    assert check_statement(" /* a */ SELECT 1 ; ") == "SELECT 1"


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT 1 SETTINGS max_threads = 1",
        "SELECT * FROM (SELECT 1 SETTINGS max_memory_usage = 0)",
        "SELECT 1 WHERE 1 IN (SELECT 1 SETTINGS `max_execution_time` = 0, max_threads = 1)",
        "WITH x AS (SELECT 1 SETTINGS max_threads = DEFAULT) SELECT * FROM x",
        "SELECT 1 UNION ALL SELECT 2 settings max_threads=1",
        "SELECT * FROM view(SELECT 1 SETTINGS max_threads=1)",
        "EXPLAIN SELECT 1 SETTINGS max_threads = 1",
    ],
)
def test_no_clause_sets_anything_wherever_it_stands(sink: Sink, statement: str) -> None:
    with pytest.raises(SinkRejected):
        sink.query(statement)
    if "WITH" not in statement:
        with pytest.raises(SinkRejected, match="SETTINGS"):
            check_canonical(statement)


def test_settings_may_be_a_word_elsewhere() -> None:
    check_canonical(
        "SELECT settings, `SETTINGS` = 1, 'SETTINGS a = 1' FROM system.settings WHERE name = 'x' AND settings = 1"
    )


def test_the_engine_ignores_a_config_that_lies_about(embedded: EmbeddedSink, tmp_path: Path) -> None:
    """The user of the engine has no right to any source, whoever asks."""
    with pytest.raises(SinkRejected, match="privileges"):
        embedded.query(f"SELECT * FROM file('{os.devnull}', 'LineAsString', 'a String')", readonly=False)

"""ClickHouse inside this process (chDB): one data directory, one process, any number of threads."""

from __future__ import annotations

import atexit
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from sinks.arrow import arrow_stream, names_of
from sinks.engine import ChdbError, Connection, connect
from sinks.errors import code_of, insert_failed, reading_failed
from sinks.folder import FolderLock, keep_store_id, prepared, write_engine_config
from sinks.formats import FOR_PEOPLE, SHOWN_ROWS, as_text, check_readable, format_name
from sinks.idle_connections import IdleConnections
from sinks.limits import check_size, engine_limits
from sinks.parameters import Parameters, engine_texts
from sinks.session import SESSION_TIMEZONE
from sinks.sink import DEFAULT_LIMITS, NONE, Columns, Limits, Result, SinkRejected, SinkUnavailable
from sinks.statements import check_canonical, check_statement, first_word, spelling_query
from sinks.values import JSON_FORMAT, JSON_SETTINGS, result_of

WRITING: Mapping[str, int | str] = {
    **SESSION_TIMEZONE,
    "async_insert": 0,
    # Rows of equal keys are merged in the background and by FINAL; doing it within the insert doubles its cost.
    "optimize_on_insert": 0,
    # A batch may hold late events of any month.
    "max_partitions_per_insert_block": 0,
    # A group of rows is small: more threads cost more than they save.
    "max_threads": 1,
}
# A text format is for programs that expect UTF-8: what is none (a dead letter's original) shows as U+FFFD there.
TEXT: Mapping[str, int] = {"output_format_json_validate_utf8": 1}
_INCOMING = "creditmeter_incoming"
_REMEMBERED, _LONGEST_REMEMBERED = 1_000, 8_192
"""How many statements that were looked at are remembered, and how long they may be."""
READING: Mapping[str, int | str] = {
    **SESSION_TIMEZONE,
    **JSON_SETTINGS,
    # A row's key and partition never change, so that rows of equal keys are always in one partition.
    "do_not_merge_across_partitions_select_final": 1,
    "join_use_nulls": 0,
    "output_format_pretty_color": 0,
}


class EmbeddedSink:
    """A Sink on a data directory, held by a lock file. The engine starts here and ends at ``close``.

    Inserts take turns on one connection; a statement that reads has one to itself while it runs, so that threads may
    read while the loader inserts. Never fork a process that holds one: the child hangs.
    """

    def __init__(self, folder: Path, database: str = "creditmeter", *, is_held: bool = False) -> None:
        """Raises SinkUnavailable when another process holds the directory.

        ``is_held``: the process that started this one holds it for both.
        """
        self.folder = prepared(folder)
        self._lock = None if is_held else FolderLock(self.folder)
        self._database = database
        self._types: dict[str, dict[str, str]] = {}
        self._incoming: dict[tuple[str, str], str] = {}
        """Tables in memory that rows arrive in, by table and columns."""
        self._harmless: set[str] = set()
        self._idle = IdleConnections()
        self._turn = threading.Lock()
        self._open = True
        try:
            self.store_id = keep_store_id(self.folder)
            config = write_engine_config(self.folder)
            self._writer = self._connect(_options({"config-file": config, **WRITING}))
        except BaseException:
            self._release()
            raise
        # An engine that is still open when the interpreter ends takes the process down with a segmentation fault.
        atexit.register(self.close)
        self.execute(f"CREATE DATABASE IF NOT EXISTS {database}")
        self.execute(f"USE {database}")

    def insert(self, table: str, columns: Columns) -> None:
        """See Sink.insert. Rows are on the disk (fsync) when it returns; about 10 µs of CPU a row, merges included."""
        if not columns or not len(next(iter(columns.values()))):
            return
        stream = arrow_stream(table, self._types_of(table), columns)
        self.insert_stream(table, names_of(columns), stream, len(next(iter(columns.values()))))

    def insert_stream(self, table: str, names: str, stream: bytes, rows: int) -> None:
        """``insert`` for rows that are an Arrow stream already; ``names`` are its columns, as in a statement."""
        with self._turn:
            try:
                self._insert(table, names, stream, rows)
            except (ChdbError, RuntimeError) as error:
                raise insert_failed(code_of(str(error)), str(error), table) from error

    def _insert(self, table: str, names: str, stream: bytes, rows: int) -> None:
        """By way of a table in memory: a streamed insert reports success even where the disk took nothing of it.

        The statement that goes on to the disk is a plain one, and those report what fails.
        """
        incoming = self._incoming_of(table, names)
        try:
            with self._writer.send_insert(f"INSERT INTO {incoming} ({names})", "ArrowStream") as insert:
                insert.append(stream)
                insert.finish()
            # Names of tables and columns are ours, never a reader's.
            done = self._writer.query(f"INSERT INTO {table} ({names}) SELECT * FROM {incoming}")  # noqa: S608
            self._writer.query(f"TRUNCATE TABLE {incoming}")
        except BaseException:
            self._drop_incoming()
            raise
        if (arrived := done.storage_rows_read()) != rows:
            raise SinkUnavailable(f"{table}: the engine took {arrived} of {rows} rows")

    def _incoming_of(self, table: str, names: str) -> str:
        """The empty table in memory for these columns. It stays: making it takes longer than filling it."""
        incoming = self._incoming.get((table, names))
        if incoming is None:
            incoming = f"{_INCOMING}_{len(self._incoming)}"
            empty = f"SELECT {names} FROM {table} LIMIT 0"  # noqa: S608
            self._writer.query(f"CREATE OR REPLACE TEMPORARY TABLE {incoming} ENGINE = Memory AS {empty}")
            self._incoming[table, names] = incoming
        return incoming

    def _drop_incoming(self) -> None:
        """Nothing of an insert that failed stays for the next one, nor columns of tables that may have changed."""
        dropped = list(self._incoming.values())
        self._incoming.clear()
        for incoming in dropped:
            with suppress(ChdbError, RuntimeError):  # what failed before is what is to be said; a name is taken over
                self._writer.query(f"DROP TEMPORARY TABLE IF EXISTS {incoming}")

    def execute(self, ddl: str) -> None:
        with self._turn:
            try:
                self._drop_incoming()
                self._writer.query(ddl)
            except (ChdbError, RuntimeError) as error:
                raise insert_failed(code_of(str(error)), str(error), "schema") from error
        self._types.clear()

    def query(
        self, sql: str, *, readonly: bool = True, limits: Limits = DEFAULT_LIMITS, parameters: Parameters = NONE
    ) -> Result:
        return result_of(self.query_json(sql, readonly=readonly, limits=limits, parameters=parameters))

    def query_json(
        self, sql: str, *, readonly: bool = True, limits: Limits = DEFAULT_LIMITS, parameters: Parameters = NONE
    ) -> bytes:
        """What ``query`` makes its result of: text in ``values.JSON_FORMAT``."""
        return self._read(sql, JSON_FORMAT, parameters, readonly=readonly, limits=limits)

    def query_text(
        self, sql: str, output_format: str, *, limits: Limits = DEFAULT_LIMITS, parameters: Parameters = NONE
    ) -> bytes:
        name = format_name(output_format)
        if name not in FOR_PEOPLE:
            return self._read(sql, name, parameters, readonly=True, limits=limits, more=TEXT)
        # One row more than is shown. (EXPLAIN would show the limit as a step of the statement.)
        fewer = {} if first_word(sql) == "explain" else {"limit": SHOWN_ROWS + 1}
        data = self._read(sql, JSON_FORMAT, parameters, readonly=True, limits=limits, more=fewer)
        check_readable(len(data))
        return as_text(result_of(data), name, limits)

    def close(self) -> None:
        if self._open:
            self._open = False
            atexit.unregister(self.close)
            self._idle.close()
            self._writer.close()
            self._release()

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.release()

    def _read(
        self, sql: str, engine_output: str, parameters: Parameters, *, readonly: bool, limits: Limits,
        more: Mapping[str, int] | None = None,
    ) -> bytes:  # fmt: skip
        text = check_statement(sql) if readonly else sql
        settings = _options({**READING, **(more or {}), "readonly": int(readonly), **engine_limits(limits)})
        connection = self._idle.take(settings)
        is_new = connection is None
        if connection is None:
            connection = self._connect(settings)
        is_reusable = False
        try:
            if is_new:
                connection.query(f"USE {self._database}")
            if readonly and text not in self._harmless:
                self._guard(connection, text)
                self._remember(text)
            answer = connection.query(text, engine_output, params=engine_texts(parameters))
            check_size(answer.rows_read(), answer.size(), limits)
            data: bytes = answer.bytes()
            is_reusable = readonly  # a statement that may only read leaves nothing behind in its connection
        except (ChdbError, RuntimeError) as error:
            raise reading_failed(code_of(str(error)), str(error)) from error
        finally:
            if is_reusable:
                self._idle.put(settings, connection)
            else:
                connection.close()
        return data

    def _guard(self, connection: Any, text: str) -> None:
        """Refuses what the engine's own parser takes for more than one reading statement."""
        spelled = connection.query(spelling_query(text), "RawBLOB").bytes()
        check_canonical(spelled.decode("utf-8", "replace"))
        verdict = connection._conn.classify_query(text)  # noqa: SLF001 - the public class does not pass it on
        if verdict["query_class"].name != "READ_ONLY" or verdict["statement_count"] != 1:
            raise SinkRejected("only one reading statement is allowed here")

    def _remember(self, text: str) -> None:
        """Statements with parameters come again and again with the same text: looking at one costs 3 ms of CPU."""
        if len(self._harmless) >= _REMEMBERED:
            self._harmless.clear()
        if len(text) <= _LONGEST_REMEMBERED:
            self._harmless.add(text)

    def _types_of(self, table: str) -> dict[str, str]:
        if table not in self._types:
            described = self.query(f"DESCRIBE TABLE {table}", readonly=False)
            self._types[table] = {row[0]: row[1] for row in described.rows}
        return self._types[table]

    def _connect(self, options: str) -> Connection:
        try:
            return connect(f"{self.folder}?{options}")
        except RuntimeError as error:
            raise SinkUnavailable(f"the embedded ClickHouse in {self.folder} did not start: {error}") from error


def _options(settings: Mapping[str, object]) -> str:
    """Settings as a connection is given them."""
    return "&".join(f"{name}={value}" for name, value in settings.items())

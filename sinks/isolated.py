"""ClickHouse in a process of its own (chDB), which is killed where a statement takes more than it may.

The engine itself holds most statements to their limits. One long expression it cannot interrupt, its limit of memory
does not know all that is allocated, and a statement may crash it: then only its process ends, and is started again.
Rows are safe: an insert has stored them when it returns, and is made again after any failure.
"""

from __future__ import annotations

import atexit
import logging
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sinks.arrow import arrow_stream, names_of
from sinks.channel import AnswerTooLate, ChannelClosed, raise_failure
from sinks.engine_handle import EngineHandle, Kill
from sinks.errors import TOOK_TOO_MUCH
from sinks.folder import FolderLock, keep_store_id, prepared
from sinks.parameters import Parameters
from sinks.sink import DEFAULT_LIMITS, NONE, Columns, Limits, Result, SinkRejected, SinkUnavailable
from sinks.values import result_of

logger = logging.getLogger(__name__)

GRACE = 8.0
"""Seconds beyond a statement's own after which the engine's process is ended."""
ENGINE_MEMORY = 3 * 1024 * 1024 * 1024
"""Bytes of memory that the engine's process may have while it answers; beyond them it is ended.

Its own, its caches and two statements at their limits fit into it."""


class IsolatedSink:
    """A Sink on a data directory, held by a lock file; the engine runs in a process that belongs to this one.

    ``grace`` in seconds and ``memory`` in bytes: see GRACE and ENGINE_MEMORY. Threads may read while others insert.
    """

    def __init__(
        self, folder: Path, database: str = "creditmeter", *, grace: float = GRACE, memory: int = ENGINE_MEMORY
    ) -> None:
        """Raises SinkUnavailable when another process holds the directory, or the engine does not start."""
        self.folder = prepared(folder)
        self._database = database
        self._grace = grace
        self._memory = memory
        self._types: dict[str, dict[str, str]] = {}
        self._starting = threading.Lock()
        self._inserting = threading.Lock()
        self._is_open = True
        self._lock = FolderLock(self.folder)
        try:
            self.store_id = keep_store_id(self.folder)
            self._engine = self._started()
        except BaseException:
            self._lock.release()
            raise
        atexit.register(self.close)

    @property
    def engine_pid(self) -> int:
        """The process that has the engine now; another one after each that was ended."""
        return self._engine.pid

    def insert(self, table: str, columns: Columns) -> None:
        """See Sink.insert. Rows are on the disk (fsync) when it returns."""
        if not columns or not len(next(iter(columns.values()))):
            return
        rows = len(next(iter(columns.values())))
        stream = arrow_stream(table, self._types_of(table), columns)
        self._write({"call": "insert", "table": table, "names": names_of(columns), "rows": rows}, stream, table)

    def execute(self, ddl: str) -> None:
        self._write({"call": "execute"}, ddl.encode(), "schema")
        self._types.clear()

    def query(
        self, sql: str, *, readonly: bool = True, limits: Limits = DEFAULT_LIMITS, parameters: Parameters = NONE
    ) -> Result:
        asked = {"call": "query", "readonly": readonly}
        return result_of(self._read(asked, sql, limits, parameters, is_bounded=readonly))

    def query_text(
        self, sql: str, output_format: str, *, limits: Limits = DEFAULT_LIMITS, parameters: Parameters = NONE
    ) -> bytes:
        return self._read({"call": "query_text", "format": output_format}, sql, limits, parameters)

    def close(self) -> None:
        with self._starting:
            if self._is_open:
                self._is_open = False
                atexit.unregister(self.close)
                self._engine.end()
                self._lock.release()

    def _write(self, header: dict[str, Any], body: bytes, what: str) -> None:
        with self._inserting:
            engine = self._running()
            try:
                answer = engine.writer.ask(header, body)
            except ChannelClosed:
                engine.kill(Kill.ENDED)  # waits until it has ended: the next insert starts it again
                raise SinkUnavailable(f"{what}: the embedded ClickHouse ended, and is started again") from None
        raise_failure(answer.header)

    def _read(
        self, header: dict[str, Any], sql: str, limits: Limits, parameters: Parameters, *, is_bounded: bool = True
    ) -> bytes:
        """The answer to a reading statement, asked once more where the engine was ended because of another one."""
        try:
            body = sql.encode()
        except UnicodeEncodeError:
            raise SinkRejected("the statement is not UTF-8") from None
        question = {**header, "limits": asdict(limits), "parameters": dict(parameters)}
        seconds = limits.seconds + self._grace if is_bounded else None
        for _ in range(_TRIES):
            engine = self._running()
            try:
                with engine.reading() as channel:
                    answer = channel.ask(question, body, seconds)
            except AnswerTooLate:
                engine.kill(Kill.TOO_LONG)
                raise SinkRejected(f"{TOOK_TOO_MUCH}: it was not done after {limits.seconds} s. {_ADVICE}") from None
            except ChannelClosed:
                self._raise_if_it_was_why(engine)
                continue
            raise_failure(answer.header)
            return answer.body
        raise SinkUnavailable(f"the embedded ClickHouse ended twice ({engine.exit_words}): ask again")

    def _raise_if_it_was_why(self, engine: EngineHandle) -> None:
        """Raises where a statement is why the engine ended; returns where it may have been another one."""
        engine.kill(Kill.ENDED)  # waits until it has ended; of an earlier kill the reason is kept
        if engine.killed is Kill.ENDED:
            raise SinkUnavailable(f"the embedded ClickHouse ended by itself ({engine.exit_words}): ask again")
        if engine.killed is Kill.TOO_LARGE and engine.readers_when_killed == 1:
            taken = f"more than {self._memory / 2**30:.1f} GiB of memory"
            raise SinkRejected(f"{TOOK_TOO_MUCH}: {taken}. {_ADVICE}")

    def _running(self) -> EngineHandle:
        """The engine, started again where it has ended. Raises SinkUnavailable."""
        with self._starting:
            if not self._is_open:
                raise SinkUnavailable(f"{self.folder} is closed")
            if not self._engine.is_running:
                logger.warning("the embedded ClickHouse has ended (%s): starting it again", self._engine.exit_words)
                self._engine.kill(Kill.ENDED)
                self._engine = self._started()
            return self._engine

    def _started(self) -> EngineHandle:
        return EngineHandle(self.folder, self._database, self._lock.number, self._memory)

    def _types_of(self, table: str) -> dict[str, str]:
        if table not in self._types:
            described = self.query(f"DESCRIBE TABLE {table}", readonly=False)
            self._types[table] = {row[0]: row[1] for row in described.rows}
        return self._types[table]


_ADVICE = "Ask for less, or add a LIMIT"
_TRIES = 2

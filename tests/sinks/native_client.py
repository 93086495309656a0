"""A current ClickHouse behind clickhouse-driver's own columns, without a server.

chDB reads and writes the native format, which is what the driver speaks over its socket. So the driver's encoding and
decoding of every type of the schema is tried against the current engine, where a current server cannot be had.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from clickhouse_driver import errors
from clickhouse_driver.block import ColumnOrientedBlock
from clickhouse_driver.bufferedreader import BufferedSocketReader
from clickhouse_driver.bufferedwriter import BufferedSocketWriter
from clickhouse_driver.streams.native import BlockInputStream, BlockOutputStream
from clickhouse_driver.util.escape import escape_params

from sinks.engine import ChdbError, connect
from sinks.errors import code_of
from sinks.parameters import Parameters
from sinks.server import ServerAddress, ServerSink
from sinks.sink import NONE

CONTEXT = SimpleNamespace(
    server_info=SimpleNamespace(used_revision=0, get_timezone=lambda: "UTC"),
    client_settings={
        "strings_as_bytes": False, "strings_encoding": "utf-8", "use_numpy": False, "opentelemetry_traceparent": None,
        "opentelemetry_tracestate": "", "quota_key": "", "input_format_null_as_default": False,
        "namedtuple_as_json": True, "server_side_params": False,
    },
    settings={},
)  # fmt: skip


class _Socket:
    """Bytes in memory in place of a connection."""

    def __init__(self, data: bytes = b"") -> None:
        self.data = bytearray(data)

    def sendall(self, data: bytes) -> None:
        self.data += data

    def recv_into(self, buffer: bytearray) -> int:
        count = min(len(buffer), len(self.data))
        buffer[:count] = self.data[:count]
        del self.data[:count]
        return count


def _sent(dumped: str) -> str:
    """A parameter as the server has it: it reads the field that the driver sends, a quoted text, once."""
    assert dumped[:1] == dumped[-1:] == "'", dumped
    return re.sub(r"\\(.)", lambda escape: _ESCAPED.get(escape[1], escape[1]), dumped[1:-1], flags=re.DOTALL)


_ESCAPED = {"b": "\b", "f": "\f", "r": "\r", "n": "\n", "t": "\t", "0": "\0", "a": "\a", "v": "\v"}


class NativeClient:
    """What ServerSink uses of clickhouse_driver.Client, answered by chDB."""

    def __init__(self, folder: Path, database: str, settings: Mapping[str, object]) -> None:
        options = "&".join(f"{name}={value}" for name, value in settings.items())
        self._connection = connect(f"{folder}?{options}")
        self._run(f"USE {database or 'default'}", "Native")

    def execute(
        self,
        sql: str,
        params: list[list[Any]] | Parameters | None = None,
        *,
        columnar: bool = False,
        with_column_types: bool = False,
    ) -> Any:
        if isinstance(params, list):
            assert columnar
            return self._insert(sql, params)
        rows, described = self._decoded(self._run(sql, "Native", params or {}))
        return (rows, described) if with_column_types else rows

    def disconnect(self) -> None:
        self._connection.close()

    def _insert(self, sql: str, values: list[list[Any]]) -> None:
        table, names = re.fullmatch(r"INSERT INTO (\w+) \((.*)\) VALUES", sql).groups()  # type: ignore[union-attr]
        rows, _ = self._decoded(self._run(f"DESCRIBE TABLE {table}", "Native"))
        types = {row[0]: row[1] for row in rows}
        wanted = [name.strip("` ") for name in names.split(",")]
        socket = _Socket()
        stream = BlockOutputStream(BufferedSocketWriter(socket, 65_536), CONTEXT)
        columns = [(name, types[name]) for name in wanted]
        stream.write(ColumnOrientedBlock(columns, values, types_check=False))
        try:
            with self._connection.send_insert(sql.removesuffix(" VALUES"), "Native") as insert:
                insert.append(bytes(socket.data))
                insert.finish()
        except RuntimeError as error:
            raise errors.ServerException(str(error), code_of(str(error))) from error

    def _run(self, sql: str, output_format: str, parameters: Parameters = NONE) -> bytes:
        """Parameters take the driver's own way: quoted as a field of text, which the server reads."""
        texts = {name: _sent(value) for name, value in escape_params(parameters, CONTEXT, for_server=True).items()}
        try:
            return bytes(self._connection.query(sql, output_format, params=texts).bytes())
        except (ChdbError, RuntimeError) as error:
            raise errors.ServerException(str(error), code_of(str(error))) from error

    def _decoded(self, data: bytes) -> tuple[list[tuple[Any, ...]], list[tuple[str, str]]]:
        socket = _Socket(data)
        stream = BlockInputStream(BufferedSocketReader(socket, 1 << 20), CONTEXT)
        rows: list[tuple[Any, ...]] = []
        described: list[tuple[str, str]] = []
        while data:
            try:
                block = stream.read()
            except EOFError:
                break
            described = block.columns_with_types
            rows += block.get_rows()
        return rows, described


class CurrentServerSink(ServerSink):
    """A ServerSink whose server is chDB's engine, opened by somebody else on ``folder``."""

    def __init__(self, folder: Path, database: str) -> None:
        super().__init__(ServerAddress("nowhere", database=database))
        self._folder = folder

    def _connect(self, settings: Mapping[str, object], database: str | None = None) -> Any:
        name = self.address.database if database is None else database
        return NativeClient(self._folder, name, settings)

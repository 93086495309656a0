"""A ClickHouse server, over its native protocol (clickhouse-driver)."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping, Sequence, ValuesView
from dataclasses import dataclass, field
from typing import Any

from clickhouse_driver import Client, errors
from clickhouse_driver.columns import datetimecolumn
from clickhouse_driver.columns.exceptions import ColumnException

from sinks.errors import insert_failed, reading_failed, tidy
from sinks.formats import as_text
from sinks.limits import check_size, engine_limits, text_size
from sinks.parameters import Parameters, driver_values
from sinks.printable import without_secrets
from sinks.session import SESSION_TIMEZONE
from sinks.sink import DEFAULT_LIMITS, NONE, ArrayColumn, Columns, Limits, Result, SinkRejected, SinkUnavailable
from sinks.statements import SPELLING_FUNCTION, check_canonical, check_statement, spelling_query

LEAST_VERSION = (23, 10)
"""The first release with everything that the schema, the views and the readers' limits use (the newest of them is
formatQuerySingleLine)."""
WRITING: Mapping[str, object] = {
    **SESSION_TIMEZONE,
    "async_insert": 0,
    # Rows of equal keys are merged in the background and by FINAL.
    "optimize_on_insert": 0,
    # A batch may hold late events of any month.
    "max_partitions_per_insert_block": 0,
    # A load is one block, so that its rows of one month become one part.
    "max_insert_block_size": 1_048_576,
}
READING: Mapping[str, object] = {
    **SESSION_TIMEZONE,
    "do_not_merge_across_partitions_select_final": 1,
    "join_use_nulls": 0,
}
# The driver reads a time without a zone by this machine's local time where it believes that the server's zone has the
# same name, and errs where TZ is a rule (NPT-5:45) and /etc says UTC. No name is the same: it uses the server's zone.
datetimecolumn.get_localzone_name_compat = lambda: None

_UTC_NAMES = frozenset({"UTC", "Etc/UTC", "Etc/UCT", "UCT", "Zulu", "Universal", "Etc/Universal", "Etc/Zulu", "GMT"})

_NAMED_COLUMN = re.compile(r"[Cc]olumn[: ]+`?([A-Za-z_][A-Za-z0-9_]*)")


@dataclass(frozen=True)
class ServerAddress:
    """Where the server is and who asks. The password is not shown by ``repr``."""

    host: str
    port: int = 9000
    user: str = "default"
    password: str = field(default="", repr=False)
    database: str = "creditmeter"
    secure: bool = False
    timeout: int = 30
    """Seconds to connect, and to wait for each answer."""


class ServerSink:
    """A Sink on a server. Connects when first used, and anew after any failure of the connection.

    Inserts take turns on one connection; each reading statement has one of its own. Every session is in UTC. Raises
    SinkRejected at the first use, before anything is changed, for a server older than ``least_version``. Settings that
    this version of the server does not have are left out.
    """

    least_version = LEAST_VERSION

    def __init__(self, address: ServerAddress) -> None:
        self.address = address
        self._turn = threading.Lock()
        self._writer: Client | None = None
        self._known: frozenset[str] = frozenset()
        self._spells = False

    def insert(self, table: str, columns: Columns) -> None:
        """See Sink.insert. One block of columns; tens of thousands of rows at once are best."""
        names = list(columns)
        if not names or not len(columns[names[0]]):
            return
        if len({len(values) for values in columns.values()}) > 1:
            raise SinkRejected("the columns differ in length", table=table)
        statement = f"INSERT INTO {table} ({', '.join(f'`{name}`' for name in names)}) VALUES"
        values = [_listed(columns[name]) for name in names]
        self._write(table, statement, params=values, columnar=True)

    def execute(self, ddl: str) -> None:
        self._write("schema", ddl)

    def query(
        self, sql: str, *, readonly: bool = True, limits: Limits = DEFAULT_LIMITS, parameters: Parameters = NONE
    ) -> Result:
        text = check_statement(sql) if readonly else sql
        settings = {
            **READING,
            **engine_limits(limits),
            # A result limit that holds for a statement without a table, too: one row more tells that there are more.
            "limit": limits.rows + 1,
            **({"readonly": 1} if readonly else {}),
        }
        client: Client | None = None
        try:
            client = self._with(settings)
            if readonly:
                self._guard(client, text)
            values = driver_values(parameters) or None
            rows, described = client.execute(text, values, with_column_types=True)
        except errors.ServerException as error:
            raise reading_failed(error.code, error.message) from error
        except (errors.Error, OSError, EOFError) as error:
            raise SinkUnavailable(f"{self._place}: {error}") from error
        finally:
            if client is not None:
                client.disconnect()
        check_size(len(rows), text_size(rows, [kind for _, kind in described]), limits)
        return Result([name for name, _ in described], [kind for _, kind in described], rows)

    def query_text(
        self, sql: str, output_format: str, *, limits: Limits = DEFAULT_LIMITS, parameters: Parameters = NONE
    ) -> bytes:
        return as_text(self.query(sql, limits=limits, parameters=parameters), output_format, limits)

    def close(self) -> None:
        with self._turn:
            self._drop()

    def _guard(self, client: Client, text: str) -> None:
        """Refuses what leaves the database; a server too old to spell the statement itself is shown it as it came."""
        check_canonical(client.execute(spelling_query(text))[0][0] if self._spells else text)

    @property
    def _place(self) -> str:
        return f"ClickHouse at {without_secrets(self.address.host)}:{self.address.port}"

    def _write(self, table: str, statement: str, **how: Any) -> None:
        """Runs one statement on the writing connection, which is given up after any failure but a plain refusal."""
        with self._turn:
            try:
                if self._writer is None:
                    self._writer = self._with(WRITING)
                self._writer.execute(statement, **how)
            except errors.ServerException as error:
                self._drop()
                raise insert_failed(error.code, error.message, table) from error
            except _UNFIT as error:
                self._drop()
                raise _unfit(table, error) from error
            except (errors.Error, OSError, EOFError) as error:
                self._drop()
                raise SinkUnavailable(f"{self._place}: {error}") from error

    def _drop(self) -> None:
        if self._writer is not None:
            self._writer.disconnect()
            self._writer = None

    def _prepare(self) -> None:
        """Once: checks the server, makes the database where it is missing, and learns which settings there are.

        Raises SinkRejected.
        """
        if self._known:
            return
        name = self.address.database
        client = self._connect({}, database="")
        try:
            ((version, zone),) = client.execute("SELECT version(), timezone()")
            self._check_version(str(version))
            known = frozenset(row[0] for row in client.execute("SELECT name FROM system.settings"))
            if not known.issuperset(SESSION_TIMEZONE) and zone not in _UTC_NAMES:
                raise SinkRejected(
                    f"{self._place} (version {version}) runs in the time zone {zone} and takes no session_timezone: "
                    "days and months would be other ones than those billed. Set <timezone>UTC</timezone> in its config"
                )
            if (name,) not in client.execute("SHOW DATABASES"):
                client.execute(f"CREATE DATABASE IF NOT EXISTS {name}")
            self._spells = (SPELLING_FUNCTION,) in client.execute("SELECT name FROM system.functions")
            self._known = known
        finally:
            client.disconnect()

    def _check_version(self, version: str) -> None:
        """Raises SinkRejected for a version that lacks what the schema uses."""
        numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
        if numbers < self.least_version:
            least = ".".join(map(str, self.least_version))
            raise SinkRejected(
                f"{self._place} has version {version}: {least} or newer is needed. Nothing was changed there. "
                "Upgrade it, or use store = embedded"
            )

    def _with(self, settings: Mapping[str, object]) -> Client:
        """A connection with those of the settings that this version has; others would fail every statement."""
        self._prepare()
        return self._connect({name: value for name, value in settings.items() if name in self._known})

    def _connect(self, settings: Mapping[str, object], database: str | None = None) -> Client:
        address = self.address
        return Client(
            host=address.host,
            port=address.port,
            user=address.user,
            password=address.password,
            database=address.database if database is None else database,
            secure=address.secure,
            client_name="creditmeter",
            connect_timeout=address.timeout,
            send_receive_timeout=address.timeout,
            sync_request_timeout=5,
            compression=False,
            # The server binds the parameters; the driver would paste them into the text.
            settings={**settings, "server_side_params": True},
        )


_UNFIT = (
    ColumnException,
    errors.TypeMismatchError,
    errors.UnknownTypeError,
    TypeError,
    ValueError,
    AttributeError,
    KeyError,
    OverflowError,
)
"""What the driver raises for values that do not fit their column."""


def _listed(values: Sequence[Any]) -> list[Any]:
    """The column as the driver wants it: a list, whose arrays are lists or tuples."""
    if isinstance(values, ArrayColumn):
        return list(values)
    if values and isinstance(values[0], (Mapping, ValuesView)):
        return list(map(list, values))
    return list(values)


def _unfit(table: str, error: Exception) -> SinkRejected:
    reason = tidy(str(error)) or type(error).__name__
    named = _NAMED_COLUMN.search(reason)
    return SinkRejected(reason, table=table, column=named.group(1) if named else None)

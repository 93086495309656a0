"""A ClickHouse server on this machine without Docker: the installed program, with settings and data of its own."""

import json
import shutil
from pathlib import Path
from types import TracebackType
from typing import Self
from xml.sax.saxutils import escape

from local.answers import clickhouse_version
from local.ports import free_ports, is_free
from local.process import ServerFailed, ServerProcess
from local.record import Record

START_TIMEOUT = 60.0  # seconds; one or two are usual
STOP_TIMEOUT = 30.0

# The root is called `yandex` because old servers (Debian's 18.16) know no other name, and new ones still take it.
SERVER = """\
<?xml version="1.0"?>
<yandex>
    <logger>
        <level>information</level>
        <console>1</console>
    </logger>
    <listen_host>127.0.0.1</listen_host>
    <tcp_port>{port}</tcp_port>
    <http_port>{http_port}</http_port>
    <path>{data}/</path>
    <tmp_path>{data}/tmp/</tmp_path>
    <user_files_path>{data}/user_files/</user_files_path>
    <format_schema_path>{data}/format_schemas/</format_schema_path>
    <users_config>{users}</users_config>
    <default_profile>default</default_profile>
    <default_database>default</default_database>
    <timezone>UTC</timezone>
    <mark_cache_size>67108864</mark_cache_size>
</yandex>
"""

USERS = """\
<?xml version="1.0"?>
<yandex>
    <profiles>
        <default>
            <max_memory_usage>2000000000</max_memory_usage>
        </default>
        <readonly>
            <readonly>1</readonly>
        </readonly>
    </profiles>
    <users>
        <default>
            <password></password>
            <networks><ip>127.0.0.1</ip></networks>
            <profile>default</profile>
            <quota>default</quota>
        </default>
    </users>
    <quotas>
        <default></default>
    </quotas>
</yandex>
"""


class ClickHouseServer:
    """One server whose settings, data and log are in `folder`: `start()` it, or use it as a context manager.

    User `default` without a password, from this machine only. A server on a folder that was used before keeps its data,
    and its ports while they are free. It ends with the process that started it, unless `outlive` is set: then
    `local.record.stop(folder / "clickhouse.json")` ends it. Starting raises ServerFailed, with the tail of the log,
    when it cannot.
    """

    host = "127.0.0.1"
    user = "default"
    password = ""

    def __init__(self, folder: Path, *, outlive: bool = False) -> None:
        self.folder = folder.absolute()
        self.log = self.folder / "clickhouse.log"
        self._outlive = outlive
        self._ports: tuple[int, int] | None = None
        self._version: str | None = None
        self._process: ServerProcess | None = None
        self._record = self.folder / "clickhouse.json"

    @property
    def port(self) -> int:
        """The port of the native protocol, the same over restarts. Raises ServerFailed before the first start."""
        return self._known_ports()[0]

    @property
    def http_port(self) -> int:
        """The port of the HTTP interface, the same over restarts. Raises ServerFailed before the first start."""
        return self._known_ports()[1]

    @property
    def version(self) -> str:
        """The server's version in its own words, as `18.16.1`. Raises ServerFailed before the first start."""
        if self._version is None:
            raise ServerFailed(f"the ClickHouse server in {self.folder} has not been started")
        return self._version

    @property
    def pid(self) -> int:
        """The pid of the server's own process. Raises ServerFailed when it is stopped."""
        if self._process is None:
            raise ServerFailed(f"the ClickHouse server in {self.folder} is not running")
        return self._process.pid

    def start(self) -> Self:
        """Returns when the server answers a query."""
        if self._process is not None:
            raise ServerFailed(f"the ClickHouse server in {self.folder} runs already, with pid {self.pid}")
        Record.refuse_second(self._record)
        command = server_command()
        self.folder.mkdir(parents=True, exist_ok=True)
        # A watchdog would be a second process, and its pid the one that we know.
        settings = self._write_settings()
        process = ServerProcess(
            "the ClickHouse server",
            [*command, f"--config-file={settings}"],
            log=self.log,
            env={"CLICKHOUSE_WATCHDOG_ENABLE": "0"},
            outlive=self._outlive,
        )
        process.wait_until(self._answers, START_TIMEOUT)
        self._process = process
        Record.of(process.pid, f"{self.host}:{self.port}").write(self._record)
        return self

    def stop(self) -> None:
        """Ends it in order. Does nothing to a server that is stopped."""
        if self._process is not None:
            self._process.terminate(STOP_TIMEOUT)
            self._process = None
            self._record.unlink(missing_ok=True)

    def kill(self) -> None:
        """Ends it as a crash would (kill -9). Does nothing to a server that is stopped."""
        if self._process is not None:
            self._process.kill()
            self._process = None
            self._record.unlink(missing_ok=True)

    def restart(self) -> Self:
        """Stops it, where it runs, and starts it with the same ports and data."""
        self.stop()
        return self.start()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _known_ports(self) -> tuple[int, int]:
        if self._ports is None:
            raise ServerFailed(f"the ClickHouse server in {self.folder} has not been started")
        return self._ports

    def _write_settings(self) -> Path:
        """Writes the two settings files, with the ports of the last start where they are free; returns the first."""
        kept = self.folder / "ports.json"
        if self._ports is None:
            last = json.loads(kept.read_text()) if kept.exists() else []
            port, http_port = last if last and all(map(is_free, last)) else free_ports(2)
            self._ports = (port, http_port)
            kept.write_text(json.dumps(self._ports))
        users = self.folder / "users.xml"
        users.write_text(USERS)
        data = self.folder / "data"
        data.mkdir(exist_ok=True)
        settings = self.folder / "config.xml"
        port, http_port = self._ports
        settings.write_text(
            SERVER.format(port=port, http_port=http_port, data=escape(str(data)), users=escape(str(users)))
        )
        return settings

    def _answers(self) -> bool:
        self._version = clickhouse_version(self.host, self.http_port)
        return self._version is not None


def server_command() -> list[str]:
    """The program that runs a server: `clickhouse-server`, or a single `clickhouse` that holds every program."""
    server, everything = shutil.which("clickhouse-server"), shutil.which("clickhouse")
    if server is not None:
        return [server]
    if everything is not None:
        return [everything, "server"]
    raise ServerFailed("clickhouse-server was not found: install it (Debian: apt install clickhouse-server)")

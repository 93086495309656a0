"""A ClickHouse server on this machine without Docker: an installed or fetched program, with its settings and data."""

import os
import shutil

from local import packages
from local.answers import clickhouse_version
from local.process import ServerFailed
from local.server import HOST, LocalServer, Program

PROGRAMS = ("clickhouse-server", "clickhouse")
PACKAGE = "clickhouse-server"
# Where Debian installs the server; the path of a user who is not root leaves it out.
SYSTEM_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin")

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
    <path>data/</path>
    <tmp_path>data/tmp/</tmp_path>
    <user_files_path>data/user_files/</user_files_path>
    <format_schema_path>data/format_schemas/</format_schema_path>
    <users_config>users.xml</users_config>
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


class ClickHouseServer(LocalServer):
    """One server with its settings, data and log in `folder`; LocalServer says what it does.

    User `default` without a password, from this machine only.
    """

    name = "the ClickHouse server"
    short_name = "clickhouse"
    port_names = ("port", "http_port")
    start_timeout = 60.0  # seconds; one or two are usual
    host = HOST
    user = "default"
    password = ""

    _version: str | None = None

    @property
    def http_port(self) -> int:
        """The port of the HTTP interface, the same over restarts. Raises ServerFailed before the first start."""
        return self._known_port("http_port")

    @property
    def version(self) -> str:
        """The server's version in its own words, as `18.16.1`. Raises ServerFailed before the first start."""
        if self._version is None:
            raise ServerFailed(f"{self.name} in {self.folder} has not been started")
        return self._version

    def _find_program(self) -> Program:
        return installed_program() or fetched_program()

    def _prepare(self, program: Program) -> list[str]:  # noqa: ARG002 - only the broker's storage needs it
        (self.folder / "users.xml").write_text(USERS, encoding="utf-8")
        (self.folder / "data").mkdir(exist_ok=True)
        settings = SERVER.format(port=self.port, http_port=self.http_port)
        (self.folder / "config.xml").write_text(settings, encoding="utf-8")
        return ["--config-file=config.xml"]

    def _answers(self) -> bool:
        self._version = clickhouse_version(self.host, self.http_port)
        return self._version is not None


# A watchdog would be a second process, and its pid the one that we know.
_NO_WATCHDOG = {"CLICKHOUSE_WATCHDOG_ENABLE": "0"}


def installed_program() -> Program | None:
    """The installed server: `clickhouse-server`, or one `clickhouse` that holds every program. None without either."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *SYSTEM_FOLDERS])
    server, everything = (shutil.which(name, path=path) for name in PROGRAMS)
    if server is not None:
        return Program([server], _NO_WATCHDOG)
    return None if everything is None else Program([everything, "server"], _NO_WATCHDOG)


def fetched_program() -> Program:
    """The server of Debian's package, fetched first where needed. Raises ServerFailed, naming remedies."""
    try:
        unpacked = packages.fetch(PACKAGE)
    except ServerFailed as error:
        raise ServerFailed(
            f"clickhouse-server was not found, and the system's package cannot be used instead. {error}\n"
            "One of these is enough: install it (as root: apt install clickhouse-server; or put ClickHouse's own "
            "program `clickhouse` on the path), start Docker, or give the address of a server."
        ) from error
    program = unpacked.program("clickhouse-server")
    if program is None:
        raise ServerFailed(f"the package {PACKAGE} in {unpacked.root} has no program clickhouse-server")
    return Program([str(program)], {**_NO_WATCHDOG, **unpacked.environment()})

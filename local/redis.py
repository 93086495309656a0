"""A Redis server, for tests of rate limits that several processes share."""

from __future__ import annotations

import os
import shutil

from local import packages
from local.clickhouse import SYSTEM_FOLDERS
from local.ports import accepts
from local.process import ServerFailed
from local.server import HOST, LocalServer, Program

PACKAGE = "redis-server"


class RedisServer(LocalServer):
    """One server in `folder`, which keeps nothing on disk; LocalServer says what it does."""

    name = "the Redis server"
    short_name = "redis"
    port_names = ("port",)
    start_timeout = 60.0  # seconds; a fraction of one is usual

    @property
    def url(self) -> str:
        """The address, as `redis_url` takes it. Raises ServerFailed before the first start."""
        return f"redis://{HOST}:{self.port}/0"

    def _find_program(self) -> Program:
        return installed_program() or fetched_program()

    def _prepare(self, program: Program) -> list[str]:  # noqa: ARG002 - only the broker's storage needs it
        return ["--bind", HOST, "--port", str(self.port), "--save", "", "--appendonly", "no"]

    def _answers(self) -> bool:
        return accepts(HOST, self.port)


def installed_program() -> Program | None:
    """The installed server; None without one."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *SYSTEM_FOLDERS])
    server = shutil.which("redis-server", path=path)
    return None if server is None else Program([server])


def fetched_program() -> Program:
    """The server of Debian's package, fetched first where needed. Raises ServerFailed, naming the remedy."""
    try:
        unpacked = packages.fetch(PACKAGE)
    except ServerFailed as error:
        raise ServerFailed(
            f"redis-server was not found, and the system's package cannot be used instead. {error}\n"
            "Install it (as root: apt install redis-server), or put it on the path."
        ) from error
    program = unpacked.program("redis-server")
    if program is None:
        raise ServerFailed(f"the package {PACKAGE} in {unpacked.root} has no program redis-server")
    return Program([str(program)], unpacked.environment())

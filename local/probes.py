"""Looks at this machine: a Docker engine, Java, Maven, a ClickHouse server."""

import functools
import importlib.util
import re
import shutil
import subprocess

from local import clickhouse as clickhouse_server
from local import jars, packages

OLDEST_JAVA = 17


@functools.cache
def docker() -> str | None:
    """Whether a Docker engine answers, through the package that starts containers."""
    if importlib.util.find_spec("testcontainers") is None:
        return "the Python package testcontainers is not installed: pip install -e '.[dev]'"
    import docker as engine  # noqa: PLC0415 - comes with testcontainers, which only development installs
    from docker.errors import DockerException  # noqa: PLC0415

    try:
        client = engine.from_env(timeout=5)
        try:
            client.ping()
        finally:
            client.close()
    except (DockerException, OSError) as error:
        return f"no Docker engine answers: {_first_line(error)}"
    return None


@functools.cache
def java() -> str | None:
    """Whether the `java` on the path is new enough for the broker."""
    program = shutil.which("java")
    if program is None:
        return "java was not found"
    said = subprocess.run([program, "-version"], capture_output=True, text=True, check=False).stderr
    version = re.search(r'version "(\d+)', said)
    if version is None:
        return f"`java -version` names no version: {_first_line(said)}"
    if int(version[1]) < OLDEST_JAVA:
        return f"java is version {version[1]}, and {OLDEST_JAVA} is the oldest that runs the broker"
    return None


def maven() -> str | None:
    """Whether the broker's jars are in the cache, or Maven is there to fetch them."""
    if jars.fetched() or shutil.which("mvn") is not None:
        return None
    return "mvn was not found"


def clickhouse() -> str | None:
    """Whether a ClickHouse server is installed."""
    if clickhouse_server.installed_program() is not None:
        return None
    return f"neither {' nor '.join(clickhouse_server.PROGRAMS)} was found"


def clickhouse_package() -> str | None:
    """Whether a ClickHouse server was fetched as a package, or can be."""
    return None if packages.fetched(clickhouse_server.PACKAGE) else packages.missing_tools()


def _first_line(error: object) -> str:
    return next(iter(str(error).strip().splitlines()), "no reason given")

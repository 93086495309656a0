"""Starts a service the way that choose.py finds, whatever way that is."""

from pathlib import Path
from typing import Protocol
from urllib.parse import parse_qs, unquote, urlsplit

from local import probes
from local.answers import clickhouse_version
from local.broker import LocalBroker
from local.choose import CLICKHOUSE, KAFKA, Way, choose
from local.clickhouse import ClickHouseServer
from local.process import ServerFailed


class Broker(Protocol):
    """A running Kafka broker. `stop` gives it back; `kill` and `restart` are for tests that break one of their own."""

    @property
    def bootstrap(self) -> str: ...
    def stop(self) -> None: ...
    def kill(self) -> None: ...
    def restart(self) -> object: ...


class ClickHouse(Protocol):
    """A running ClickHouse server: where it listens, who may log in, and which version it is."""

    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...
    @property
    def http_port(self) -> int: ...
    @property
    def user(self) -> str: ...
    @property
    def password(self) -> str: ...
    @property
    def version(self) -> str: ...
    def stop(self) -> None: ...
    def kill(self) -> None: ...
    def restart(self) -> object: ...


class _Given:
    """A server that somebody else runs: used, never ended."""

    def __init__(self, name: str) -> None:
        self._name = name

    def stop(self) -> None:
        """Nothing: it is not ours."""

    def kill(self) -> None:
        raise ServerFailed(f"{self._name} was given by its address: it is not ours to kill")

    def restart(self) -> object:
        raise ServerFailed(f"{self._name} was given by its address: it is not ours to restart")


class GivenBroker(_Given):
    """A broker at a given address, `host:port`."""

    def __init__(self, bootstrap: str) -> None:
        super().__init__(f"the Kafka broker at {bootstrap}")
        self.bootstrap = bootstrap


class GivenClickHouse(_Given):
    """A server at a given address: `clickhouse://user:password@host:9000?http_port=8123`, or the host alone.

    Raises ServerFailed when the address cannot be read, or nothing answers there.
    """

    def __init__(self, address: str) -> None:
        parts = urlsplit(address if "://" in address else f"clickhouse://{address}")
        self.host = parts.hostname or ""
        shown = f"the ClickHouse server at {self.host or '(no host)'}"  # never the address itself: it holds a password
        super().__init__(shown)
        try:
            self.port = parts.port or 9000
            self.http_port = int(parse_qs(parts.query).get("http_port", ["8123"])[0])
        except ValueError as error:
            raise ServerFailed(f"{shown} has an address with a port that is no port: {error}") from error
        self.user = unquote(parts.username or "default")
        self.password = unquote(parts.password or "")
        version = clickhouse_version(self.host, self.http_port, self.user, self.password) if self.host else None
        if version is None:
            raise ServerFailed(
                f"{shown} does not answer user {self.user} on HTTP port {self.http_port}; "
                "its address reads clickhouse://user:password@host:9000?http_port=8123"
            )
        self.version = version


def kafka_way(address: str | None) -> Way:
    """Where a broker comes from here. Raises NoService where there is none to be had."""
    return choose(KAFKA, address=address, docker=probes.docker, local=(probes.java, probes.maven))


def clickhouse_way(address: str | None) -> Way:
    """Where a ClickHouse server comes from here. Raises NoService where there is none to be had."""
    installed, package = (probes.clickhouse,), probes.clickhouse_package
    return choose(CLICKHOUSE, address=address, docker=probes.docker, local=installed, package=package)


def start_kafka(folder: Path, *, address: str | None = None) -> Broker:
    """A broker that answers. Raises NoService where there is none to be had, ServerFailed where it does not start."""
    way = kafka_way(address)
    if way is Way.ADDRESS and address:
        return GivenBroker(address)
    if way is Way.DOCKER:
        from local.containers import DockerBroker  # noqa: PLC0415 - needs testcontainers, which only development installs

        return DockerBroker().start()
    return LocalBroker(folder).start()


def start_clickhouse(folder: Path, *, address: str | None = None) -> ClickHouse:
    """A server that answers. Raises NoService where there is none to be had, ServerFailed where it does not start."""
    way = clickhouse_way(address)
    if way is Way.ADDRESS and address:
        return GivenClickHouse(address)
    if way is Way.DOCKER:
        from local.containers import DockerClickHouse  # noqa: PLC0415 - as above

        return DockerClickHouse().start()
    return ClickHouseServer(folder).start()  # the installed program, else the fetched package's

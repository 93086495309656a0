"""Starts a service the way that choose.py finds, whatever way that is."""

from pathlib import Path
from typing import Protocol

from local import probes
from local.broker import LocalBroker
from local.choose import KAFKA, Way, choose
from local.process import ServerFailed


class Broker(Protocol):
    """A running Kafka broker. `stop` gives it back; `kill` and `restart` are for tests that break one of their own."""

    @property
    def bootstrap(self) -> str: ...
    def stop(self) -> None: ...
    def kill(self) -> None: ...
    def restart(self) -> object: ...


class GivenBroker:
    """A broker that somebody else runs: used, never ended."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap

    def stop(self) -> None:
        """Nothing: it is not ours."""

    def kill(self) -> None:
        raise ServerFailed(f"the Kafka broker at {self.bootstrap} was given by its address: it is not ours to kill")

    def restart(self) -> object:
        raise ServerFailed(f"the Kafka broker at {self.bootstrap} was given by its address: it is not ours to restart")


def start_kafka(folder: Path, *, address: str | None = None) -> Broker:
    """A broker that answers. Raises NoService where there is none to be had, ServerFailed where it does not start."""
    way = choose(KAFKA, address=address, docker=probes.docker, local=(probes.java, probes.maven))
    if way is Way.ADDRESS and address:
        return GivenBroker(address)
    if way is Way.DOCKER:
        from local.containers import DockerBroker  # noqa: PLC0415 - needs testcontainers, which only development installs

        return DockerBroker().start()
    return LocalBroker(folder).start()

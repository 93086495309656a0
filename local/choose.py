"""Where a service comes from, chosen by looking: an address that was given, else Docker, else this machine's programs.

Pure: what there is to see comes in as probes, which are asked only as far as the answer needs them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

# None: it is there. Otherwise why it is not, and what would help, as one sentence without a full stop.
Probe = Callable[[], str | None]


class Way(StrEnum):
    ADDRESS = "address"
    DOCKER = "docker"
    LOCAL = "local"


class NoService(Exception):
    """A service cannot be had here. The message says what was looked for and which one thing to install."""


@dataclass(frozen=True, slots=True)
class Service:
    """How one service is had: `address_name` is the setting that gives its address, `programs` what runs it here."""

    name: str
    address_name: str
    programs: str


KAFKA = Service("Kafka", "the address of a broker", "Java 17 or newer and Maven (Debian: apt install maven)")
CLICKHOUSE = Service(
    "ClickHouse", "the address of a server", "the program clickhouse-server (Debian: apt install clickhouse-server)"
)


def choose(service: Service, *, address: str | None, docker: Probe, local: Sequence[Probe]) -> Way:
    """The first way that is open. Raises NoService, naming every way and what stands in it, where none is."""
    if address:
        return Way.ADDRESS
    no_docker = docker()
    if no_docker is None:
        return Way.DOCKER
    missing = [why for why in (probe() for probe in local) if why is not None]
    if not missing:
        return Way.LOCAL
    raise NoService(
        f"{service.name} is needed and cannot be had here. One of these is enough:\n"
        f"  - give {service.address_name} (none was given)\n"
        f"  - start Docker ({no_docker})\n"
        f"  - install {service.programs} ({'; '.join(missing)})"
    )

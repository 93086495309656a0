"""Where a service comes from, chosen by looking: a given address, else Docker, else installed programs, else a package.

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
    PACKAGE = "package"


class NoService(Exception):
    """A service cannot be had here. The message says what was looked for and which one thing to install."""


@dataclass(frozen=True, slots=True)
class Service:
    """How one service is reached: `address_name` is the setting with its address, `programs` what runs it here.

    `package` is the package that is fetched where the programs are missing, None where none is.
    """

    name: str
    address_name: str
    programs: str
    package: str | None = None


KAFKA = Service("Kafka", "the address of a broker", "Java 17 or newer and Maven (Debian: apt install maven)")
CLICKHOUSE = Service(
    "ClickHouse",
    "the address of a server",
    "the program clickhouse-server (Debian: apt install clickhouse-server)",
    "clickhouse-server",
)


def choose(
    service: Service, *, address: str | None, docker: Probe, local: Sequence[Probe], package: Probe | None = None
) -> Way:
    """The first way that is open. Raises NoService, naming every way and what stands in it, where none is."""
    if address:
        return Way.ADDRESS
    no_docker = docker()
    if no_docker is None:
        return Way.DOCKER
    missing = [why for why in (probe() for probe in local) if why is not None]
    if not missing:
        return Way.LOCAL
    no_package = None if package is None else package()
    if package is not None and no_package is None:
        return Way.PACKAGE
    ways = [
        f"give {service.address_name} (none was given)",
        f"start Docker ({no_docker})",
        f"install {service.programs} ({'; '.join(missing)})",
    ]
    if no_package is not None:
        ways.append(f"use a system whose package {service.package} can be fetched without root ({no_package})")
    lines = "".join(f"\n  - {way}" for way in ways)
    raise NoService(f"{service.name} is needed and cannot be had here. One of these is enough:{lines}")

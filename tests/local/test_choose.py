"""The choice of where a service comes from: an address, Docker, this machine, or an error that says what helps."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local import clickhouse, probes
from local.choose import CLICKHOUSE, KAFKA, NoService, Probe, Way, choose
from local.process import ServerFailed
from local.start import GivenBroker, GivenClickHouse, start_clickhouse, start_kafka


def there() -> str | None:
    return None


def missing(why: str) -> Probe:
    return lambda: why


def never() -> str | None:
    raise AssertionError("asked although the answer was known")


def test_an_address_wins_and_nothing_else_is_asked() -> None:
    assert choose(KAFKA, address="host:9092", docker=never, local=(never,)) is Way.ADDRESS


def test_docker_comes_before_this_machine() -> None:
    assert choose(KAFKA, address=None, docker=there, local=(never,)) is Way.DOCKER


def test_an_empty_address_is_none() -> None:
    assert choose(KAFKA, address="", docker=there, local=()) is Way.DOCKER


def test_this_machine_needs_everything() -> None:
    assert choose(KAFKA, address=None, docker=missing("no engine"), local=(there, there)) is Way.LOCAL
    with pytest.raises(NoService):
        choose(KAFKA, address=None, docker=missing("no engine"), local=(there, missing("no mvn")))


def test_a_package_comes_after_everything_that_is_there() -> None:
    no = missing("not there")
    assert choose(CLICKHOUSE, address=None, docker=no, local=(there,), package=never) is Way.LOCAL
    assert choose(CLICKHOUSE, address=None, docker=there, local=(never,), package=never) is Way.DOCKER
    assert choose(CLICKHOUSE, address=None, docker=no, local=(no,), package=there) is Way.PACKAGE


def test_the_error_says_why_a_package_cannot_be_fetched() -> None:
    no = missing("not there")
    with pytest.raises(NoService) as caught:
        choose(CLICKHOUSE, address=None, docker=no, local=(no,), package=missing("apt-get not found"))
    assert str(caught.value).splitlines()[-1] == (
        "  - use a system whose package clickhouse-server can be fetched without root (apt-get not found)"
    )


def test_the_error_names_every_way_and_what_stands_in_it() -> None:
    with pytest.raises(NoService) as raised:
        choose(KAFKA, address=None, docker=missing("no engine answers"), local=(missing("no java"), missing("no mvn")))
    assert str(raised.value).splitlines() == [
        "Kafka is needed and cannot be had here. One of these is enough:",
        "  - give the address of a broker (none was given)",
        "  - start Docker (no engine answers)",
        "  - install Java 17 or newer and Maven (Debian: apt install maven) (no java; no mvn)",
    ]
    with pytest.raises(NoService, match="install the program clickhouse-server"):
        choose(CLICKHOUSE, address=None, docker=missing("no engine"), local=(missing("none"),))


@given(st.booleans(), st.booleans(), st.lists(st.booleans(), max_size=3))
def test_the_first_open_way_is_taken(address: bool, docker: bool, local: list[bool]) -> None:
    def probe(holds: bool) -> Callable[[], str | None]:
        return lambda: None if holds else "not there"

    def asked() -> Way | None:
        try:
            return choose(
                KAFKA, address="a:1" if address else None, docker=probe(docker), local=[probe(holds) for holds in local]
            )
        except NoService:
            return None

    open_ways = [Way.ADDRESS] * address + [Way.DOCKER] * docker + [Way.LOCAL] * all(local)
    assert asked() == next(iter(open_ways), None)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ('openjdk version "17.0.15" 2025-04-15', None),
        ('openjdk version "25" 2025-09-16', None),
        ('java version "1.8.0_401"', "java is version 1, and 17 is the oldest that runs the broker"),
        ('openjdk version "11.0.2"', "java is version 11, and 17 is the oldest that runs the broker"),
        ("Unable to locate a Java Runtime.", "`java -version` names no version: Unable to locate a Java Runtime."),
    ],
)
def test_the_java_probe_reads_the_version(
    said: str, why: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "java"
    program.write_text(f"#!/bin/sh\nprintf '%s\\n' '{said}' >&2\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert probes.java.__wrapped__() == why


def test_the_probes_of_an_empty_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no.sock")
    assert probes.java.__wrapped__() == "java was not found"
    assert probes.maven() == "mvn was not found"
    monkeypatch.setattr(clickhouse, "SYSTEM_FOLDERS", ())
    assert probes.clickhouse() == "neither clickhouse-server nor clickhouse was found"
    assert probes.clickhouse_package() == "apt-get and dpkg-deb not found: this is no Debian or Ubuntu"
    assert (probes.docker.__wrapped__() or "").startswith("no Docker engine answers: ")


def test_a_given_broker_is_used_and_never_ended(tmp_path: Path) -> None:
    broker = start_kafka(tmp_path, address="somewhere:9092")
    assert isinstance(broker, GivenBroker)
    assert broker.bootstrap == "somewhere:9092"
    broker.stop()
    for end in (broker.kill, broker.restart):
        with pytest.raises(ServerFailed, match="the Kafka broker at somewhere:9092 was given by its address"):
            end()


@pytest.mark.clickhouse_server
def test_a_given_server_is_reached_by_its_address(own_clickhouse: GivenClickHouse, tmp_path: Path) -> None:
    who = f"{own_clickhouse.user}:{own_clickhouse.password}"
    address = f"clickhouse://{who}@{own_clickhouse.host}:{own_clickhouse.port}?http_port={own_clickhouse.http_port}"
    given_one = start_clickhouse(tmp_path, address=address)
    assert isinstance(given_one, GivenClickHouse)
    assert (given_one.port, given_one.user, given_one.version) == (
        own_clickhouse.port,
        own_clickhouse.user,
        own_clickhouse.version,
    )


@pytest.mark.parametrize(
    "address", ["clickhouse://x:secret@127.0.0.1:1?http_port=1", "clickhouse://x:secret@h:99999999"]
)
def test_a_wrong_address_is_an_error_without_its_password(address: str) -> None:
    with pytest.raises(ServerFailed) as raised:
        GivenClickHouse(address)
    assert "secret" not in str(raised.value)

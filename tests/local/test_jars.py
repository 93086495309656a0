"""The broker's jars: fetched once, whole or not at all, by one of those who want them at the same time."""

import threading
from pathlib import Path

import pytest

from local import jars
from local.cache import cache_folder
from local.process import ServerFailed

MAVEN = """#!/bin/sh
echo run >> "{runs}"
for argument; do case "$argument" in -DoutputDirectory=*) out="${{argument#*=}}";; esac; done
mkdir -p "$out"
sleep 0.2
{then}
"""


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with an empty cache and a Maven of its own, in place of the network's."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path


def maven(machine: Path, then: str) -> Path:
    runs = machine / "runs"
    (machine / "mvn").write_text(MAVEN.format(runs=runs, then=then))
    (machine / "mvn").chmod(0o755)
    return runs


def test_two_at_once_fetch_once(machine: Path) -> None:
    runs = maven(machine, 'touch "$out/kafka_2.13-4.1.0.jar"')
    paths: list[Path] = []
    starts = [threading.Thread(target=lambda: paths.append(jars.fetch())) for _ in range(3)]
    for start in starts:
        start.start()
    for start in starts:
        start.join()
    assert runs.read_text() == "run\n"
    assert paths == [jars.jars_folder()] * 3
    assert [jar.name for jar in paths[0].iterdir()] == ["kafka_2.13-4.1.0.jar"]
    assert jars.fetched()


def test_what_maven_could_not_fetch_leaves_nothing_behind(machine: Path) -> None:
    maven(machine, 'touch "$out/half.jar"; echo "no route to the repository"; exit 1')
    with pytest.raises(ServerFailed, match=r"Maven could not fetch .* \(exit code 1\):\nno route to the repository"):
        jars.fetch()
    assert not jars.fetched()
    assert [path.suffix for path in cache_folder().iterdir()] == [".lock"]


def test_another_pom_is_another_folder(tmp_path: Path) -> None:
    pom = tmp_path / "pom.xml"
    pom.write_text(jars.POM.read_text().replace("4.1.0", "4.2.0"))
    assert jars.jars_folder(pom) != jars.jars_folder()


def test_without_maven_the_error_says_what_to_install(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(machine))
    with pytest.raises(ServerFailed, match=r"install it \(Debian: apt install maven"):
        jars.fetch()

"""Debian packages without root: whole or not at all, once for all who want them, and an error that says what failed.

apt-get and dpkg-deb are small scripts here, so that each failure can be had at will. The tests that use the ClickHouse
server fetch the real package, on a machine that has neither Docker nor an installed server.
"""

import threading
from pathlib import Path

import pytest

from local import packages
from local.cache import cache_folder
from local.process import ServerFailed

# Plays apt-get: notes each call, "downloads" two packages into the cache that it is given.
APT = """#!/bin/sh
echo "$*" >> "{machine}/calls"
for argument; do
    case "$argument" in
    -oDir::Cache=*) cache="${{argument#-oDir::Cache=}}";;
    update) action=update;;
    --print-uris) action=plan;;
    --download-only) action=download;;
    esac
done
{then}
case $action in
plan) echo "'http://x/a.deb' a_1_amd64.deb 1200000 MD5Sum:1"; echo "'http://x/b.deb' b_2_all.deb 300000 ";;
download) touch "$cache/archives/a_1_amd64.deb" "$cache/archives/b_2_all.deb";;
esac
"""
DPKG_DEB = """#!/bin/sh
# dpkg-deb --extract PACKAGE ROOT
mkdir -p "$3/usr/sbin" "$3/usr/lib/machine/plugins" "$3/lib/machine"
touch "$3/usr/sbin/served" "$3/lib/machine/libc.so" "$3/usr/lib/machine/libone.so.1"
touch "$3/usr/lib/machine/plugins/libtwo.so"
{then}
"""


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with an empty cache whose apt-get and dpkg-deb are scripts."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "a cache"))
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.delenv("LD_LIBRARY_PATH", raising=False)
    install(tmp_path)
    return tmp_path


def install(machine: Path, apt: str = "", dpkg_deb: str = "") -> None:
    for name, script in (
        ("apt-get", APT.format(machine=machine, then=apt)),
        ("dpkg-deb", DPKG_DEB.format(then=dpkg_deb)),
    ):
        (machine / name).write_text(script)
        (machine / name).chmod(0o755)


def left_in_cache() -> list[str]:
    return sorted(path.name for path in cache_folder().iterdir() if path.suffix != ".lock")


def test_several_at_once_fetch_once(machine: Path, capfd: pytest.CaptureFixture[str]) -> None:
    install(machine, apt="sleep 0.05")
    results: list[packages.UnpackedPackages] = []
    threads = [threading.Thread(target=lambda: results.append(packages.fetch("served"))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [packages.UnpackedPackages(packages.packages_folder("served") / "root")] * 3
    calls = (machine / "calls").read_text().splitlines()
    assert [call.rpartition("--no-install-recommends ")[2] for call in calls] == [
        "update",
        "install --print-uris -qq served",
        "install --download-only served",
    ]
    assert left_in_cache() == [packages.packages_folder("served").name]
    assert packages.fetched("served")
    assert "Fetching 2 packages, 1.5 MB ..." in capfd.readouterr().err


def test_the_lists_and_archives_are_not_those_of_the_machine(machine: Path) -> None:
    packages.fetch("served")
    for call in (machine / "calls").read_text().splitlines():
        assert f"-oDir::State::Lists={cache_folder()}/" in call
        assert f"-oDir::Cache={cache_folder()}/" in call


def test_the_folder_holds_the_tree_and_the_names_of_its_packages(machine: Path) -> None:
    unpacked = packages.fetch("served", "other")
    assert sorted(path.name for path in unpacked.root.parent.iterdir()) == ["packages.txt", "root"]
    assert (unpacked.root.parent / "packages.txt").read_text() == "a_1_amd64\nb_2_all\n"
    assert unpacked.program("served") == unpacked.root / "usr" / "sbin" / "served"
    assert unpacked.program("missing") is None


def test_programs_find_the_libraries_of_every_folder(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unpacked = packages.fetch("served")
    inside = [unpacked.root / folder for folder in ("lib/machine", "usr/lib/machine", "usr/lib/machine/plugins")]
    assert unpacked.environment() == {"LD_LIBRARY_PATH": ":".join(map(str, inside))}
    monkeypatch.setenv("LD_LIBRARY_PATH", "/opt/lib")
    assert unpacked.environment()["LD_LIBRARY_PATH"].endswith("/plugins:/opt/lib")


@pytest.mark.parametrize("action", ["plan", "download"])
def test_a_failing_step_leaves_nothing_behind_and_quotes_apt_get(machine: Path, action: str) -> None:
    install(machine, apt=f'test $action = {action} && {{ echo "E: no route to the mirror" >&2; exit 100; }}')
    with pytest.raises(ServerFailed) as caught:
        packages.fetch("served")
    assert str(caught.value) == (
        "The packages served could not be fetched without root; apt-get says:\n    E: no route to the mirror"
    )
    assert left_in_cache() == []
    assert not packages.fetched("served")


def test_a_source_that_fails_is_no_error_while_what_is_needed_is_there(machine: Path) -> None:
    install(machine, apt='test $action = update && { echo "E: some other repository is gone" >&2; exit 100; }')
    assert packages.fetch("served").root.is_dir()


def test_what_the_update_complained_of_is_quoted_when_the_package_is_missing(machine: Path) -> None:
    install(
        machine,
        apt='test $action != update && { echo "E: Unable to locate package served" >&2; exit 100; }\n'
        'echo "W: Failed to fetch http://x: Could not resolve host" >&2',
    )
    with pytest.raises(ServerFailed, match=r"W: Failed to fetch http://x.*\n    E: Unable to locate package served"):
        packages.fetch("served")


def test_a_package_that_cannot_be_unpacked_leaves_nothing_behind(machine: Path) -> None:
    install(machine, dpkg_deb="echo 'no space left on device' >&2; exit 2")
    with pytest.raises(ServerFailed, match=r"a_1_amd64.deb could not be unpacked:\nno space left on device"):
        packages.fetch("served")
    assert left_in_cache() == []


def test_what_a_killed_process_left_is_removed(machine: Path) -> None:
    folder = packages.packages_folder("served")
    (cache_folder() / f"{folder.name}.part-1" / "whole" / "root").mkdir(parents=True)
    packages.fetch("served")
    assert left_in_cache() == [folder.name]


def test_an_installed_package_is_not_fetched_again(machine: Path) -> None:
    install(machine, apt="test $action = plan && exit 0")
    with pytest.raises(ServerFailed, match="apt-get has nothing to fetch for served: it is installed already"):
        packages.fetch("served")


def test_another_system_is_named(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ServerFailed, match="apt-get and dpkg-deb not found: this is no Debian or Ubuntu"):
        packages.fetch("served")


def test_a_cache_that_cannot_be_written_is_named(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (machine / "a file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(machine / "a file"))
    with pytest.raises(ServerFailed, match=r"could not be filled: .*; set XDG_CACHE_HOME"):
        packages.fetch("served")

"""The Redis server of a machine: found, fetched, named where it can't be had."""

from pathlib import Path

import pytest

from local import packages, redis
from local.process import ServerFailed


def test_names_the_remedy_when_there_is_no_program_and_no_package(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*names: str) -> packages.UnpackedPackages:
        raise ServerFailed(f"The packages {names[0]} cannot be fetched: apt-get not found")

    monkeypatch.setattr(packages, "fetch", refuse)
    with pytest.raises(ServerFailed, match=r"apt-get not found\n.*apt install redis-server"):
        redis.fetched_program()


def test_a_program_that_only_the_path_of_root_has_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "redis-server"
    program.touch(0o755)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(redis, "SYSTEM_FOLDERS", (str(tmp_path),))
    program_found = redis.installed_program()
    assert program_found is not None
    assert program_found.command == [str(program)]
    program.unlink()
    assert redis.installed_program() is None


def test_it_says_so_when_it_is_not_started(tmp_path: Path) -> None:
    with pytest.raises(ServerFailed, match="the Redis server"):
        redis.RedisServer(tmp_path).url  # noqa: B018

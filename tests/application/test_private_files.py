"""Nobody else of the machine can read what is kept in data_dir, whatever the umask, and whatever was there before."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from application.configuration.settings import Settings
from application.private_files import private_folders

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


def open_to_others(folder: Path) -> list[str]:
    """What others may do anything with, the folder itself included."""
    paths = [folder, *folder.rglob("*")]
    return sorted(str(path) for path in paths if not path.is_symlink() and path.lstat().st_mode & 0o077)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o002])
def test_commands_keep_what_they_write_to_this_user(tmp_path: Path, umask: int) -> None:
    folder = tmp_path / "data"
    clickhouse = folder / "clickhouse"
    program = f"import os, sys; os.umask({umask}); from cli.main import main; sys.argv[0] = 'creditmeter'; main()"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CREDITMETER_DATA_DIR": str(folder)}
    command = [sys.executable, "-c", program, "migrate"]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (clickhouse / "engine" / "users.xml").is_file()
    assert open_to_others(folder) == []


def test_what_was_wider_is_narrowed(tmp_path: Path) -> None:
    data, state, checkpoints = (tmp_path / name for name in ("data", "elsewhere", "kept"))
    for folder in (data / "kafka" / "data", state / "0", checkpoints):
        folder.mkdir(parents=True)
        (folder / "file").write_text("x")
    outside = tmp_path / "outside"
    outside.write_text("not ours")
    outside.chmod(0o644)
    (data / "link").symlink_to(outside)
    for path in tmp_path.rglob("*"):
        if not path.is_symlink() and path != outside:
            path.chmod(0o777 if path.is_dir() else 0o666)
    settings = Settings(data_dir=data, state_dir=state, checkpoint_url=f"file://{checkpoints}")
    assert private_folders(settings) == []
    assert [open_to_others(folder) for folder in (data, state, checkpoints)] == [[], [], []]
    assert outside.stat().st_mode & 0o777 == 0o644
    assert (data / "kafka" / "data" / "file").stat().st_mode & 0o777 == 0o600


def test_the_folder_that_somebody_works_in_keeps_its_rights_and_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tmp_path.chmod(0o755)
    (tmp_path / "notes.txt").write_text("theirs")
    (tmp_path / "notes.txt").chmod(0o644)
    (tmp_path / "state").mkdir(mode=0o755)
    (remark,) = private_folders(Settings(data_dir=tmp_path))
    assert f"others may look into {tmp_path}" in remark
    assert tmp_path.stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "notes.txt").stat().st_mode & 0o777 == 0o644
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700


def test_a_folder_whose_rights_cannot_be_taken_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "data"
    folder.mkdir(mode=0o755)
    folder.chmod(0o755)

    def refuse(_path: Path, _mode: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "chmod", refuse)
    (remark,) = private_folders(Settings(data_dir=folder))
    assert remark.startswith(f"{folder} can be read by others")
    assert "Operation not permitted" in remark

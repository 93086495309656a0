"""A command's scratch folder: gone afterwards, and so is what a killed command left."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from application.errors import Misconfigured
from application.scratch import scratch_folder


def test_it_is_gone_afterwards(tmp_path: Path) -> None:
    with scratch_folder(tmp_path) as folder:
        (folder / "file").write_text("x")
    assert not list((tmp_path / "scratch").iterdir())


def test_what_a_killed_command_left_is_removed_and_a_running_one_keeps_its_own(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", "pass"])
    process.wait()
    left, others = tmp_path / "scratch" / f"{process.pid}-x", tmp_path / "scratch" / f"{os.getppid()}-y"
    for folder in (left, others):
        folder.mkdir(parents=True)
        (folder / "file").write_text("x")
    with scratch_folder(tmp_path):
        assert not left.exists()
    assert (others / "file").exists()


def test_a_data_dir_that_takes_nothing_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with (
        pytest.raises(Misconfigured, match="data_dir: nothing can be kept"),
        scratch_folder(tmp_path / "file"),
    ):
        pass

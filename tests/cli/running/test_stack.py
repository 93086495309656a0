"""How everything on this machine ends."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest

from application.configuration.settings import Settings
from cli.running import stack as stack_module
from cli.running.stack import Stack
from local.process import ServerProcess

WAITS_FOR_THE_OTHER = """
import signal, sys, time
from pathlib import Path

folder, own, other = Path(sys.argv[1]), sys.argv[2], sys.argv[3]

def end(*_):
    (folder / f"{own}-asked").touch()
    while not (folder / f"{other}-asked").exists():
        time.sleep(0.05)
    (folder / f"{own}-ended").touch()
    sys.exit(0)

signal.signal(signal.SIGTERM, end)
(folder / f"{own}-runs").touch()
while True:
    time.sleep(0.05)
"""


def waiting_process(folder: Path, own: str, other: str) -> ServerProcess:
    command = [sys.executable, "-c", WAITS_FOR_THE_OTHER, str(folder), own, other]
    process = ServerProcess(own, command, log=folder / f"{own}.log")
    process.wait_until((folder / f"{own}-runs").exists, 60)
    return process


def test_worker_and_loader_are_asked_to_end_at_the_same_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a broker that is gone each may take its whole time: one after the other would take twice as long."""
    monkeypatch.setattr(stack_module, "_STOP_SECONDS", 30.0)
    stack = Stack(Settings(data_dir=tmp_path), lambda: pytest.fail("no broker"), lambda _text: None)
    for own, other in (("worker", "loader"), ("loader", "worker")):
        stack._parts[own].process = waiting_process(tmp_path, own, other)
    stack.stop()
    assert (tmp_path / "worker-ended").exists()
    assert (tmp_path / "loader-ended").exists()
    stack.stop()


def test_what_does_not_end_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack_module, "_STOP_SECONDS", 0.5)
    stack = Stack(Settings(data_dir=tmp_path), lambda: pytest.fail("no broker"), lambda _text: None)
    process = stack._parts["worker"].process = waiting_process(tmp_path, "worker", "nobody")
    stack.stop()
    assert process.exit_code() == 128 + signal.SIGKILL

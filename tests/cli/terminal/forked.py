"""Runs many commands of `creditmeter` as processes of their own, without starting Python anew for each.

A process with everything imported forks for each command: the child has a standard output and error of its own, files
or a terminal, in an encoding of its own, as PYTHONIOENCODING sets it, and ends with the command's exit code.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]


class Forker:
    """The process that forks."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.cli.terminal.forked"],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip

    def run(self, *arguments: str, cwd: Path, out: str | Path, err: str | Path, encoding: str) -> int:
        """The exit code of the command, whose output goes to `out` and `err`. `encoding`: as PYTHONIOENCODING."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        wish = {"arguments": arguments, "cwd": str(cwd), "out": str(out), "err": str(err), "encoding": encoding}
        self._process.stdin.write(json.dumps(wish).encode() + b"\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def child(wish: dict[str, Any]) -> int:
    """Becomes the command; returns its exit code."""
    from cli.main import main

    os.chdir(wish["cwd"])
    for number, name in ((1, "out"), (2, "err")):
        opened = os.open(wish[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(opened, number)
        os.close(opened)
    encoding, _, errors = wish["encoding"].partition(":")
    sys.stdout.reconfigure(encoding=encoding, errors=errors or "strict")
    sys.stderr.reconfigure(encoding=encoding)
    code: object
    try:
        main(wish["arguments"], prog_name="creditmeter")
    except SystemExit as end:
        code = end.code
    else:
        code = 0
    sys.stdout.flush()
    return code if isinstance(code, int) else int(code is not None)


def serve() -> None:
    """Forks for each line of standard input, and answers with the exit code."""
    from cli.main import COMMANDS

    # What commands import when they run; nothing of it starts a thread, which a fork would lose.
    for module in (*COMMANDS.values(), "application.pipeline", "application.input.file_rating"):
        importlib.import_module(module)
    assert len(list(Path("/proc/self/task").iterdir())) == 1
    answers = os.dup(1)
    for line in sys.stdin.buffer:
        pid = os.fork()
        if pid == 0:
            code = 70
            try:
                code = child(json.loads(line))
            finally:
                sys.stderr.flush()
                os._exit(code)
        _, status = os.waitpid(pid, 0)
        os.write(answers, f"{os.waitstatus_to_exitcode(status)}\n".encode())


if __name__ == "__main__":
    serve()

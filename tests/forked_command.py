"""Processes of `creditmeter` that begin with its modules in memory: most of a start's work is to import them.

They are forked from a process that has imported them and done nothing else. Each is a process of its own, which may be
killed. Whoever tries how Python itself is started (limits, the encoding of its streams) starts it by `subprocess`.
"""

from __future__ import annotations

import atexit
import importlib
import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

FORKING = multiprocessing.get_context("forkserver")
# Nothing in them starts a thread or a client, which a fork would lose. chDB does: its engine is always started anew.
FORKING.set_forkserver_preload([
    "cli.main", "cli.events.emitting", "cli.running.workers", "cli.running.deliver", "cli.terminal.logs",
    "application.configuration.sources", "application.clickhouse.opening", "application.commands.bulk_sending",
    "application.pipeline", "application.prices.publishing", "application.webhooks.process", "server.__main__",
    "sinks.isolated", "sinks.migrate", "streams.loading.loader", "streams.rating.worker",
])  # fmt: skip


class ForkedCommand:
    """`creditmeter` with these arguments, in this process's folder and environment, writing to the end of ``log``.

    ``out`` takes its standard output, where that is not to be in the log. ``program``: the module whose `main` it is.
    ``within``: Python that the process runs before it begins. It has a process group of its own.
    The methods are those of `subprocess.Popen`.
    """

    def __init__(
        self, arguments: list[str], log: Path, *, out: Path | None = None, program: str = "cli.main", within: str = ""
    ) -> None:
        self._arguments = arguments
        streams = str((out or log).absolute()), str(log.absolute())
        for path in streams:  # who waits for the process may look at what it says before it begins
            os.close(os.open(path, os.O_CREAT, 0o600))
        here = str(Path.cwd()), dict(os.environ)
        # As a daemon it is ended with the process that runs the tests.
        self._process = FORKING.Process(target=_become, args=(program, arguments, within, streams, *here), daemon=True)
        self._process.start()
        self.pid = self._process.pid or 0

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        code = self._process.exitcode
        if code is None:
            raise subprocess.TimeoutExpired(self._arguments, timeout or 0)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def _become(
    program: str, arguments: list[str], within: str, streams: tuple[str, str], folder: str, environment: dict[str, str]
) -> None:
    """Runs the command here, with what the end of an interpreter does behind it. Raises SystemExit."""
    os.setpgid(0, 0)
    for number, path in enumerate(streams, 1):
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv = ["creditmeter", *arguments]
    exec(within)  # the test's own
    try:
        sys.exit(importlib.import_module(program).main())
    finally:
        atexit._run_exitfuncs()

"""One server process of this machine: its pid, its log, and its end.

It is signalled by its own pid and by nothing wider. Unless it is meant to outlive its starter, it ends with it, however
that one ends (see keeper.py).
"""

import contextlib
import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from local.answers import wait_until

KEEPER = Path(__file__).with_name("keeper.py")


class ServerFailed(Exception):
    """A server did not start, did not answer in time, or ended by itself. The message quotes the tail of its log."""


class ServerProcess:
    """A started server. `log` is appended to, so that a restart keeps what the run before said."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        outlive: bool = False,
    ) -> None:
        self.name = name
        self.log = log
        environment = {**os.environ, **(env or {})}
        with log.open("ab") as output:
            # A session of its own: Ctrl-C in a terminal reaches only the starter, which then stops its servers.
            if outlive:
                self._child = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    env=environment,
                    cwd=cwd,
                    start_new_session=True,
                )
                self.pid = self._child.pid
                return
            self._child = subprocess.Popen(
                [sys.executable, "-IS", str(KEEPER), *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                env=environment,
                cwd=cwd,
                start_new_session=True,
            )
        if self._child.stdout is None:
            raise ServerFailed(f"{name}: the keeper has no standard output")
        line = self._child.stdout.readline()
        if not line:
            raise self.failure("could not be started")
        self.pid = int(line)

    def exit_code(self) -> int | None:
        """None while it runs; 128 + n after signal n when kept, -n when meant to outlive."""
        return self._child.poll()

    def terminate(self, timeout: float) -> None:
        """Asks it to end (SIGTERM), and after `timeout` seconds ends it (SIGKILL). Returns when it is gone."""
        self.ask_to_end()
        self.wait_or_kill(timeout)

    def ask_to_end(self) -> None:
        """Sends SIGTERM and returns at once."""
        self._signal(signal.SIGTERM)

    def wait_or_kill(self, timeout: float) -> None:
        """Waits up to `timeout` seconds for its end, then ends it (SIGKILL). Returns when it is gone."""
        try:
            self._child.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
        self._close()

    def kill(self) -> None:
        """Ends it at once, as a crash would (SIGKILL). Returns when it is gone."""
        self._signal(signal.SIGKILL)
        self._child.wait()
        self._close()

    def wait_until(self, answers: Callable[[], bool], timeout: float) -> None:
        """Returns when `answers` says so; raises ServerFailed when the server ends first or `timeout` seconds pass."""
        why = wait_until(answers, timeout, self._ended)
        if why is not None:
            self.kill()
            raise self.failure(why)

    def _ended(self) -> str | None:
        code = self.exit_code()
        return None if code is None else f"ended by itself with exit code {code}"

    def failure(self, what: str) -> ServerFailed:
        """The error to raise, with the tail of the log."""
        return ServerFailed(f"{self.name} {what}; the end of {self.log}:\n{tail(self.log)}")

    def _signal(self, number: signal.Signals) -> None:
        if self.exit_code() is None:
            with contextlib.suppress(ProcessLookupError):  # it ended by itself this very moment
                os.kill(self.pid, number)

    def _close(self) -> None:
        for pipe in (self._child.stdin, self._child.stdout):
            if pipe is not None:
                pipe.close()


def tail(log: Path, lines: int = 25) -> str:
    """The last lines of a log, indented, for an error message."""
    try:
        with log.open(encoding="utf-8", errors="replace") as text:
            last = deque(text, maxlen=lines)
    except OSError as error:
        return f"    (no log: {error})"
    return "".join(f"    {line.rstrip()}\n" for line in last).rstrip("\n") or "    (empty)"

"""Several worker processes on one machine, as one: they start together, and end together."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from local.process import KEEPER
from streams import clock

_LOOK_SECONDS = 0.1
_PATIENCE_SECONDS = 30.0


class Member:
    """One process. It ends with the process that started it, however that one ends."""

    def __init__(self, arguments: Sequence[str]) -> None:
        command = [sys.executable, "-IS", str(KEEPER), sys.executable, "-P", "-m", "cli.main", *arguments]
        # A session of its own: Ctrl-C reaches the parent alone, which then asks each member to finish.
        self._keeper = subprocess.Popen(  # noqa: S603 -- this program itself, with arguments made here
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        line = self._keeper.stdout.readline() if self._keeper.stdout else b""
        self.pid = int(line or 0)

    def exit_code(self) -> int | None:
        """None while it runs; 128 + n after signal n."""
        return self._keeper.poll()

    def signal(self, number: signal.Signals) -> None:
        """Signal the process itself, by its own pid, while it runs."""
        if self.pid and self.exit_code() is None:
            os.kill(self.pid, number)


class Crew:
    """The members, and how they stop: on SIGTERM or SIGINT to this process, or when one of them ends."""

    def __init__(self) -> None:
        self._members: list[Member] = []
        self._asked = False

    def run(self, commands: Sequence[Sequence[str]], ready_files: Sequence[Path], ready_file: Path | None) -> int:
        """Start a member for each command and wait for all. 0 when they were asked to stop, 1 when one failed.

        `ready_file` is made once every member has made its own.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)
        self._members = [Member(command) for command in commands]
        while not self._asked and all(member.exit_code() is None for member in self._members):
            if ready_file is not None and all(path.exists() for path in ready_files):
                ready_file.touch()
                ready_file = None
            clock.sleep(_LOOK_SECONDS)
        return self._stop()

    def _ask(self, _number: int, _frame: FrameType | None) -> None:
        self._asked = True

    def _stop(self) -> int:
        for member in self._members:
            member.signal(signal.SIGTERM)
        deadline = clock.monotonic() + _PATIENCE_SECONDS
        while any(member.exit_code() is None for member in self._members) and clock.monotonic() < deadline:
            clock.sleep(_LOOK_SECONDS)
        for member in self._members:
            member.signal(signal.SIGKILL)
        codes = [member.exit_code() for member in self._members]
        return 0 if self._asked and not any(codes) else 1

"""The engine's process as its owner sees it: started, asked over channels, watched, and ended."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path
from queue import SimpleQueue

from sinks.channel import AnswerTooLate, Channel, ChannelClosed, raise_failure
from sinks.sink import SinkUnavailable
from sinks.turns import AT_ONCE, CUSTOMERS_AT_ONCE

READERS = AT_ONCE + CUSTOMERS_AT_ONCE + 2
"""Statements that may be asked at the same time: those that have a turn, and the loader's own. Others wait."""
_LOOK = 0.1
"""Seconds between two looks at the process's memory."""
_ENDING = 30.0
"""Seconds for an orderly end."""
_ROOT = Path(__file__).resolve().parents[1]


class Kill(StrEnum):
    """Why the process was ended."""

    TOO_LONG = "a statement took too long"
    TOO_LARGE = "it took too much memory"
    ENDED = "it was no longer needed"


class EngineHandle:
    """One run of the engine's process. It ends with the process that started it, however that one ends."""

    def __init__(self, folder: Path, database: str, lock: int, memory: int) -> None:
        """Returns when the engine has started. Raises SinkUnavailable, SinkRejected.

        ``lock``: the open file that holds the directory, which the process inherits. ``memory``: bytes that it may
        have while it answers reading statements.
        """
        self.killed: Kill | None = None
        self.readers_when_killed = 0
        self._memory = memory
        self._reading = 0
        self._changing = threading.Lock()
        self._ended = threading.Event()
        ours, theirs = zip(*(socket.socketpair() for _ in range(2 + READERS)), strict=True)
        self._life, self.writer, *readers = map(Channel, ours)
        self._free: SimpleQueue[Channel] = SimpleQueue()
        for channel in readers:
            self._free.put(channel)
        try:
            self._process = _spawned(folder, database, [end.fileno() for end in theirs], lock)
        finally:
            for end in theirs:
                end.close()
        try:
            raise_failure(self._life.receive().header)
        except ChannelClosed:
            self.kill(Kill.ENDED)
            raise SinkUnavailable(f"the embedded ClickHouse in {folder} did not start: {self.exit_words}") from None
        except BaseException:
            self.kill(Kill.ENDED)
            raise
        threading.Thread(target=self._watch, name="engine-memory", daemon=True).start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self.killed is None and self._process.poll() is None

    @property
    def exit_words(self) -> str:
        """Why it ended, for people."""
        if self.killed is not None and self.killed is not Kill.ENDED:
            return str(self.killed)
        code = self._process.poll()
        if code is None:
            return "its process is ending"
        return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"

    @contextmanager
    def reading(self) -> Iterator[Channel]:
        """A channel for one reading statement; waits for a free one."""
        channel = self._free.get()
        with self._changing:
            self._reading += 1
        try:
            yield channel
        finally:
            with self._changing:
                self._reading -= 1
            self._free.put(channel)

    def kill(self, reason: Kill) -> None:
        """Ends the process at once; the first reason is kept. Whoever waits for an answer gets ChannelClosed."""
        with self._changing:
            if self.killed is None:
                self.killed, self.readers_when_killed = reason, self._reading
        self._ended.set()
        self._process.kill()
        self._process.wait()

    def end(self) -> None:
        """Ends the process in order: the engine is closed first, if it can be in time."""
        if self.is_running:
            with suppress(ChannelClosed, AnswerTooLate):
                self._life.ask({}, seconds=_ENDING)
        self.kill(Kill.ENDED)

    def _watch(self) -> None:
        """Ends a process that takes too much memory while it answers. Inserts alone are never a reason."""
        page = os.sysconf("SC_PAGE_SIZE")
        statm = Path(f"/proc/{self.pid}/statm")
        while not self._ended.wait(_LOOK):
            try:
                resident = int(statm.read_text(encoding="ascii").split()[1]) * page
            except (OSError, IndexError):  # it has ended, or this system has no such file
                return
            if resident > self._memory and self._reading:
                self.kill(Kill.TOO_LARGE)


def _spawned(folder: Path, database: str, numbers: list[int], lock: int) -> subprocess.Popen[bytes]:
    paths = [str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    command = [sys.executable, "-P", "-m", "sinks.engine_process", str(folder), database, *map(str, numbers)]
    return subprocess.Popen(  # noqa: S603 -- this program itself, with arguments made here
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        pass_fds=[*numbers, lock],
        # A session of its own: Ctrl-C in a terminal reaches the owner alone.
        start_new_session=True,
    )

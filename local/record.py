"""Keeps what is known of a running server in a small file, so that another process can find it and end it."""

import contextlib
import json
import os
import signal
import subprocess
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from local.process import ServerFailed


@dataclass(frozen=True, slots=True)
class Record:
    """A server's pid, when that process began (a stranger with the same pid is never taken for it), and its address."""

    pid: int
    began: str
    address: str

    @classmethod
    def of(cls, pid: int, address: str) -> Self:
        return cls(pid=pid, began=process_began(pid) or "", address=address)

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """The record of a server that still runs; None where there is none (any more)."""
        try:
            record = cls(**json.loads(path.read_text()))
        except (OSError, ValueError, TypeError):  # none there, or cut short by a crash: then nothing is known
            return None
        return record if record.runs() else None

    @classmethod
    def refuse_second(cls, path: Path) -> None:
        """Raises ServerFailed when the server recorded in `path` still runs: two on one folder spoil its data."""
        record = cls.read(path)
        if record is not None:
            raise ServerFailed(
                f"a server runs on {path.parent} already: pid {record.pid}, address {record.address}; "
                "use it, stop it, or choose another folder"
            )

    def write(self, path: Path) -> None:
        part = path.with_suffix(".part")
        part.write_text(json.dumps(asdict(self)))
        part.replace(path)

    def runs(self) -> bool:
        return bool(self.began) and process_began(self.pid) == self.began


def stop(path: Path, timeout: float = 30.0) -> bool:
    """Ends the server recorded in `path` (SIGTERM, after `timeout` seconds SIGKILL). False when none runs."""
    record = Record.read(path)
    if record is not None:
        for number, patience in ((signal.SIGTERM, timeout), (signal.SIGKILL, timeout)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(record.pid, number)
            deadline = time.monotonic() + patience
            while record.runs() and time.monotonic() < deadline:
                time.sleep(0.05)
            if not record.runs():
                break
        else:
            raise ServerFailed(f"the server with pid {record.pid} ({path}) did not end")
    path.unlink(missing_ok=True)
    return record is not None


def process_began(pid: int) -> str | None:
    """When the process with this pid began, in the system's own words; None when there is none, or it is a zombie."""
    with contextlib.suppress(OSError):
        # After the command's name, which is in parentheses and may hold anything: state, ..., start time in ticks.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if fields[0] == "Z" else fields[19]
    if Path("/proc/self/stat").exists():
        return None
    asked = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return asked.stdout.strip() or None

"""Measures what processes cost, read from /proc, and describes the machine."""

from __future__ import annotations

import os
import platform
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")
_KIB = 1024


def family(pid: int) -> list[int]:
    """The process and everything below it."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (stat := _stat(int(entry.name))):
            children.setdefault(int(stat[1]), []).append(int(entry.name))
    found = [pid]
    for each in found:
        found += children.get(each, [])
    return found


def cpu_seconds(pid: int) -> float:
    """CPU time used so far by the process and everything below it, all threads, user and system."""
    return sum(int(stat[11]) + int(stat[12]) for each in family(pid) if (stat := _stat(each))) / _TICK


def rss_bytes(pid: int) -> int:
    """Resident memory now, of one process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * _KIB
    raise RuntimeError(f"process {pid} has no memory: it has ended")


def load() -> float:
    """How many processes wanted a core, on average, in the last minute."""
    return os.getloadavg()[0]


def description() -> str:
    """One line: processor, cores, memory, kernel, Python, and how busy it was before."""
    model = next((line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if "model name" in line), "?")
    memory = next(int(line.split()[1]) / _KIB**2 for line in _lines("/proc/meminfo") if line.startswith("MemTotal"))
    load = os.getloadavg()[0]
    return (
        f"{os.cpu_count()} cores of {model}, {memory:.0f} GiB, Linux {platform.release()}, "
        f"Python {platform.python_version()}, load {load:.1f} at the start"
    )


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat behind the name, from the state on; None for a process that is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()

"""Who listens on a port of this machine, as far as this user may see it (Linux's /proc)."""

import errno
import os
from pathlib import Path

_PROC = Path("/proc")
_LISTENS = "0A"  # the state in /proc/net/tcp


def holder_of(port: int) -> str:
    """The process that listens on `port`, for an error message: "process 1234 (python -m http.server)".

    "another process" where that cannot be seen: it is another user's, or the system is not Linux.
    """
    sockets = {f"socket:[{inode}]" for inode in _listening(port)}
    for process in _PROC.glob("[0-9]*") if sockets else ():
        try:
            if any(str(descriptor.readlink()) in sockets for descriptor in (process / "fd").iterdir()):
                return f"process {process.name} ({_command(process)})"
        except OSError:  # it has ended, or is another user's
            continue
    return "another process"


def why_not_listening(setting: str, error: OSError, port: int) -> str:
    """What kept a process from listening on the port of a setting, who has it, and what to do, for an error message."""
    if error.errno == errno.EADDRINUSE:
        holder = holder_of(port)
        return f"{os.strerror(error.errno)}: {holder} listens there; stop it, or set {setting} to another"
    return f"{error.strerror}; set another host or port"


def _listening(port: int) -> set[str]:
    """The inodes of the sockets that listen on the port, at any address."""
    inodes = set()
    for table in ("tcp", "tcp6"):
        try:
            lines = (_PROC / "net" / table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == _LISTENS and int(fields[1].rpartition(":")[2], 16) == port:
                inodes.add(fields[9])
    return inodes


def _command(process: Path, most: int = 200) -> str:
    text = (process / "cmdline").read_bytes().rstrip(b"\0").replace(b"\0", b" ").decode("utf-8", "replace")
    return text[:most] or (process / "comm").read_text().strip()

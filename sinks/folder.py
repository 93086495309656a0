"""One process per data directory: the lock, and the engine's settings kept beside the data."""

from __future__ import annotations

import fcntl
import os
import secrets
import time
from pathlib import Path
from xml.sax.saxutils import escape

from sinks.sink import SinkRejected, SinkUnavailable

_ENDING_TRIES = 100
_ENDING_PAUSE = 0.1
"""Seconds between tries."""
LOCK_NAME = "creditmeter.lock"
ID_NAME = "creditmeter.id"

# The one user may do what loading and migrating need and nothing that reaches outside the data directory: without the
# grants for sources there is no file(), url(), s3(), executable() or python(), for readers and for us alike.
# Nothing is compiled: the engine would compile a statement's expressions when it comes for the fourth time, which takes
# it up to a second of CPU (the view `balances`) and is no quicker afterwards, not even over 20 million rows.
USERS = """\
<clickhouse>
  <profiles><default>
    <compile_expressions>0</compile_expressions>
    <compile_aggregate_expressions>0</compile_aggregate_expressions>
    <compile_sort_description>0</compile_sort_description>
  </default></profiles>
  <quotas><default/></quotas>
  <users><default>
    <password></password>
    <networks><ip>::/0</ip></networks>
    <profile>default</profile>
    <quota>default</quota>
    <grants>
      <query>GRANT SHOW, SELECT, INSERT, ALTER, CREATE, DROP, TRUNCATE, OPTIMIZE ON *.*</query>
      <query>GRANT TABLE ENGINE ON *</query>
    </grants>
  </default></users>
</clickhouse>
"""

# fsync: what insert() has returned for stays after a power loss. The free space: an insert that began before the disk
# was full reports success although its part is cut short, so that none begins when there is little room.
SERVER = """\
<clickhouse>
  <users_config>{users}</users_config>
  <user_files_path>{files}/</user_files_path>
  <merge_tree>
    <fsync_after_insert>1</fsync_after_insert>
    <fsync_part_directory>1</fsync_part_directory>
    <min_free_disk_bytes_to_perform_insert>268435456</min_free_disk_bytes_to_perform_insert>
  </merge_tree>
  <mark_cache_size>268435456</mark_cache_size>
</clickhouse>
"""


class FolderLock:
    """Holds a data directory for this process until released or until the process ends, however it ends."""

    def __init__(self, folder: Path) -> None:
        """Raises SinkUnavailable, naming the holder's pid, when another process (or this one) holds it already.

        Raises SinkRejected where this process may not write.
        """
        self._path = folder / LOCK_NAME
        try:
            self._handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _unwritable(folder, error) from error
        if not self._taken():
            holder = self._holder()
            os.close(self._handle)
            raise SinkUnavailable(
                f"the data directory {folder} is held by process {holder}: one process at a time can open it. "
                "Ask that process over its HTTP endpoint, or stop it"
            )
        os.ftruncate(self._handle, 0)
        os.pwrite(self._handle, f"{os.getpid()}\n".encode(), 0)

    @property
    def number(self) -> int:
        """The open file that holds the directory: whoever inherits it holds the directory, too."""
        return self._handle

    def _taken(self) -> bool:
        """Waits for a holder that is dead: the process with its engine ends with it, but a moment later."""
        for _ in range(_ENDING_TRIES):
            try:
                fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                if _is_alive(self._holder()):
                    return False
                time.sleep(_ENDING_PAUSE)
            else:
                return True
        return False

    def _holder(self) -> str:
        return os.pread(self._handle, 32, 0).decode("ascii", "replace").strip() or "unknown"

    def release(self) -> None:
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


def store_id(folder: Path) -> str | None:
    """The id of this data directory; None where there is none yet, or it cannot be read."""
    try:
        return (folder / ID_NAME).read_text(encoding="ascii").strip() or None
    except (OSError, UnicodeDecodeError):
        return None


def keep_store_id(folder: Path) -> str:
    """The directory's id, made where it is missing; only for the holder of the lock. Raises SinkRejected."""
    identity = store_id(folder)
    if identity is None:
        identity = secrets.token_hex(16)
        try:
            (folder / ID_NAME).write_text(f"{identity}\n", encoding="ascii")
        except OSError as error:
            raise _unwritable(folder, error) from error
    return identity


def write_engine_config(folder: Path) -> Path:
    """Writes the engine's settings into the data directory; returns the path of the file to start it with.

    Without a file named, the engine would take a ``config.xml`` that it happens to find in the current directory.
    """
    engine = folder / "engine"
    files = engine / "files"
    files.mkdir(parents=True, exist_ok=True)
    users = engine / "users.xml"
    users.write_text(USERS, encoding="utf-8")
    config = engine / "config.xml"
    config.write_text(SERVER.format(users=escape(str(users)), files=escape(str(files))), encoding="utf-8")
    return config


def prepared(folder: Path) -> Path:
    """The data directory, made where missing, as an absolute path that the engine can be given."""
    folder = folder.absolute()
    if any(mark in str(folder) for mark in "?&%#\\"):
        raise SinkRejected(f"the data directory {folder} has one of ? & % # \\ in its path: the engine cannot open it")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(folder, error) from error
    return folder


def _unwritable(folder: Path, error: OSError) -> SinkRejected:
    return SinkRejected(
        f"the data directory {folder} cannot be written: {error.strerror}; let this process write there, "
        "or choose another one"
    )


def _is_alive(pid: str) -> bool:
    """Whether that process still runs; True where there is no telling."""
    if not pid.isdigit():
        return True
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True

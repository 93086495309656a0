"""Ports that are chosen and not listened on yet: two that start at the same time choose different ones."""

import fcntl
from typing import TextIO

from local.cache import cache_folder
from local.ports import is_free


class PortClaims:
    """Free ports that this process has chosen and that nobody listens on yet.

    Of several processes of one user that start at the same time and want the same port, one has it. A claim ends with
    its process.
    """

    def __init__(self) -> None:
        self._held: dict[int, TextIO] = {}

    def claim(self, port: int) -> bool:
        """Whether a server of this process may listen there: the port is free, and no other process has claimed it."""
        if port in self._held:
            return is_free(port)
        try:
            folder = cache_folder() / "ports"
            folder.mkdir(parents=True, exist_ok=True)
            lock = (folder / f"{port}.lock").open("w")
        except OSError:
            return is_free(port)  # a home that cannot be written keeps no claims
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            return False
        if is_free(port):
            self._held[port] = lock
            return True
        lock.close()
        return False

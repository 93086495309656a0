"""The error of a process that cannot listen at the address that is configured for its metrics."""

from __future__ import annotations


class CannotListen(OSError):
    """Nothing can listen at `port` of `host`, which `setting` says; `errno` and `strerror` are the system's."""

    def __init__(self, setting: str, host: str, port: int, cause: OSError) -> None:
        super().__init__(cause.errno, cause.strerror)
        self.setting = setting
        self.host = host
        self.port = port

    def __str__(self) -> str:
        return f"{self.setting} {self.port} of {self.host}: {self.strerror}"

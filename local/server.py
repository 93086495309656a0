"""The life of a server of this machine, whatever it serves: ports, start, end, restart, and what others know of it."""

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from local.ports import free_ports, is_free
from local.process import ServerFailed, ServerProcess
from local.record import Record

HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Program:
    """How a server's program is called: the beginning of its command line, and additions to the environment."""

    command: list[str]
    environment: Mapping[str, str] = field(default_factory=dict)


class LocalServer(ABC):
    """One server whose settings, data and log are in `folder`: `start()` it, or use it as a context manager.

    A server on a folder that was used before keeps its data, and its ports while they are free. It ends with the
    process that started it, unless `outlive` is set: then `local.record.stop(folder / "<short_name>.json")` ends it,
    from any process. `ports` fixes ports by name. Every method that starts raises ServerFailed, with the tail of the
    log, when it cannot.

    The server runs *in* its folder and is given relative paths only: whatever characters the folder's name holds, no
    settings file can misread them.
    """

    name: ClassVar[str]  # for messages
    short_name: ClassVar[str]  # of its log and its record
    port_names: ClassVar[tuple[str, ...]]
    start_timeout: ClassVar[float]  # seconds
    stop_timeout: ClassVar[float] = 30.0  # seconds

    def __init__(self, folder: Path, *, outlive: bool = False, ports: Mapping[str, int] | None = None) -> None:
        self.folder = folder.absolute()
        self.log = self.folder / f"{self.short_name}.log"
        self._record = self.folder / f"{self.short_name}.json"
        self._outlive = outlive
        self._ports = dict(ports or {})
        self._process: ServerProcess | None = None

    @abstractmethod
    def _find_program(self) -> Program:
        """How the program is called, fetched first where needed. Raises ServerFailed where it cannot be had."""

    @abstractmethod
    def _prepare(self, program: Program) -> list[str]:
        """Writes the settings into the folder, which exists, and returns the rest of the command line."""

    @abstractmethod
    def _answers(self) -> bool:
        """Whether the server takes requests."""

    @property
    def port(self) -> int:
        """The first port, on 127.0.0.1, the same over restarts. Raises ServerFailed before the first start."""
        return self._known_port(self.port_names[0])

    @property
    def pid(self) -> int:
        """The pid of the server's own process. Raises ServerFailed when it is stopped."""
        if self._process is None:
            raise ServerFailed(f"{self.name} in {self.folder} is not running")
        return self._process.pid

    def start(self) -> Self:
        """Returns when the server answers. Fetches its program and makes its storage first where needed."""
        if self._process is not None:
            raise ServerFailed(f"{self.name} in {self.folder} runs already, with pid {self.pid}")
        self._check_folder()
        Record.refuse_second(self._record)
        program = self._find_program()
        self.folder.mkdir(parents=True, exist_ok=True)
        self._choose_ports()
        command = [*program.command, *self._prepare(program)]
        process = ServerProcess(
            self.name, command, log=self.log, env=program.environment, cwd=self.folder, outlive=self._outlive
        )
        process.wait_until(self._answers, self.start_timeout)
        self._process = process
        Record.of(process.pid, f"{HOST}:{self.port}").write(self._record)
        return self

    def stop(self) -> None:
        """Ends it in order. Does nothing to a server that is stopped."""
        if self._process is not None:
            self._process.terminate(self.stop_timeout)
            self._forget()

    def kill(self) -> None:
        """Ends it as a crash would (kill -9). Does nothing to a server that is stopped."""
        if self._process is not None:
            self._process.kill()
            self._forget()

    def restart(self) -> Self:
        """Stops it, where it runs, and starts it with the same ports and data."""
        self.stop()
        return self.start()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _known_port(self, name: str) -> int:
        if name not in self._ports:
            raise ServerFailed(f"{self.name} in {self.folder} has not been started")
        return self._ports[name]

    def _forget(self) -> None:
        self._process = None
        self._record.unlink(missing_ok=True)

    def _check_folder(self) -> None:
        """Refuses a folder that servers cannot name: they know names in UTF-8 only."""
        try:
            os.fsencode(self.folder).decode()
        except UnicodeDecodeError as error:
            raise ServerFailed(
                f"{self.name} cannot run in {os.fsencode(self.folder)!r}: the name is not UTF-8; choose another folder"
            ) from error

    def _choose_ports(self) -> None:
        """Keeps the ports of the last start on this folder where they are free, and picks others where they are not."""
        kept = self.folder / "ports.json"
        try:
            last = dict(json.loads(kept.read_text()))
        except (OSError, ValueError, TypeError):  # never started here, or cut short by a crash
            last = {}
        fresh = free_ports(len(self.port_names))
        for name, port in zip(self.port_names, fresh, strict=True):
            if name not in self._ports:
                self._ports[name] = last[name] if name in last and is_free(last[name]) else port
        kept.write_text(json.dumps(self._ports))

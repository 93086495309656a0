"""Everything on this machine in one folder: a broker, a worker, a loader with embedded ClickHouse.

What always holds: each process is started and ended by its own pid, writes its log below `logs`, and ends with the
process that holds the Stack, however that one ends.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from cli.config import ENV_PREFIX
from cli.config_sources import RUN_RECORD
from local.ports import free_ports, is_free
from local.process import ServerProcess
from local.start import Broker

if TYPE_CHECKING:
    from cli.config import Settings

_READY_SECONDS = 90.0
_STOP_SECONDS = 40.0


@dataclass
class Stack:
    """The processes of one data directory. `begin_broker` gives a broker that answers; `say` tells people."""

    settings: Settings
    begin_broker: Callable[[], Broker]
    say: Callable[[str], None]
    config: Sequence[str] = ()
    broker: Broker | None = None
    addresses: dict[str, str | int] = field(default_factory=dict)
    _processes: dict[str, ServerProcess] = field(default_factory=dict)

    def start(self) -> None:
        """Return when the broker answers, the worker has its partitions and the loader answers queries.

        Raises NoService and ServerFailed; then what has been started is still to be stopped.
        """
        folder = self.settings.data_dir
        for name in ("logs", "ready"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / ".gitignore").write_text("*\n")
        self.say("Starting Kafka …")
        self.broker = self.begin_broker()
        port = self._query_port()
        self.addresses = {"bootstrap_servers": self.broker.bootstrap, "query_port": port}
        self.say(f"Kafka answers at {self.broker.bootstrap}. Starting worker and loader …")
        self.start_worker()
        self._start("loader", "load")
        self.wait_for_worker()
        self._wait("loader")
        self._write_record()

    def start_worker(self) -> None:
        """Start the worker, which must not run."""
        self._start("worker", "worker")

    def wait_for_worker(self) -> None:
        """Return when the worker has been given partitions. Raises ServerFailed."""
        self._wait("worker")

    def kill_worker(self) -> None:
        """End the worker as a crash would (SIGKILL)."""
        self._processes.pop("worker").kill()

    def ended(self) -> str | None:
        """What has ended by itself, in words with the end of its log; None while everything runs."""
        for process in self._processes.values():
            code = process.exit_code()
            if code is not None:
                return str(process.failure(f"ended by itself with exit code {code}"))
        return None

    def stop(self) -> None:
        """End the loader, the worker and the broker, in order. Does nothing to what does not run."""
        (self.settings.data_dir / RUN_RECORD).unlink(missing_ok=True)
        for name in ("worker", "loader"):
            process = self._processes.pop(name, None)
            if process is not None:
                process.terminate(_STOP_SECONDS)
        if self.broker is not None:
            self.broker.stop()
            self.broker = None

    def environment(self) -> dict[str, str]:
        """What a command needs in its environment to work on this stack."""
        own = {**self.addresses, "data_dir": str(self.settings.data_dir.absolute())}
        return {f"{ENV_PREFIX}{name.upper()}": str(value) for name, value in own.items()}

    def _start(self, name: str, command: str) -> None:
        ready = self._ready_file(name)
        ready.unlink(missing_ok=True)
        arguments = [sys.executable, "-P", "-m", "cli.main", command, "--ready-file", str(ready), *self.config]
        log = self.settings.data_dir / "logs" / f"{name}.log"
        environment = {**os.environ, **self.environment()}
        self._processes[name] = ServerProcess(f"the {name}", arguments, log=log, env=environment)

    def _wait(self, name: str) -> None:
        self._processes[name].wait_until(self._ready_file(name).exists, _READY_SECONDS)

    def _ready_file(self, name: str) -> Path:
        return self.settings.data_dir.absolute() / "ready" / name

    def _query_port(self) -> int:
        """The configured port, or a free one where somebody else has it."""
        port = self.settings.query_port
        return port if is_free(port) else free_ports(1)[0]

    def _write_record(self) -> None:
        path = self.settings.data_dir / RUN_RECORD
        part = path.with_suffix(".part")
        part.write_text(json.dumps(self.addresses))
        part.replace(path)

"""Everything on this machine in one folder: a broker, a worker, a loader with embedded ClickHouse, and a server.

What always holds: each process is started and ended by its own pid, writes its log below `logs`, and ends with the
process that holds the Stack, however that one ends. A part that ends by itself is started again by `mend`.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from application.configuration.settings import ENV_PREFIX
from application.configuration.sources import RUN_RECORD
from application.wording import shown_time
from local.answers import wait_until
from local.broker import LocalBroker
from local.port_claims import PortClaims
from local.ports import free_ports
from local.process import ServerFailed, ServerProcess, tail
from local.record import Record
from local.start import Broker
from streams import clock

if TYPE_CHECKING:
    from application.configuration.settings import Settings

_READY_SECONDS = 240.0
"""A worker is ready when its states are opened, those too that it has to restore from checkpoints first."""
_STOP_SECONDS = 40.0
_BROKER_LOOK_SECONDS = 1.0
_LOG_LINES = 10
_COMMANDS = {"worker": "worker", "loader": "load", "server": "serve", "deliverer": "deliver"}
_WITH_SERVER = {"server", "deliverer"}


@dataclass
class Deaths:
    """When one part has ended by itself, and how long to pause before it is started again."""

    PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
    HEALTHY_SECONDS = 60.0
    AT_MOST = 8
    WITHIN_SECONDS = 300.0

    times: deque[float] = field(default_factory=lambda: deque(maxlen=Deaths.AT_MOST))
    in_a_row: int = 0

    def pause(self, now: float, healthy: float) -> float | None:
        """Note a death now, after so many seconds of health. The pause before the next start; None means give up."""
        if healthy >= self.HEALTHY_SECONDS:
            self.in_a_row = 0
        self.times.append(now)
        if len(self.times) == self.AT_MOST and now - self.times[0] <= self.WITHIN_SECONDS:
            return None
        pause = self.PAUSES[min(self.in_a_row, len(self.PAUSES) - 1)]
        self.in_a_row += 1
        return pause


@dataclass
class _Part:
    """One part: its process while it runs, and when it is to be started again while it does not."""

    process: ServerProcess | None = None
    who: Record | None = None
    ready_at: float | None = None
    due: float | None = None
    deaths: Deaths = field(default_factory=Deaths)


@dataclass
class Stack:
    """The processes of one data directory. `begin_broker` returns a broker that answers; `report` prints a line.

    `set_ports`: names of ports that somebody has set, which are taken as they are. `with_server`: whether HTTP is
    served, and webhooks delivered, too. `prepare` is called with the addresses when everything answers, before anybody
    else is told so.
    """

    settings: Settings
    begin_broker: Callable[[], Broker]
    report: Callable[[str], None]
    config: Sequence[str] = ()
    broker: Broker | None = None
    addresses: dict[str, str | int] = field(default_factory=dict)
    set_ports: Collection[str] = ()
    with_server: bool = False
    prepare: Callable[[Mapping[str, str | int]], None] = lambda _addresses: None
    _parts: dict[str, _Part] = field(default_factory=dict)
    _own_broker: Record | None = None
    _claims: PortClaims = field(default_factory=PortClaims)
    _broker_seen: float = 0.0

    def __post_init__(self) -> None:
        self._parts = {name: _Part() for name in _COMMANDS if name not in _WITH_SERVER or self.with_server}

    def start(self) -> None:
        """Return when the broker answers, worker and loader have taken on their partitions, and the server answers.

        Raises NoService and ServerFailed; then what has been started is still to be stopped.
        """
        folder = self.settings.data_dir
        for name in ("logs", "ready"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / ".gitignore").write_text("*\n")
        self.report("Starting Kafka …")
        self.broker = self.begin_broker()
        if isinstance(self.broker, LocalBroker):
            self._own_broker = Record.of(self.broker.pid, self.broker.bootstrap)
        self.addresses = {"bootstrap_servers": self.broker.bootstrap, "query_port": self._port("query_port")}
        if self.with_server:
            self.addresses["serve_port"] = self._port("serve_port")
        others = "worker, loader, server and deliverer" if self.with_server else "worker and loader"
        self.report(f"Kafka answers at {self.broker.bootstrap}. Starting {others} …")
        self.start_worker()
        self._start("loader")
        self.wait_for_worker()
        if self.with_server:  # the topics are there
            self._start("server")
            self._start("deliverer")
        for name in list(self._parts)[1:]:
            self._wait(name)
        self.prepare(self.addresses)
        self._write_record()

    def start_worker(self) -> None:
        """Start the worker, which must not run."""
        self._start("worker")

    def wait_for_worker(self, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Return when the worker has taken on its partitions; calls `meanwhile` often. Raises ServerFailed."""
        self._wait("worker", meanwhile)

    def kill_worker(self) -> None:
        """End the worker as a crash would (SIGKILL)."""
        part = self._parts["worker"]
        if part.process is not None:
            part.process.kill()
            part.process = None

    def ended(self) -> str | None:
        """What has ended by itself, in words with the end of its log; None while everything runs."""
        for part in self._parts.values():
            if part.process is not None and (code := part.process.exit_code()) is not None:
                return str(part.process.failure(f"ended by itself with {_exit_code(code)}"))
        return None

    def mend(self) -> None:
        """Start again what has ended by itself, after a pause that grows. To be called often; returns at once.

        Raises ServerFailed when that is no use: Kafka has ended, or a part has ended too often.
        """
        now = clock.monotonic()
        self._look_at_broker(now)
        for name, part in self._parts.items():
            if part.process is not None:
                code = part.process.exit_code()
                if code is not None:
                    self._mourn(part, part.process, code, now)
                elif part.ready_at is None and self._ready_file(name).exists():
                    part.ready_at = now
                    self.report(f"{_time()} the {name} runs again (pid {part.process.pid})")
            elif part.due is not None and now >= part.due:
                self._start(name)

    def stop(self) -> None:
        """End server and deliverer, then worker and loader at the same time, then the broker; those that run."""
        (self.settings.data_dir / RUN_RECORD).unlink(missing_ok=True)
        self._end("server", "deliverer")
        self._end("worker", "loader")
        self._own_broker = None
        if self.broker is not None:
            self.broker.stop()
            self.broker = None

    def _end(self, *names: str) -> None:
        """Ask these parts to end, all at once, and wait for them together."""
        parts = [self._parts[name] for name in names if name in self._parts]
        for part in parts:
            part.due = None
            if part.process is not None:
                part.process.ask_to_end()
        deadline = clock.monotonic() + _STOP_SECONDS
        for part in parts:
            if part.process is not None:
                part.process.wait_or_kill(max(0.0, deadline - clock.monotonic()))
                part.process = None

    def environment(self) -> dict[str, str]:
        """What a command needs in its environment to work on this stack."""
        own = {**self.addresses, "data_dir": str(self.settings.data_dir.absolute())}
        return {f"{ENV_PREFIX}{name.upper()}": str(value) for name, value in own.items()}

    def _look_at_broker(self, now: float) -> None:
        """Raise ServerFailed when a Kafka of our own has ended."""
        if self._own_broker is None or now - self._broker_seen < _BROKER_LOOK_SECONDS:
            return
        self._broker_seen = now
        if not self._own_broker.runs() and isinstance(self.broker, LocalBroker):
            log = self.broker.log
            raise ServerFailed(
                f"{_time()} Kafka (pid {self._own_broker.pid}) ended by itself; the end of {log}:\n{tail(log)}"
            )

    def _mourn(self, part: _Part, process: ServerProcess, code: int, now: float) -> None:
        """Say what ended, and when it is to be started again. Raises ServerFailed when it has ended too often."""
        process.kill()  # it is gone: this lets go of its pipes
        if part.who is not None:
            _end_orphan(part.who)
        pause = part.deaths.pause(now, 0.0 if part.ready_at is None else now - part.ready_at)
        part.process = None
        what = f"{_time()} {process.name} ended by itself with {_exit_code(code)}"
        end = f"the end of {process.log}:\n{tail(process.log, _LOG_LINES)}"
        if pause is None:
            minutes = Deaths.WITHIN_SECONDS / 60
            raise ServerFailed(f"{what}, for the {Deaths.AT_MOST}th time within {minutes:.0f} minutes; {end}")
        part.due = now + pause
        self.report(f"{what}; starting it again in {pause:.0f} s; {end}")

    def _start(self, name: str) -> None:
        ready = self._ready_file(name)
        ready.unlink(missing_ok=True)
        arguments = [sys.executable, "-P", "-m", "cli.main", _COMMANDS[name], "--ready-file", str(ready), *self.config]
        log = self.settings.data_dir / "logs" / f"{name}.log"
        environment = {**os.environ, **self.environment()}
        part = self._parts[name]
        part.process = ServerProcess(f"the {name}", arguments, log=log, env=environment)
        part.who = Record.of(part.process.pid, "")
        part.ready_at = part.due = None

    def _wait(self, name: str, meanwhile: Callable[[], None] = lambda: None) -> None:
        part = self._parts[name]
        if part.process is None:
            raise ServerFailed(f"the {name} has not been started")
        ready = self._ready_file(name)

        def is_ready() -> bool:
            meanwhile()
            return ready.exists()

        part.process.wait_until(is_ready, _READY_SECONDS)
        part.ready_at = clock.monotonic()

    def _ready_file(self, name: str) -> Path:
        return self.settings.data_dir.absolute() / "ready" / name

    def _port(self, name: str) -> int:
        """The configured port; a free one where somebody else has it and nobody has set it.

        A port that was set is what others ask, whatever is noted here: who is to listen takes it or says who has it.
        """
        port: int = getattr(self.settings, name)
        return port if name in self.set_ports or self._claims.claim(port) else free_ports(1)[0]

    def _write_record(self) -> None:
        path = self.settings.data_dir / RUN_RECORD
        part = path.with_suffix(".part")
        part.write_text(json.dumps(self.addresses))
        part.replace(path)


def _end_orphan(who: Record) -> None:
    """End a server whose keeper alone was killed, by its own pid: two on one folder would spoil its data."""
    if who.runs():
        os.kill(who.pid, signal.SIGKILL)
        wait_until(lambda: not who.runs(), _STOP_SECONDS, lambda: None)


def _exit_code(code: int) -> str:
    """The exit code in words, with the signal's name where one ended it."""
    number = -code if code < 0 else code - 128
    name = next((f" ({known.name})" for known in signal.Signals if known == number), "")
    return f"exit code {code}{name}"


def _time() -> str:
    return shown_time(clock.now_ms() // 1_000 * 1_000)

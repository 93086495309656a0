"""A pipeline of real processes for tests: workers and a loader on a real broker, to be killed and started again."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from schemas.codec import Codec
from streams.log.connections import KafkaConnections, group_lag
from streams.log.input_log import KafkaInputLog
from streams.log.output_log import KafkaOutputLog
from streams.log.pipeline_seals import PipelineSeals
from streams.log.seal_ledger import SealKeys
from streams.log.seals import SealedLog
from streams.log.topics import TopicNames, TopicSettings, ensure_topics
from tests.forked_command import ForkedCommand
from tests.stores import with_schema

PATIENCE = 240.0
"""Seconds that anything may take on a machine with much else to do; no test waits as long where all is well."""

Line = tuple[Any, ...]
LINE_FIELDS = (
    "account_id", "event_id", "line", "occurred_at", "decision", "charge", "credit_type", "units", "unit_credits",
    "credits", "owner_event_id", "window_ends_at", "balance_after",
)  # fmt: skip


class Pipeline:
    """One topic prefix, its processes, and what it should come to."""

    def __init__(self, bootstrap: str, prefix: str, folder: Path, partitions: int = 4) -> None:
        self.bootstrap = bootstrap
        self.names = TopicNames(prefix)
        self.folder = folder
        self.partitions = partitions
        self.codec = Codec()
        self.processes: dict[str, subprocess.Popen[bytes] | ForkedCommand] = {}
        topics = ensure_topics(bootstrap, self.names, TopicSettings(partitions=partitions))
        self.seal_keys = SealKeys(topics[self.names.requests])
        self.sender = KafkaOutputLog(bootstrap, self.codec.read_position)

    def send(self, messages: Iterable[tuple[int, int, bytes]]) -> None:
        """(partition, ignored time, value) into the input log."""
        for partition, _time, value in messages:
            self.sender.send(self.names.requests, partition, value)
        self.sender.wait()

    def start(self, name: str, *, machine: str = "one", file_kib: int | None = None) -> None:
        """A worker (worker…) or the loader; ``machine`` names the folder that stands for a machine's disk.

        No file of it may grow beyond ``file_kib`` KiB, as on a disk that is full.
        """
        home = self.folder / machine
        home.mkdir(parents=True, exist_ok=True)
        config = home / f"{name}.toml"
        config.write_text(
            f'bootstrap_servers = "{self.bootstrap}"\ntopic_prefix = "{self.names.prefix}"\nsession_timeout = 2\n'
            f'partitions = {self.partitions}\ndata_dir = "{home}/data"\nquery_port = {_free_port()}\n'
        )
        limit = ["bash", "-c", f'ulimit -f {file_kib}; exec "$@"', "limited", sys.executable, "-m", "cli.main"]
        self._launch(name, None if file_kib is None else limit, config)

    def start_load(self, *options: str) -> None:
        """The loader once more, with options of its command."""
        self._launch("loader", None, self.folder / "one" / "loader.toml", *options)

    def _launch(self, name: str, program: list[str] | None, config: Path, *options: str, within: str = "") -> None:
        """Starts it with the arguments of its command; a name that begins with "loader" is a loader.

        ``program``: how `creditmeter` is called where its start is not to be a plain one. ``within``: Python that it
        runs before it begins, where it is.
        """
        command = "load" if name.startswith("loader") else "worker"
        ready = self._ready_file(name)
        ready.unlink(missing_ok=True)
        arguments = [command, "--config", str(config), "--ready-file", str(ready), *options]
        path = self.folder / f"{name}.log"
        if command == "load":
            with contextlib.suppress(OSError):  # where a test keeps the loader from its store, it says so itself
                with_schema(config.parent / "data" / "clickhouse")
        if program is None:
            self.processes[name] = ForkedCommand(arguments, path, within=within)
            return
        with path.open("ab") as log:
            self.processes[name] = subprocess.Popen([*program, *arguments], stdout=log, stderr=log)

    def check_running(self) -> None:
        """Fails where a process ended by itself. Another thread may kill one meanwhile, and start it anew."""
        for name, process in list(self.processes.items()):
            if process.poll() is not None:
                assert self.processes.get(name) is not process, f"{name} ended by itself:\n{self.log_of(name)}"

    def kill(self, name: str) -> None:
        process = self.processes.pop(name)
        assert process.poll() is None, f"{name} had ended by itself:\n{self.log_of(name)}"
        process.send_signal(signal.SIGKILL)
        process.wait()

    def stop(self, name: str) -> None:
        """Ends it in order; it must answer with exit code 0."""
        until = time.monotonic() + PATIENCE
        while not self._ready_file(name).exists():
            assert time.monotonic() < until, f"{name} has no partitions:\n{self.log_of(name)}"
            time.sleep(0.1)
        process = self.processes.pop(name)
        process.terminate()
        assert process.wait(PATIENCE) == 0, self.log_of(name)

    def close(self) -> None:
        for process in self.processes.values():
            process.kill()
            process.wait()
        self.sender.close()

    def log_of(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()[-4_000:]

    def _ready_file(self, name: str) -> Path:
        return self.folder / f"{name}.ready"

    def wait_until_rated(self, seconds: float = PATIENCE) -> None:
        self._wait(self.names.rating_group, [self.names.requests], seconds)

    def wait_until_loaded(self, seconds: float = PATIENCE) -> None:
        self._wait(self.names.loading_group, self.names.loaded, seconds)

    def _wait(self, group: str, topics: Iterable[str], seconds: float) -> None:
        connections = KafkaConnections(self.bootstrap, self.names, Codec(), {})
        until = time.monotonic() + seconds
        topics = list(topics)
        try:
            while behind := self._behind(connections, group, topics):
                self.check_running()
                assert time.monotonic() < until, f"{behind} after {seconds} s"
                time.sleep(0.2)
        finally:
            connections.close()

    def _behind(self, connections: KafkaConnections, group: str, topics: Iterable[str]) -> str:
        """What waits in the first topic where something does: to look at all of them costs as much as the work."""
        for topic in topics:
            if count := sum(group_lag(connections, group, [topic], self.partitions).values()):
                return f"{count} messages of {topic} behind"
        return ""

    def in_topics(self) -> dict[str, list[Line]]:
        """Billed lines and dead letters as a reader of the output topics sees them."""
        billed: list[Line] = []
        dead: list[Line] = []
        for batch in self._read(self.names.billed):
            billed += [_line(event) for event in batch["events"]]
        for batch in self._read(self.names.dead_letters):
            place = batch["source_partition"], batch["source_offset"]
            dead += [(*place, letter["index"], letter["reason"]) for letter in batch["dead_letters"]]
        return {"billed": billed, "dead": dead}

    def bytes_in_topics(self) -> dict[tuple[str, int], list[bytes]]:
        """Every output message that a reader takes, by topic and partition."""
        return {
            (topic, partition): values
            for topic in self.names.outputs
            for partition, values in enumerate(self._values(topic))
        }

    def _read(self, topic: str) -> Iterable[dict[str, Any]]:
        for values in self._values(topic):
            yield from (self.codec.decode(value)[1] for value in values)

    def _values(self, topic: str) -> list[list[bytes]]:
        """By partition, what a reader takes. One client reads them all."""
        whole = KafkaInputLog(self.bootstrap, topic)
        seals = PipelineSeals(self.bootstrap, self.names, self.seal_keys)
        log = SealedLog(whole, topic, seals.opened())
        by_partition: list[list[bytes]] = [[] for _ in range(self.partitions)]
        for partition, taken in enumerate(by_partition):
            last = (-1, -1)
            for message in log.read(partition, *log.bounds(partition)):
                position = self.codec.read_position(message.value)
                if position > last:
                    last = position
                    taken.append(message.value)
        whole.close()
        seals.close()
        return by_partition


def _line(record: dict[str, Any]) -> Line:
    """The fields that matter, decisions as plain strings."""
    return tuple(str(record[field]) if field == "decision" else record[field] for field in LINE_FIELDS)


def _free_port() -> int:
    from local.ports import free_ports

    return free_ports(1)[0]

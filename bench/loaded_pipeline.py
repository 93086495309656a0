"""Worker and loader of one pipeline at work, over the same broker, and the loader's window for SQL."""

from __future__ import annotations

import sys
import time
from typing import Self

from bench.backlog import prepare
from bench.contest import STOP_SECONDS, Place, environment
from bench.machine import cpu_seconds
from local.ports import free_ports
from local.process import ServerFailed, ServerProcess
from schemas.codec import Codec
from sinks.http import remote_query
from sinks.sink import SinkUnavailable
from streams.loading.positions import TABLE
from streams.log.topics import TopicNames

_PATIENCE_SECONDS = 60.0
_LOOK_SECONDS = 0.1
_REACHED = f"SELECT topic, log_partition, source_offset FROM {TABLE} FINAL"


class LoadedPipeline:
    """From its topics, made with the price book in them, to embedded ClickHouse; for the time of the block.

    The block begins once the worker has its partitions and the loader answers.
    """

    def __init__(self, place: Place, prefix: str, codec: Codec) -> None:
        self.names = TopicNames(prefix)
        prepare(place.bootstrap, self.names, codec)
        port = free_ports(1)[0]
        self._url = f"http://127.0.0.1:{port}"
        env = environment(place, prefix) | {"CREDITMETER_QUERY_PORT": str(port)}
        self._ready = place.folder / f"{prefix}-worker.ready"
        commands = {"loader": ["load"], "worker": ["worker", "--ready-file", str(self._ready)]}
        self._processes = {
            name: ServerProcess(
                name, [sys.executable, "-m", "cli.main", *words], log=place.folder / f"{prefix}-{name}.log", env=env
            )
            for name, words in commands.items()
        }

    def __enter__(self) -> Self:
        try:
            self._wait()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def rows(self, sql: str) -> list[list[str]]:
        """A statement's rows, each value as text. Raises SinkUnavailable."""
        text = remote_query(self._url, sql, "TabSeparated").decode()
        return [line.split("\t") for line in text.splitlines()]

    def reached(self) -> dict[int, int]:
        """By partition, the last input message all of whose lines are visible. Costs the loader little."""
        lines = self.rows(_REACHED)
        return {int(partition): max(0, int(offset)) for topic, partition, offset in lines if topic == self.names.billed}

    def check(self) -> None:
        """Raises ServerFailed where one of the two has ended."""
        for process in self._processes.values():
            if process.exit_code() is not None:
                raise process.failure("ended by itself")

    def failure(self, reason: str) -> ServerFailed:
        """What to raise where the loader does not do what it should."""
        return self._processes["loader"].failure(reason)

    def cpu_seconds(self) -> dict[str, float]:
        """CPU used so far by each of the two, by name; the engine's is the loader's."""
        return {name: cpu_seconds(process.pid) for name, process in self._processes.items()}

    def _wait(self) -> None:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not (self._ready.exists() and self._answers()):
            self.check()
            if time.monotonic() > deadline:
                raise self.failure("and the worker were not ready in time")
            time.sleep(_LOOK_SECONDS)

    def _answers(self) -> bool:
        try:
            return bool(self.rows("SELECT 1"))
        except SinkUnavailable:
            return False

    def _end(self) -> None:
        for process in self._processes.values():
            process.terminate(STOP_SECONDS)

"""Fixtures of tests that run `creditmeter`: in this process, as a process of its own, and beside a running worker."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cli.main import main
from local.ports import free_ports
from local.shared import SharedKafka
from tests.forked_command import ForkedCommand
from tests.harness import PATIENCE, Pipeline
from tests.stores import with_schema

BOOK = """\
price_lock: none
versions:
  - version: "2026-01"
    effective_from: 2026-01-01T00:00:00Z
    charges:
      - charge: pageview
        when: {endpoint: /v1/pageview}
        credits: 1
      - charge: ip-lookup
        feature: Identification
        action: IP to company lookup
        when: {endpoint: /v1/ip-lookup, channel: api}
        credits: 20
        plans: {enterprise: 15}
        unique: {by: [ip], within: 24h}
"""
MORE_CHARGES = """\
      - charge: company
        when: {endpoint: "/v1/company*"}
        credits: 10
        unique: {by: [domain], within: ever}
      - charge: mail
        when: {endpoint: /v1/company/mail}
        per: emails
        credits: 3
        credit_type: email
"""
"""With these `BOOK` has claims for ever, a second credit type, and an event of two lines."""


@pytest.fixture
def book(tmp_path: Path) -> Path:
    """The file of a good price book."""
    path = tmp_path / "book.yaml"
    path.write_text(BOOK)
    return path


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs the command in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run_command(*arguments: str | Path, stdin: str | bytes | None = None) -> Result:
        return CliRunner().invoke(main, [str(argument) for argument in arguments], input=stdin, catch_exceptions=False)

    return run_command


def own_ports() -> str:
    """Lines of a configuration with ports of the test's own: the default ones may be another test's, beside this."""
    query, serve = free_ports(2)
    return f"query_port = {query}\nserve_port = {serve}\n"


class WorkerAndLoader:
    """Both, with the configuration of this folder: what most tests need of all that `up` starts."""

    def __init__(self) -> None:
        self.folder = Path.cwd()
        with_schema(self.folder / ".creditmeter" / "clickhouse")
        self._running = {
            name: ForkedCommand([name, "--ready-file", f"{name}.ready"], self._log_of(name))
            for name in ("worker", "load")
        }

    def wait_ready(self) -> None:
        """Returns when both have been given partitions."""
        deadline = time.monotonic() + PATIENCE
        for name, process in self._running.items():
            while not (self.folder / f"{name}.ready").exists():
                assert process.poll() is None, self._log_of(name).read_text()
                assert time.monotonic() < deadline, self._log_of(name).read_text()
                time.sleep(0.05)

    def stop(self) -> None:
        """Ends them in order."""
        for process in self._running.values():
            process.terminate()
        for name, process in self._running.items():
            assert process.wait(PATIENCE) == 0, self._log_of(name).read_text()

    def close(self) -> None:
        for process in self._running.values():
            process.kill()
            process.wait()

    def _log_of(self, name: str) -> Path:
        return self.folder / f"{name}.log"


@contextmanager
def worker_and_loader() -> Iterator[WorkerAndLoader]:
    """They run for the block, or until they are stopped."""
    running = WorkerAndLoader()
    try:
        running.wait_ready()
        yield running
    finally:
        running.close()


@pytest.fixture
def process(tmp_path: Path) -> Callable[..., "subprocess.Popen[bytes]"]:
    """Starts the command as a process of its own, in an empty folder; the test waits for it."""

    def start(*arguments: str | Path, **environment: str) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [sys.executable, "-m", "cli.main", *map(str, arguments)],
            cwd=tmp_path,
            env=os.environ | environment | {"PYTHONPATH": str(Path(__file__).parents[1])},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    return start


@pytest.fixture(scope="session")
def rated(kafka: SharedKafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    """A pipeline of two partitions with a price book and a worker that runs all the time.

    Tests that share it have account ids of their own.
    """
    folder = tmp_path_factory.mktemp("rated")
    pipeline = Pipeline(kafka.bootstrap, kafka.fresh_prefix(), folder, partitions=2)
    pipeline.start("worker")
    try:
        (folder / "book.yaml").write_text(BOOK + MORE_CHARGES)
        published = _run_with(pipeline, "prices", "publish", folder / "book.yaml")
        assert published.exit_code == 0, published.stderr
        yield pipeline
    finally:
        pipeline.close()


@pytest.fixture
def here(rated: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs the command on the machine of the worker of `rated`."""
    monkeypatch.chdir(tmp_path)
    return lambda *arguments, stdin=None: _run_with(rated, *arguments, stdin=stdin)


def _run_with(pipeline: Pipeline, *arguments: str | Path, stdin: str | bytes | None = None) -> Result:
    line = ["--config", str(pipeline.folder / "one" / "worker.toml"), *map(str, arguments)]
    return CliRunner().invoke(main, line, input=stdin, catch_exceptions=False)


@pytest.fixture
def unused_port() -> int:
    """A port of this machine that nobody listens at."""
    return free_ports(1)[0]

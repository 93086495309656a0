"""Services record while they, the server and the broker are killed: each event is in the log, or its loss was reported.

`CREDITMETER_TEST_CLIENT_KILLS` says how often something is killed, `CREDITMETER_TEST_OUTAGE` for how many seconds the
server or the broker stays away, `CREDITMETER_TEST_SEED` what is killed beyond the first six.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli.main import main
from local.ports import free_ports
from local.start import Broker
from schemas.codec import Codec
from streams.log.reader import KafkaReader
from streams.log.topics import TopicNames, TopicSettings, ensure_topics
from tests.forked_command import ForkedCommand

KILLS = int(os.environ.get("CREDITMETER_TEST_CLIENT_KILLS", "4"))
OUTAGE = float(os.environ.get("CREDITMETER_TEST_OUTAGE", "2"))
SEED = int(os.environ.get("CREDITMETER_TEST_SEED", "20261126"))
PARTITIONS = 2
ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.kafka, pytest.mark.crash, pytest.mark.slow, pytest.mark.timeout(600 + 60 * KILLS)]


class Company:
    """A broker, a server, and the services that send to them; each can be killed."""

    def __init__(self, broker: Broker, folder: Path) -> None:
        self.broker = broker
        self.folder = folder
        self.names = TopicNames("credits")
        self.processes: dict[str, subprocess.Popen[bytes] | ForkedCommand] = {}
        (self.port,) = free_ports(1)
        self.config = folder / "creditmeter.toml"
        self.config.write_text(
            f'bootstrap_servers = "{broker.bootstrap}"\npartitions = {PARTITIONS}\ndata_dir = "{folder}/data"\n'
            f"serve_port = {self.port}\nquery_port = {free_ports(1)[0]}\n"
        )
        ensure_topics(broker.bootstrap, self.names, TopicSettings(partitions=PARTITIONS))
        made = CliRunner().invoke(main, ["--config", str(self.config), "keys", "create", "producer"])
        assert made.exit_code == 0, made.stderr
        self.key = made.stdout.strip()

    def start_server(self) -> None:
        ready = self.folder / "ready"
        ready.unlink(missing_ok=True)
        arguments = ["--config", str(self.config), "--ready-file", str(ready)]
        self.processes["server"] = ForkedCommand(arguments, self.folder / "server.log", program="server.__main__")
        self.wait(ready.exists, "the server is not ready")

    def start_service(self, kind: str) -> None:
        ready = self.folder / f"{kind}.ready"
        ready.unlink(missing_ok=True)
        address = self.broker.bootstrap if kind == "kafka" else f"http://127.0.0.1:{self.port}"
        self._start(kind, "tests.client.metered_service", kind, str(self.folder), address, self.key)
        self.wait(ready.exists, f"the service {kind} does not begin")

    def _start(self, name: str, module: str, *arguments: str) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            command = [sys.executable, "-m", module, *arguments]
            # A group of its own: a service and its children are killed together.
            self.processes[name] = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, process_group=0)

    def end(self, name: str, number: signal.Signals) -> None:
        process = self.processes.pop(name)
        assert process.poll() is None, f"{name} had ended by itself:\n{self.log_of(name)}"
        os.killpg(process.pid, number)
        assert process.wait(60) == (0 if number == signal.SIGTERM else -number), self.log_of(name)

    def close(self) -> None:
        for process in self.processes.values():
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def log_of(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()[-4_000:]

    def ids_in(self, name: str) -> list[str]:
        path = self.folder / name
        return path.read_text().split() if path.exists() else []

    def in_log(self) -> dict[str, list[dict[str, object]]]:
        """Every event of the input log by its id, as often as it is there."""
        codec, reader = Codec(), KafkaReader(self.broker.bootstrap)
        events: dict[str, list[dict[str, object]]] = {}
        topic = self.names.requests
        for partition in range(PARTITIONS):
            for message in reader.read(topic, partition, *reader.bounds(topic, partition)):
                for event in codec.decode_command(message.value())[1]["events"]:
                    events.setdefault(event["event_id"], []).append(event)
        reader.close()
        return events

    def wait(self, condition: Callable[[], bool], otherwise: str, seconds: float = 120) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            for name, process in self.processes.items():
                assert process.poll() is None, f"{name} ended by itself:\n{self.log_of(name)}"
            assert time.monotonic() < deadline, otherwise
            time.sleep(0.1)

    def let_record(self, events: int) -> None:
        """Returns when so many more events were recorded."""
        target = len(self.ids_in("recorded")) + events
        self.wait(lambda: len(self.ids_in("recorded")) >= target, "nothing is recorded")


@pytest.fixture
def company(own_kafka: Broker, tmp_path: Path) -> Iterator[Company]:
    made = Company(own_kafka, tmp_path)
    yield made
    made.close()


def kill_server(company: Company) -> None:
    company.end("server", signal.SIGKILL)
    time.sleep(OUTAGE)
    company.start_server()


def stop_server(company: Company) -> None:
    company.end("server", signal.SIGTERM)
    time.sleep(OUTAGE)
    company.start_server()


def hang_server(company: Company) -> None:
    company.processes["server"].send_signal(signal.SIGSTOP)
    time.sleep(OUTAGE)
    company.processes["server"].send_signal(signal.SIGCONT)


def kill_broker(company: Company) -> None:
    company.broker.kill()
    time.sleep(OUTAGE)
    company.broker.restart()


def kill_services(company: Company) -> None:
    for kind in ("forking", "kafka"):
        company.end(kind, signal.SIGKILL)
        company.start_service(kind)


def end_services(company: Company) -> None:
    for kind in ("forking", "small", "kafka"):
        company.end(kind, signal.SIGTERM)
        company.start_service(kind)


WAYS = [kill_server, kill_services, kill_broker, end_services, hang_server, stop_server]


def test_each_event_is_in_the_log_or_its_caller_was_told(company: Company) -> None:
    company.start_server()
    for kind in ("forking", "small", "kafka"):
        company.start_service(kind)
    chance = random.Random(SEED)
    for number in range(KILLS):
        company.let_record(40)
        way = WAYS[number] if number < len(WAYS) else chance.choice(WAYS)
        print(f"{number + 1} of {KILLS}, seed {SEED}: {way.__name__} after {len(company.ids_in('recorded'))} events")
        way(company)
    company.let_record(40)
    company.end("forking", signal.SIGKILL)
    company.end("small", signal.SIGTERM)
    company.end("kafka", signal.SIGKILL)
    company.start_service("last")

    def missing() -> set[str]:
        time.sleep(1.0)  # the whole log is read
        return set(company.ids_in("recorded")) - set(company.in_log()) - set(company.ids_in("reported"))

    company.wait(lambda: not missing(), "events are neither in the log nor reported")
    company.wait(lambda: not list(company.folder.glob("*/*.events")), "the spools are not emptied")
    recorded, reported, log = company.ids_in("recorded"), company.ids_in("reported"), company.in_log()
    repeats = sum(len(copies) - 1 for copies in log.values())
    print(f"{len(recorded)} recorded, {len(log)} in the log ({repeats} repeats), {len(set(reported))} reported")
    assert len(recorded) == len(set(recorded)) > 40 * KILLS
    assert [copies for copies in log.values() if any(copy != copies[0] for copy in copies)] == []
    company.end("last", signal.SIGTERM)
    company.end("server", signal.SIGTERM)

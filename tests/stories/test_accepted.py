"""Servers over a real pipeline: nothing accepted is lost, whatever is killed, and nobody spends a credit twice.

Clients send over HTTP while server, worker and broker are killed at random moments: CREDITMETER_TEST_KILLS says how
often, CREDITMETER_TEST_ROUNDS how often two servers are asked for the last credit at once.
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from click.testing import CliRunner

from application.configuration.sources import load
from application.ingest.receipts import Receipt
from application.pipeline import opened
from application.prices.publishing import publish_book
from cli.main import main
from local.ports import free_ports
from local.start import Broker
from streams import clock
from streams.log.event_sender import value_digest
from tests.command import BOOK
from tests.forked_command import ForkedCommand
from tests.harness import PATIENCE
from tests.stories.accepting_clients import Accepted, Clients, asked
from tests.stories.cluster import Cluster

SEED = int(os.environ.get("CREDITMETER_TEST_SEED", "20261126"))
SERVERS = ("server", "server-beside")
ROUNDS = int(os.environ.get("CREDITMETER_TEST_ROUNDS", "10"))
KILLS = int(os.environ.get("CREDITMETER_TEST_KILLS", "3"))

pytestmark = [pytest.mark.kafka, pytest.mark.crash, pytest.mark.slow]


class Served(Cluster):
    """A cluster with two servers, each at a port that stays the same."""

    def __init__(self, bootstrap: str, folder: Path) -> None:
        super().__init__(bootstrap, "credits", folder, BOOK)
        self.ports = dict(zip(SERVERS, free_ports(len(SERVERS)), strict=True))
        self.starts: list[float] = []
        """Seconds that each start of a server took until it was ready."""

    def serve(self, name: str) -> None:
        """Starts a server with the loader's settings; returns when it is ready."""
        config = self.folder / "one" / f"{name}.toml"
        config.write_text((config.parent / "loader.toml").read_text() + f"serve_port = {self.ports[name]}\n")
        ready = self._ready_file(name)
        ready.unlink(missing_ok=True)
        arguments = ["--config", str(config), "--ready-file", str(ready)]
        began = time.monotonic()
        self.processes[name] = ForkedCommand(arguments, self.folder / f"{name}.log", program="server.__main__")
        self.wait_ready(name)
        self.starts.append(time.monotonic() - began)

    def key(self, role: str) -> str:
        """A new key of all accounts."""
        config = self.folder / "one" / "loader.toml"
        made = CliRunner().invoke(main, ["keys", "create", role, "--config", str(config)])
        assert made.exit_code == 0, made.output
        return made.stdout.split()[-1]


@pytest.fixture
def served(own_kafka: Broker, tmp_path: Path) -> Iterator[Served]:
    made = Served(own_kafka.bootstrap, tmp_path)
    yield made
    made.close()


def test_nothing_accepted_is_lost(own_kafka: Broker, served: Served) -> None:
    served.start("worker")
    served.start("loader")
    with opened(load(str(served.folder / "one" / "loader.toml")).settings) as pipeline:
        publish_book(pipeline, BOOK, clock.now_ms())
    for name in SERVERS:
        served.serve(name)
    producer = served.key("producer")
    _race_for_the_last_credit(served, producer)
    served.stop("server-beside")
    clients = Clients(served.ports["server"], producer, SEED)
    clients.start()
    killed = Counter(_kill(served, own_kafka, random.Random(SEED + number)) for number in range(KILLS))
    accepted = clients.finish()
    until = time.monotonic() + PATIENCE
    while not _supervise(served):
        assert time.monotonic() < until, served.log_of("worker")
        time.sleep(0.1)
    served.wait_until_rated()
    served.wait_until_loaded()
    _check_receipts(served, accepted)
    _check_lines(served, accepted)
    served.stop("server")
    result = served.audit()
    assert not result["not_covered"], result["not_covered"]
    print(
        f"seed {SEED}, killed {dict(killed)}: {len(accepted.receipts):,} events acknowledged, "
        f"{sum(map(len, accepted.receipts.values())):,} receipts, {accepted.requests:,} requests of which "
        f"{accepted.failed:,} failed, {len(accepted.decisions):,} decisions answered; audit: {result['messages']:,} "
        f"messages, 0 differences; servers started in {min(served.starts):.1f} to {max(served.starts):.1f} s"
    )


def _race_for_the_last_credit(served: Served, producer: str) -> None:
    """Two servers are asked at once for all that an account has: one holds it, the other says how much is left."""
    operator = served.key("operator")
    settings = {"on_empty": "reject", "alert_below": {}, "plan": None, "update_id": "u-1"}
    grant = {"account_id": "racer", "credit_type": "credit", "credits": 100, "grant_id": "g-1"}
    first = served.ports["server"]
    assert asked(first, "PUT", "/v1/accounts/racer/settings", settings, operator)[0] == 200
    assert asked(first, "POST", "/v1/grants", grant, operator)[0] == 200
    with ThreadPoolExecutor(len(SERVERS)) as pool:
        for number in range(ROUNDS):
            holds = [
                {"hold_id": f"h-{number}-{name}", "account_id": "racer", "credits": {"credit": 100}, "expires_in": 600}
                for name in SERVERS
            ]
            ports = served.ports.values()
            answers = list(pool.map(lambda port, hold: asked(port, "POST", "/v1/holds", hold, producer), ports, holds))
            assert sorted(status for status, _ in answers) == [201, 402], answers
            for status, body in answers:
                if status == 402:
                    assert (body["required"], body["available"]) == ({"credit": 100}, {"credit": 0})
                else:
                    target = f"/v1/holds/{body['hold_id']}?account_id=racer"
                    assert asked(first, "DELETE", target, None, producer)[0] == 200


def _kill(served: Served, broker: Broker, rng: random.Random) -> str:
    """kill -9 of one of them at some moment; it is back a moment later."""
    name = rng.choice(["server", "worker", "broker"])
    time.sleep(0.5 + 2 * rng.random())
    _supervise(served)
    pause = 1.5 * rng.random()
    if name == "broker":
        broker.kill()
        time.sleep(pause)
        broker.restart()
        return name
    served.kill(name)
    time.sleep(pause)
    if name == "server":
        served.serve("server")
    else:
        served.start("worker")
    return name


def _supervise(served: Served) -> bool:
    """A worker that the broker left while it started has ended, and says so: it is started again, as in production.

    Whether it has its partitions.
    """
    if served.processes["worker"].poll() is not None:
        log = served.log_of("worker")
        assert "KafkaConnectionError" in log or "no Kafka broker answered" in log, log
        del served.processes["worker"]
        served.start("worker")
    return served._ready_file("worker").exists()


def _check_receipts(served: Served, accepted: Accepted) -> None:
    """Every receipt names a message of that digest, which holds the event at that index."""
    assert accepted.receipts
    log_id = None
    messages = [{message.offset: message for message in partition} for partition in served.messages()]
    for (account_id, event_id), receipts in accepted.receipts.items():
        for text in receipts:
            receipt = Receipt.parse(text)
            log_id = log_id or receipt.log_id
            message = messages[receipt.partition][receipt.offset]
            event = served.codec.decode_commands(message.value).records[receipt.index]
            assert (receipt.log_id, receipt.digest) == (log_id, value_digest(message.value)), text
            assert (event["account_id"], event["event_id"]) == (account_id, event_id), text


def _check_lines(served: Served, accepted: Accepted) -> None:
    """Every acknowledged event was counted once, and as it was answered."""
    lines: dict[tuple[str, str], list[tuple[int, str, int]]] = defaultdict(list)
    for batch in served._read(served.names.billed):
        for line in batch["events"]:
            lines[line["account_id"], line["event_id"]].append((line["line"], str(line["decision"]), line["credits"]))
    missing = accepted.receipts.keys() - lines.keys()
    assert not missing, f"{len(missing)} acknowledged events were not counted, such as {next(iter(missing))}"
    twice = [who for who, own in lines.items() if [line for line, _, _ in own] != list(range(len(own)))]
    assert not twice, f"{len(twice)} events were counted more than once, such as {twice[0]}"
    for who, decision in accepted.decisions.items():
        answered = [(line["line"], line["decision"], line["credits"]) for line in decision["lines"]]
        assert answered == lines[who], who

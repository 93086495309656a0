"""Everything on one machine, as real processes: up, worker, load, down, and a worker of several processes."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import pytest
from click.testing import Result
from standardwebhooks.webhooks import Webhook as Verifier

from application.configuration.sources import load
from application.pipeline import opened
from cli.running.stack import Deaths
from local import probes
from local.ports import free_ports
from local.record import Record, process_began
from local.shared import SharedKafka
from tests.harness import PATIENCE
from tests.stories.accepting_clients import asked
from tests.stories.every_operation import walk_through

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

Run = Callable[..., Result]
PIXEL = Path(__file__).parents[2] / "examples" / "prices" / "pixel.yaml"
EVENT = {
    "account_id": "acme",
    "occurred_at": 1_767_312_000_000,
    "endpoint": "/pixel/hit",
    "channel": "js",
    "ip": "1.1.1.1",
}


@pytest.fixture
def pipeline(kafka: SharedKafka, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """The command in a folder with a configuration of its own, on the broker of all tests."""
    (tmp_path / "creditmeter.toml").write_text(
        f'bootstrap_servers = "{kafka.bootstrap}"\ntopic_prefix = "{kafka.fresh_prefix()}"\npartitions = 4\n'
        f"query_port = {free_ports(1)[0]}\n"  # the default one may be another test's, which runs beside this
        "webhooks_to_this_machine = true\npublic_prices = true\n"
    )
    yield run
    run("down")


def wait_for(done: Callable[[], bool], seconds: float = PATIENCE) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def wait_until_loaded() -> None:
    with opened(load().settings) as pipeline:
        for group, topics in (
            (pipeline.names.rating_group, (pipeline.names.requests,)),
            (pipeline.names.loading_group, pipeline.names.loaded),
        ):
            wait_for(lambda group=group, topics=topics: not any(pipeline.lag(group, topics).values()))  # type: ignore[misc]


def test_up_bills_what_is_sent_and_goes_down(pipeline: Run, tmp_path: Path) -> None:
    started = pipeline("up", "--detach")
    assert started.exit_code == 0, started.stderr
    again = pipeline("up", "--detach")
    kafka = load().settings.bootstrap_servers
    message = (
        f"creditmeter already runs here (pid {running(tmp_path).pid}, Kafka {kafka}); `creditmeter down` stops it."
    )
    assert (again.exit_code, again.stderr) == (0, f"{message}\n")
    refused = pipeline("up")
    assert (refused.exit_code, refused.stderr) == (1, f"Error: {message}\n")
    assert "creditmeter up" in pipeline("config").stdout, "commands find what it runs"
    data = tmp_path / ".creditmeter"
    assert [
        str(path) for path in (data, *data.rglob("*")) if not path.is_symlink() and path.lstat().st_mode & 0o077
    ] == []
    assert "Operator's key of this machine" in (data / "logs" / "up.log").read_text()
    port = load().settings.serve_port
    assert status_of_nothing(port, (data / "operator.key").read_text().strip()) == 422
    assert status_of_nothing(port, "cm_live_unknown") == 401
    listed = json.loads(pipeline("keys", "list", "--json").stdout)
    assert [(key["role"], key["account_id"]) for key in listed] == [("operator", None)]
    linked = pipeline("link", "acme")
    assert linked.exit_code == 0, linked.stderr
    assert linked.stdout.startswith(f"http://127.0.0.1:{port}/sign-in/")
    key = (data / "operator.key").read_text().strip()
    with FirstRefusing() as receiver:
        webhook = webhook_to(receiver, port, key)
        assert pipeline("grant", "globex", "1000", "--credit-type", "credit").exit_code == 0
        bill_what_is_sent(pipeline)
        wait_for(lambda: bool(receiver.taken))
        look_at_the_delivery(receiver, port, key, webhook)
    walk_through(port, key)
    assert re.search("^delivering .*1 deliverer", pipeline("status").stdout, re.MULTILINE)

    stopped = pipeline("down")
    assert (stopped.exit_code, stopped.stderr) == (0, "Stopped.\n")
    assert Record.read(tmp_path / ".creditmeter" / "up.json") is None
    assert "Nothing was running" in pipeline("down").stderr
    offline = pipeline(
        "query", "--format", "ndjson", "SELECT count() AS lines FROM billed_events WHERE account_id = 'acme'"
    )
    assert offline.exit_code == 0, offline.stderr
    assert int(json.loads(offline.stdout)["lines"]) == 1_500


def bill_what_is_sent(pipeline: Run) -> None:
    """Sends 500 events and looks at what they cost."""
    assert pipeline("prices", "publish", PIXEL).exit_code == 0
    lines = [json.dumps(EVENT | {"event_id": f"e{number}", "user_id": f"u{number % 3}"}) for number in range(500)]
    assert pipeline("emit", stdin="\n".join(lines)).exit_code == 0
    wait_until_loaded()
    asked = pipeline(
        "query",
        "--format",
        "json",
        "SELECT charge, sum(credits) AS credits FROM billed_events GROUP BY charge ORDER BY 1",
    )
    assert asked.exit_code == 0, asked.stderr
    bill = {row["charge"]: int(row["credits"]) for row in json.loads(asked.stdout)}
    assert bill == {"pageview": 500, "pixel-lookup": 60, "pixel-company": 0}
    refused = pipeline("query", "DROP TABLE billed_rows")
    assert refused.exit_code == 1
    assert pipeline("query", "--format", "csv", "SELECT 1 AS one").stdout == '"one"\n1\n'


class FirstRefusing:
    """A receiver of webhooks that is away for the first try, and verifies the others."""

    def __init__(self) -> None:
        self.secret = ""
        self.tries = 0
        self.taken: list[dict[str, Any]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.tries += 1
                is_away = receiver.tries == 1
                self.send_response(503 if is_away else 204)
                self.end_headers()
                if not is_away:
                    receiver.taken.append(Verifier(receiver.secret).verify(body, dict(self.headers)))

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- http.server's name
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def webhook_to(receiver: FirstRefusing, port: int, key: str) -> str:
    """Adds a webhook of globex over HTTP and rotates its secret: the receiver keeps the one before."""
    order = {"url": receiver.url, "events": ["grant.applied"]}
    status, made = asked(port, "POST", "/v1/accounts/globex/webhooks", order, key)
    assert status == 201, made
    (receiver.secret,) = made["secrets"]
    path = f"/v1/accounts/globex/webhooks/{made['webhook_id']}"
    _, rotated = asked(port, "POST", f"{path}/secret", None, key)
    assert len(rotated["secrets"]) == 2
    return path


def look_at_the_delivery(receiver: FirstRefusing, port: int, key: str, webhook: str) -> None:
    """One message, refused once and then taken, as the API shows it when it is loaded."""
    (message,) = receiver.taken
    assert (message["type"], message["data"]["account_id"], message["data"]["credits"]) == (
        "grant.applied",
        "globex",
        1_000,
    )

    deliveries: list[dict[str, Any]] = []

    def is_listed() -> bool:
        status, answer = asked(port, "GET", f"{webhook}/deliveries?status=delivered", None, key)
        assert status in {200, 503}, answer  # 503: on a busy machine it may not be able to follow its keys for a moment
        deliveries[:] = answer.get("deliveries", [])
        return bool(deliveries)

    wait_for(is_listed)
    (delivery,) = deliveries
    assert json.loads(delivery["payload"]) == message
    assert [attempt["status_code"] for attempt in delivery["attempts"]] == [503, 204]


def status_of_nothing(port: int, key: str) -> int:
    """What the server answers to this key that sends no event."""
    return asked(port, "POST", "/v1/events", {}, key)[0]


def running(tmp_path: Path) -> Record:
    record = Record.read(tmp_path / ".creditmeter" / "up.json")
    assert record is not None
    return record


def pid_of(record: Record, argument: str) -> int:
    """The process below this `up` that has the argument: not its keeper, which has it too."""
    keepers = Path(f"/proc/{record.pid}/task/{record.pid}/children").read_text().split()
    return next(
        int(pid)
        for keeper in keepers
        for pid in Path(f"/proc/{keeper}/task/{keeper}/children").read_text().split()
        if argument.encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    )


@pytest.mark.crash
def test_what_is_killed_is_started_again_and_goes_on(pipeline: Run, tmp_path: Path) -> None:
    """Worker, loader, and last the worker's keeper, whose worker is ended before another starts."""
    started = pipeline("up", "--detach")
    assert started.exit_code == 0, started.stderr
    assert pipeline("prices", "publish", PIXEL).exit_code == 0
    record = running(tmp_path)
    for credits_, (name, command) in enumerate((("worker", "worker"), ("loader", "load")), 1):
        check_that_it_is_started_again(tmp_path, record, name, command)
        event = EVENT | {"event_id": f"after-{name}", "user_id": name}
        assert pipeline("emit", stdin=json.dumps(event)).exit_code == 0
        wait_until_loaded()
        sql = "SELECT sum(credits) AS credits FROM billed_events WHERE charge = 'pageview'"
        asked = pipeline("query", "--format", "ndjson", sql)
        assert asked.exit_code == 0, asked.stderr
        assert int(json.loads(asked.stdout)["credits"]) == credits_
        assert record.runs()

    worker = pid_of(record, "worker")
    keeper = int(Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()[1])
    log = tmp_path / ".creditmeter" / "logs" / "up.log"
    os.kill(keeper, signal.SIGKILL)
    wait_for(lambda: log.read_text().count("the worker ended by itself") == 2)
    assert process_began(worker) is None
    wait_for(lambda: log.read_text().count("the worker runs again") == 2)
    worker, loader = pid_of(record, "worker"), pid_of(record, "load")
    assert pipeline("down").stderr == "Stopped.\n"
    assert process_began(worker) is None
    assert process_began(loader) is None


def check_that_it_is_started_again(tmp_path: Path, record: Record, name: str, command: str) -> None:
    first = pid_of(record, command)
    log = tmp_path / ".creditmeter" / "logs" / "up.log"

    os.kill(first, signal.SIGKILL)
    wait_for(lambda: f"the {name} runs again" in log.read_text())

    second = pid_of(record, command)
    assert second != first
    said = log.read_text()
    assert re.search(
        rf"\d\d:\d\d:\d\dZ the {name} ended by itself with exit code 137 \(SIGKILL\); starting it again", said
    )
    assert f"again in 1 s; the end of .creditmeter/logs/{name}.log:\n    " in said
    assert f"the {name} runs again (pid {second})" in said


@pytest.mark.crash
@pytest.mark.skipif(bool(probes.java() or probes.maven()), reason="a Kafka of our own needs Java and Maven")
def test_up_ends_in_order_when_its_kafka_ends(run: Run, tmp_path: Path) -> None:
    started = run("up", "--detach")
    assert started.exit_code == 0, started.stderr
    record = running(tmp_path)
    worker = pid_of(record, "worker")
    os.kill(pid_of(record, "kafka.Kafka"), signal.SIGKILL)
    wait_for(lambda: not record.runs())
    assert re.search(r"Kafka \(pid \d+\) ended by itself", (tmp_path / ".creditmeter" / "logs" / "up.log").read_text())
    assert process_began(worker) is None
    assert not (tmp_path / ".creditmeter" / "up.json").exists()


def test_pauses_grow_until_a_minute_of_health_and_eight_deaths_in_five_minutes_are_the_end() -> None:
    deaths = Deaths()
    assert [deaths.pause(now, 0) for now in range(7)] == [1, 2, 4, 8, 16, 30, 30]
    assert deaths.pause(7, 0) is None
    deaths = Deaths()
    assert [deaths.pause(now * 100, 59) for now in range(20)] == [1, 2, 4, 8, 16] + [30] * 15
    assert deaths.pause(2_000, 60) == 1
    assert deaths.pause(2_100, 10) == 2


def test_a_worker_of_two_processes_starts_and_ends_as_one(pipeline: Run, tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    command = [sys.executable, "-P", "-m", "cli.main", "worker", "--processes", "2", "--ready-file", str(ready)]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE) as crew:
        wait_for(ready.exists)
        members = [
            int(pid)
            for keeper in Path(f"/proc/{crew.pid}/task/{crew.pid}/children").read_text().split()
            for pid in Path(f"/proc/{keeper}/task/{keeper}/children").read_text().split()
        ]
        assert len(members) == 2
        crew.send_signal(signal.SIGTERM)
        assert crew.wait(PATIENCE) == 0
    assert not any(Path(f"/proc/{pid}").exists() for pid in members)


def test_when_one_of_two_processes_dies_the_other_ends_too(pipeline: Run, tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    command = [sys.executable, "-P", "-m", "cli.main", "worker", "--processes", "2", "--ready-file", str(ready)]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL) as crew:
        wait_for(ready.exists)
        keeper = Path(f"/proc/{crew.pid}/task/{crew.pid}/children").read_text().split()[0]
        member = int(Path(f"/proc/{keeper}/task/{keeper}/children").read_text().split()[0])
        os.kill(member, signal.SIGKILL)
        assert crew.wait(PATIENCE) == 1

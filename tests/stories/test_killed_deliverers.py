"""Two real deliverers without a disk, killed again and again, and then their broker: nothing lost, doubles known."""

from __future__ import annotations

import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from standardwebhooks.webhooks import Webhook as Verifier

from application.access.access import Access, opened_access
from application.access.authors import local_author
from application.access.secret_keys import SecretKeys
from application.access.webhooks import WebhookOrder, create_webhook, signing_secrets
from application.clickhouse.asking import ConfiguredSql
from application.configuration.settings import Settings
from application.pipeline import LocalPlaces, Pipeline
from application.webhooks.events import EventSequence, EventType
from application.webhooks.messages import message_id
from local.start import Broker
from schemas.codec import Codec
from streams.deliveries.records import Delivery, DeliveryStatus
from streams.log.connections import KafkaConnections
from streams.log.output_log import KafkaOutputLog
from streams.log.pipeline_seals import PipelineSeals
from streams.log.seal_ledger import SealKeys
from streams.log.topics import TopicNames, TopicSettings, ensure_topics
from tests.forked_command import ForkedCommand
from tests.schemas.records import EXAMPLES
from tests.sizes import times_size

KILLS = times_size(3)
PARTITIONS = 4
SECRET = "a secret of thirty-two characters"
OPERATOR = local_author("ops", "host")
SECONDS = 120 + 30 * KILLS
_BROKER_AWAY = 2.0

pytestmark = [pytest.mark.kafka, pytest.mark.crash, pytest.mark.slow, pytest.mark.timeout(SECONDS + 240)]


class Receiver:
    """Verifies and keeps every message; refuses one in ten, and answers some late."""

    def __init__(self) -> None:
        self.secret = ""
        self.taken: Counter[str] = Counter()
        self.forged: list[str] = []
        chance = random.Random(1)
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["content-length"])
                body = self.rfile.read(length)
                if len(body) < length:
                    return  # its sender was killed meanwhile: nobody takes half a message
                try:
                    Verifier(receiver.secret).verify(body, dict(self.headers))
                except Exception as error:  # noqa: BLE001 -- whatever it is, the message was not right
                    receiver.forged.append(f"{error}: {body!r}")
                is_taken = chance.random() > 0.1
                time.sleep(chance.random() * 0.05)
                if is_taken:
                    receiver.taken[self.headers["webhook-id"]] += 1
                self.send_response(204 if is_taken else 500)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- http.server's name
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def has_taken(self, messages: int) -> bool:
        return sum(self.taken.values()) >= messages


class Deliverers:
    """Real processes, each with an empty folder of its own."""

    def __init__(self, folder: Path, bootstrap: str, prefix: str) -> None:
        self.folder, self.bootstrap, self.prefix = folder, bootstrap, prefix
        self.running: list[ForkedCommand] = []
        self.begun = 0

    def start(self) -> None:
        self.begun += 1
        home = self.folder / f"deliverer-{self.begun}"
        home.mkdir()
        config = home / "creditmeter.toml"
        config.write_text(
            f'bootstrap_servers = "{self.bootstrap}"\ntopic_prefix = "{self.prefix}"\npartitions = {PARTITIONS}\n'
            f'session_timeout = 2\ndata_dir = "{home}/data"\nsecret_key = "{SECRET}"\nwebhooks_to_this_machine = true\n'
        )
        arguments = ["deliver", "--config", str(config), "--ready-file", str(home / "ready")]
        self.running.append(ForkedCommand(arguments, home / "log"))

    def are_ready(self) -> bool:
        assert all(process.poll() is None for process in self.running), self.logs()
        first = self.begun - len(self.running) + 1
        return all((self.folder / f"deliverer-{number}" / "ready").exists() for number in range(first, self.begun + 1))

    def kill_one(self) -> None:
        process = self.running.pop(0)
        assert process.poll() is None, self.logs()
        process.send_signal(signal.SIGKILL)
        process.wait()

    def stop(self) -> None:
        """In order: exit code 0."""
        for process in self.running:
            process.terminate()
        assert [process.wait(60) for process in self.running] == [0] * len(self.running), self.logs()

    def close(self) -> None:
        for process in self.running:
            if process.poll() is None:
                process.kill()
            process.wait()

    def logs(self) -> str:
        return "\n".join(path.read_text()[-2_000:] for path in sorted(self.folder.glob("deliverer-*/log")))


@pytest.fixture
def deliverers(own_kafka: Broker, tmp_path: Path) -> Iterator[Deliverers]:
    made = Deliverers(tmp_path, own_kafka.bootstrap, "credits")
    yield made
    made.close()


class Outputs:
    """Alerts of the account acme, sealed as a worker's."""

    def __init__(self, bootstrap: str, names: TopicNames, codec: Codec) -> None:
        self.topics = ensure_topics(bootstrap, names, TopicSettings(partitions=PARTITIONS))
        keys = SealKeys(self.topics[names.requests])
        seals = PipelineSeals(bootstrap, names, keys)
        self.log = KafkaOutputLog(bootstrap, codec.read_position, seals=seals.begun(PARTITIONS).sealer)
        seals.close()
        self.names, self.codec = names, codec
        self.places: list[EventSequence] = []

    def write(self, count: int) -> None:
        (alert,) = EXAMPLES["AlertBatch"]["alerts"]
        for _ in range(count):
            partition, offset = len(self.places) % PARTITIONS, len(self.places)
            head = {"source_partition": partition, "source_offset": offset, "part": 0, "parts": 1}
            value = self.codec.encode("AlertBatch", {**head, "alerts": [alert | {"account_id": "acme"}]})
            self.log.send(self.names.alerts, partition, value)
            self.places.append(EventSequence(partition, offset, 0, 0))
        self.log.wait()

    def ids(self, webhook_id: str) -> set[str]:
        log_id = self.topics[self.names.requests]
        return {message_id(log_id, EventType.BALANCE_BELOW, place, webhook_id) for place in self.places}


def newest(pipeline: Pipeline) -> dict[str, DeliveryStatus]:
    topic = pipeline.delivery_topic
    return {
        record.delivery_id: record.status
        for partition in range(PARTITIONS)
        for _, record in topic.read(partition, 0, topic.bounds(partition)[1])
        if isinstance(record, Delivery)
    }  # fmt: skip


def until(holds: object, deliverers: Deliverers, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not holds():  # type: ignore[operator]
        assert time.monotonic() < deadline, deliverers.logs()
        time.sleep(0.1)


def test_nothing_is_lost_and_doubles_carry_the_same_id(
    deliverers: Deliverers, own_kafka: Broker, tmp_path: Path
) -> None:
    names, codec, receiver = TopicNames(deliverers.prefix), Codec(), Receiver()
    outputs = Outputs(deliverers.bootstrap, names, codec)
    connections = KafkaConnections(deliverers.bootstrap, names, codec, {})
    places = LocalPlaces(tmp_path, tmp_path)
    pipeline = Pipeline(names, codec, connections, ConfiguredSql(Settings()), places)
    try:
        with opened_access(pipeline, SecretKeys([SECRET.encode()])) as access:
            webhook_id = webhook_to(access, receiver)
            for _ in range(2):
                deliverers.start()
            until(deliverers.are_ready, deliverers, 120)
            for _ in range(KILLS):
                outputs.write(40)
                until(partial(receiver.has_taken, sum(receiver.taken.values()) + 1), deliverers, 120)
                deliverers.kill_one()
                deliverers.start()
            until(deliverers.are_ready, deliverers, 120)
            outputs.write(40)
            until(partial(receiver.has_taken, sum(receiver.taken.values()) + 1), deliverers, 120)
            own_kafka.kill()
            time.sleep(_BROKER_AWAY)  # tries under way end, and what came of them waits
            own_kafka.restart()
            outputs.write(40)
            wanted = outputs.ids(webhook_id)
            until(lambda: wanted <= set(receiver.taken), deliverers, SECONDS)
            until(lambda: set(newest(pipeline).values()) == {DeliveryStatus.DELIVERED}, deliverers, 60)
            deliverers.stop()
        assert set(receiver.taken) == wanted == set(newest(pipeline))
        assert receiver.forged == []
        doubles = sum(receiver.taken.values()) - len(wanted)
        print(f"{KILLS} kills and the broker's: {len(wanted)} messages, {doubles} doubles, none lost")
        assert doubles < len(wanted)
    finally:
        receiver.server.shutdown()
        outputs.log.close()
        connections.close()


def webhook_to(access: Access, receiver: Receiver) -> str:
    webhook = create_webhook(access, OPERATOR, WebhookOrder("acme", receiver.url, ["balance.below"]))
    (receiver.secret,) = signing_secrets(access, webhook)
    return webhook.webhook_id

"""What spares the Kafka broker half of its start: classes that Java has loaded before, and storage formatted before.

A Java process spends most of a broker's start on reading and checking classes, and formatting storage takes a second
process that does so again. Both come out alike for each broker with the same jars and the same Java: they are made once
for each user, by a broker that runs for a moment, and kept in the cache.
"""

import contextlib
import shutil
import uuid
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

_CLASSES = "classes.jsa"
_STORAGE = "storage"
_PROPERTIES = "meta.properties"
_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class QuickStart:
    """What is kept in `folder`. Without classes, where Java could not archive them, a start only takes longer."""

    folder: Path

    def java_options(self) -> list[str]:
        """For a broker with the same jars. Java itself passes over an archive that is not whole or does not fit."""
        classes = self.folder / _CLASSES
        return [f"-XX:SharedArchiveFile={classes}"] if classes.is_file() else []

    def archiving_options(self) -> list[str]:
        """For a Java process that is to archive its classes here when it ends."""
        return [f"-XX:ArchiveClassesAtExit={self.folder / _CLASSES}"]

    def keep_storage(self, data: Path) -> None:
        """Keeps what the format tool wrote to `data`, which no broker has used."""
        shutil.copytree(data, self.folder / _STORAGE)

    def format(self, data: Path, cluster: str) -> None:
        """Makes new storage at `data` for a cluster with this id, as the format tool does."""
        data.mkdir(exist_ok=True)
        for kept in (self.folder / _STORAGE).iterdir():
            content = kept.read_bytes()
            if kept.name == _PROPERTIES:
                content = _with_ids(content.decode("ascii"), cluster).encode("ascii")
            (data / kept.name).write_bytes(content)


def kafka_id() -> str:
    """A random id as Kafka writes them: 16 bytes in base64 for URLs, which must not begin like an option."""
    while (text := urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")).startswith("-"):
        pass
    return text


def use_once(bootstrap: str) -> None:
    """Has a broker do what pipelines have it do, so that those classes are among the archived ones."""
    # A broker that has just begun has tries fail, which its clients would report.
    quiet: dict[str, str | int | float | bool] = {"bootstrap.servers": bootstrap, "log_level": 2}
    admin = AdminClient(quiet)
    for made in admin.create_topics([NewTopic("once", 1, 1)]).values():
        made.result(_SECONDS)
    with contextlib.closing(Consumer(quiet | {"group.id": "once", "auto.offset.reset": "earliest"})) as consumer:
        producer = Producer(quiet | {"enable.idempotence": True})
        producer.produce("once", b"a message")
        producer.flush(_SECONDS)
        consumer.subscribe(["once"])
        message = consumer.poll(_SECONDS)
        if message is not None and message.error() is None:
            consumer.commit(message=message, asynchronous=False)


def _with_ids(properties: str, cluster: str) -> str:
    """The storage's properties with the ids of a new cluster and a new directory."""
    lines = [line for line in properties.splitlines() if line and not line.startswith("#")]
    fields = dict(line.split("=", 1) for line in lines) | {"cluster.id": cluster, "directory.id": kafka_id()}
    return "".join(f"{name}={value}\n" for name, value in fields.items())

"""Kafka Streams as a contestant: its jars by Maven, CreditMeter.java compiled, one process with two threads."""

from __future__ import annotations

from pathlib import Path

from bench.contest import Place, Start
from local import jars
from local.java_compiler import ENVIRONMENT, class_path, compile_java
from streams.log.topics import TopicNames

FOLDER = Path(__file__).with_name("kafka_streams")
SCHEMAS = Path(__file__).parents[2] / "schemas"
CLASS = "CreditMeter"
MEGABYTES = 98
EXACTLY_ONCE = "exactly_once_v2"
AT_LEAST_ONCE = "at_least_once"


def prepare(folder: Path) -> None:
    """Fetches the jars where they are not in the cache, and compiles into a folder below this one.

    Raises ServerFailed where Java, Maven or the jars cannot be had.
    """
    compile_java(FOLDER / f"{CLASS}.java", _classes(folder), _libraries())


def application(prefix: str) -> str:
    """The application's id, which is its consumer group too."""
    return f"{prefix}-kafka-streams"


def kafka_streams(guarantee: str) -> Start:
    """The contestant with this `processing.guarantee`; `prepare` was called before."""

    def start(place: Place, prefix: str) -> tuple[list[str], dict[str, str], Path | None]:
        names = TopicNames(prefix)
        folders = (_classes(place.folder), FOLDER)
        command = ["java", "-Xmx2g", "-cp", class_path(_libraries(), *folders), CLASS, place.bootstrap]
        command += [names.requests, names.billed, application(prefix), str(place.folder / prefix), guarantee]
        return [*command, str(SCHEMAS)], ENVIRONMENT, None

    return start


def _libraries() -> Path:
    return jars.fetch(FOLDER / "pom.xml", "kafka-streams", "the peer Kafka Streams", MEGABYTES)


def _classes(folder: Path) -> Path:
    return folder / "kafka-streams-classes"

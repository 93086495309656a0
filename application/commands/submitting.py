"""Sending commands to the log and waiting until each is decided: what `grant`, `refund` and `account set` share.

1. Send, and wait for the broker's acknowledgement: from then on the command is in the log for ever.
2. Wait until the rating worker has passed it.
3. Read what it caused from the output topics.

Ctrl-C, a crash or no worker at all leaves step 1 as it is: the command will be decided, and repeating it is safe.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from application.pipeline import Cluster
from cli.terminal.output import say
from cli.terminal.progress import waiting
from metering.records import ID_FIELD, Command, Kind
from streams.log.command_producer import CommandProducer, Delivery
from streams.log.results import Caused
from streams.rating.outputs import topics_by_kind

# Across topics nothing says what came first; this is how a single command's outputs follow each other.
_ORDER = (
    Kind.GRANT,
    Kind.BILLED,
    Kind.REFUND,
    Kind.ACCOUNT,
    Kind.HOLD,
    Kind.DEAD_LETTER,
    Kind.ALERT,
)
_WORD = {Command.ACCOUNT: "account update"}


@dataclass(frozen=True)
class Decided:
    """One command, its place in the log, and the outputs that it caused, each with its `type` as `rate` prints it."""

    command: Command
    record: Mapping[str, Any]
    topic: str
    partition: int
    offset: int
    outputs: Sequence[dict[str, Any]]

    @property
    def own_id(self) -> str:
        """The id that makes a repeat of it one."""
        return str(self.record[ID_FIELD[self.command]])

    @property
    def place(self) -> str:
        """topic[partition]@offset."""
        return f"{self.topic}[{self.partition}]@{self.offset}"

    def of(self, kind: Kind) -> list[dict[str, Any]]:
        """Its outputs of one kind."""
        return [output for output in self.outputs if output["type"] == kind]

    @property
    def is_set_aside(self) -> bool:
        """Whether it became a dead letter."""
        return bool(self.of(Kind.DEAD_LETTER))

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "command": self.command,
            "id": self.own_id,
            "account_id": self.record["account_id"],
            "place": self.place,
            "outputs": list(self.outputs),
        }


def decide(cluster: Cluster, command: Command, records: Sequence[Mapping[str, Any]], seconds: float) -> list[Decided]:
    """Sends the commands in order and gives what each caused, in the same order. Raises LogError, NotDecided."""
    places = send(cluster, command, records)
    results = cluster.results()
    last: dict[int, int] = {}
    for partition, offset in places:
        last[partition] = max(offset, last.get(partition, -1))
    with waiting("waiting for the worker"):
        results.wait_until_decided(last, seconds)
        caused = {
            partition: results.caused_by(partition, [offset for each, offset in places if each == partition])
            for partition in last
        }
    return [
        Decided(
            command, record, cluster.names.requests, partition, offset, _outputs(cluster, caused[partition], offset)
        )
        for record, (partition, offset) in zip(records, places, strict=True)
    ]


def send(cluster: Cluster, command: Command, records: Sequence[Mapping[str, Any]]) -> list[tuple[int, int]]:
    """Sends the commands; gives (partition, offset) of each once the broker has acknowledged it. Raises LogError."""
    places: dict[int, tuple[int, int]] = {}
    word = _WORD.get(command, command)
    say(f"sending {word} {records[0][ID_FIELD[command]]}" if len(records) == 1 else f"sending {len(records):,} {word}s")

    def delivered(delivery: Delivery) -> None:
        places[id(delivery.records[0])] = delivery.partition, delivery.offset

    with CommandProducer(
        cluster.bootstrap, cluster.names, cluster.codec,
        producer=f"{command}@{socket.gethostname()}", on_delivery=delivered, security=cluster.security,
    ) as producer:  # fmt: skip
        for record in records:
            producer.send_command(command, record)
    found = [places[id(record)] for record in records]
    places_said = f"{cluster.names.requests}[{found[0][0]}]@{found[0][1]}" if len(found) == 1 else "acknowledged"
    say(f"in the log: {places_said}")
    return found


def _outputs(cluster: Cluster, caused: Mapping[int, Caused], offset: int) -> list[dict[str, Any]]:
    topics = topics_by_kind(cluster.names)
    found = caused.get(offset, {})
    return [printed(kind, record) for kind in _ORDER for record in found.get(topics[kind], [])]


def printed(kind: Kind, record: Mapping[str, Any]) -> dict[str, Any]:
    """An output as programs get it: its `type` first, and of a dead letter all but the original bytes."""
    return {"type": kind, **{name: value for name, value in record.items() if name != "original"}}

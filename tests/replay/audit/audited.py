"""An audit of a whole in-memory cluster, for tests, and ways to alter what it finds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from replay.audit.findings import Difference, Finding, Totals
from replay.audit.partition import Against, AuditLogs, PartitionAudit
from replay.audit.scope import Scope, Surveyor
from sinks.embedded import EmbeddedSink
from sinks.inserts import inserts_of
from streams.log.memory import MemoryInputLog
from streams.state.store import MemoryState
from tests.stores import with_schema
from tests.streams.simulation import NAMES, PARTITIONS, SEALS, Cluster, read_book_once

BILLED = NAMES.billed


@dataclass
class Audited:
    """One audit of a whole in-memory cluster."""

    cluster: Cluster
    differences: list[Difference] = field(default_factory=list)
    totals: Totals = field(default_factory=Totals)
    gaps: list[str] = field(default_factory=list)

    @property
    def logs(self) -> AuditLogs:
        broker = self.cluster.broker
        outputs = {topic: MemoryInputLog(broker, topic) for topic in NAMES.outputs}
        input_log = MemoryInputLog(broker, NAMES.requests)
        return AuditLogs(NAMES, PARTITIONS, self.cluster.codec, read_book_once, input_log, outputs, SEALS)

    def scopes(self, positions: Any = None, *, with_rows: bool = False) -> list[Scope]:
        logs = self.logs
        survey = Surveyor(
            NAMES, PARTITIONS, logs.input_log, logs.own_outputs, positions or Everything(self.cluster), 0.0, with_rows
        )
        return survey.scopes()

    def run(self, against: Callable[[int], Against] = lambda _: Against(), positions: Any = None) -> Audited:
        for scope in self.scopes(positions):
            audit = PartitionAudit(
                self.logs, scope, MemoryState(), against(scope.partition), self.differences.append
            )  # fmt: skip
            audit.run()
            audit.compare_state()
            self.totals.add(audit.totals)
            self.gaps += audit.gaps
        return self

    @property
    def found(self) -> list[Finding]:
        return [difference.finding for difference in self.differences]


class Everything:
    """Consumer groups that have acknowledged all there is."""

    def __init__(self, cluster: Cluster) -> None:
        self.broker = cluster.broker

    def rated(self, topic: str, partitions: int) -> dict[int, int]:
        return {p: self.broker.bounds(topic, p)[1] for p in range(partitions)}

    def loaded(self, topics: Sequence[str], partitions: int) -> dict[tuple[str, int], int]:
        return {(t, p): self.broker.bounds(t, p)[1] for t in topics for p in range(partitions)}


def replace(cluster: Cluster, topic: str, partition: int, index: int, values: list[bytes]) -> None:
    """Puts other records in place of one, as nobody can in Kafka; offsets are counted anew."""
    values = (old := [m.value for m in cluster.broker.records(topic, partition)])[:index] + values + old[index + 1 :]
    cluster.broker._kept.pop((topic, partition), None)
    cluster.broker._next.pop((topic, partition), None)
    for value in values:
        cluster.append(topic, partition, value)


class SinkRows:
    """Rows as the command reads them."""

    def __init__(self, sink: EmbeddedSink) -> None:
        self.sink = sink

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return self.sink.query(sql).rows


def filled(cluster: Cluster, path: Path) -> EmbeddedSink:
    """A chDB with the rows of all output topics, as the loader makes them."""
    sink = EmbeddedSink(with_schema(path))
    for topic in NAMES.loaded:
        for partition in range(PARTITIONS):
            decoded = [cluster.codec.decode(m.value) for m in cluster.broker.records(topic, partition)]
            if decoded:
                for rows in inserts_of(decoded[0][0], [batch for _, batch in decoded]):
                    sink.insert(*rows)
    return sink


def billed(cluster: Cluster, partition: int = 0) -> list[bytes]:
    return [message.value for message in cluster.broker.records(BILLED, partition)]


def billed_with_lines(cluster: Cluster, partition: int = 0) -> list[bytes]:
    """The billed batches that have lines: one that only answers commands has none."""
    return [value for value in billed(cluster, partition) if cluster.codec.decode(value)[1]["events"]]


def altered(cluster: Cluster, value: bytes, **changes: Any) -> bytes:
    """The same batch with other values in its first item, and a valid encoding."""
    name, batch = cluster.codec.decode(value)
    batch["events"][0].update(changes)
    return cluster.codec.encode(name, batch)


def items(cluster: Cluster, topic: str, name: str) -> list[dict[str, Any]]:
    return [
        item
        for partition in range(PARTITIONS)
        for message in cluster.broker.records(topic, partition)
        for item in cluster.codec.decode(message.value)[1][name]
    ]

"""A store with usage in it, and the same usage as plain Python rows."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pytest

from application.usage.as_of import Positions
from application.usage.cursors import CursorKeys
from application.usage.history import UsageReader
from application.usage.store import SinkUsage
from sinks.embedded import EmbeddedSink
from sinks.sink import Limits, Sink
from streams.log.partitioner import partition_of
from streams.log.topics import TopicNames
from tests.metering.meter import DAY, HOUR, NOON, book, charge, refund, request
from tests.sinks.outputs import Json, Log, load
from tests.stores import with_schema

PARTITIONS = 4
PATIENT = Limits(seconds=60)
"""The machine that tests run on may be busy: what a statement may take is tested by itself."""
ACCOUNTS = ("acme", "zenith", "o'brien", "self")
BOOK = book(
    charge("lookup", 20, feature="Identification", action="IP lookup", unique=(["ip"], "24h")),
    charge("page", 2, feature="Search", action="People search", when={"endpoint": "/v1/people"}, per="results"),
    charge("mail", 5, feature="Enrichment", action="E-mail", credit_type="email", when={"channel": "js"}),
)


@dataclass
class UsageLog:
    """One log a partition; `events` and `refunds` are what the machine decided, in order of the log."""

    logs: dict[int, Log] = field(default_factory=dict)

    def message(self, account_id: str, *commands: tuple[str, Json]) -> None:
        partition = partition_of(account_id, PARTITIONS)
        log = self.logs.setdefault(partition, Log(BOOK, partition))
        log.message(*commands)

    def rows(self, items: str, account_id: str | None) -> list[Json]:
        """Every output of that kind, with its place in the log."""
        rows = []
        for log in self.logs.values():
            for _, batch in log.batches:
                place = {"source_offset": batch["source_offset"], "source_partition": batch["source_partition"]}
                rows += [item | place for item in batch.get(items, []) if account_id in {None, item["account_id"]}]
        return rows

    @cached_property
    def batches(self) -> list[Any]:
        return [batch for log in self.logs.values() for batch in log.batches]


def usage_log(seed: int, messages: int = 60) -> UsageLog:
    """Requests of several accounts over two months, some of them late, and refunds of some."""
    rng, log = random.Random(seed), UsageLog()
    at = NOON
    sent: list[tuple[str, str]] = []
    for number in range(messages):
        at += rng.randrange(2 * DAY)
        account_id = rng.choice(ACCOUNTS)
        if sent and rng.random() < 0.3:
            who, event_id = rng.choice(sent)
            fields = {"account_id": who, "credits": rng.choice([None, 1, 3]), "charge": rng.choice([None, "lookup"])}
            log.message(who, ("refund", refund(f"r{number}", event_id, at, **fields)))
            continue
        events = [_event(rng, f"e{number}-{place}", account_id, at) for place in range(rng.randrange(1, 6))]
        sent += [(account_id, event["event_id"]) for event in events]
        log.message(account_id, *(("request", event) for event in events))
    return log


def _event(rng: random.Random, event_id: str, account_id: str, at: int) -> Json:
    late = rng.choice([0, 0, 0, HOUR, DAY, 20 * DAY])
    fields: Json = {
        "account_id": account_id,
        "ip": f"10.0.0.{rng.randrange(6)}",
        "domain": rng.choice([None, "example.com"]),
        "user_id": rng.choice([None, "u-1", "u-2"]),
        "channel": rng.choice(["api", "js"]),
        "endpoint": rng.choice(["/v1/ip", "/v1/people"]),
        "actor": rng.choice([None, "ann", "bob", "o'neil"]),
        "outcome": rng.choice(["processed"] * 6 + ["failed", "invalid", "blocked", "rate_limited"]),
        "request_id": rng.choice([None, "rq-1", "rq-2"]),
        "quantities": rng.choice([{}, {"results": 3}, {"results": 0, "emails": 2}]),
        "attributes": rng.choice(
            [{}, {"description": "Jane Doe"}, {"team": "A"}, {"team": "B", "data_requested": "x"}]
        ),
    }
    # Several requests share an instant: the order among them is part of a cursor.
    return request(event_id, at - late - rng.choice([0, 0, 1]), **fields)


@pytest.fixture(scope="module")
def embedded_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedSink]:
    sink = EmbeddedSink(with_schema(tmp_path_factory.mktemp("usage") / "data"))
    yield sink
    sink.close()


def emptied(sink: Sink) -> Sink:
    for table in ("billed_rows", "refund_rows", "loaded_positions"):
        sink.execute(f"TRUNCATE TABLE {table}")
    return sink


def reader(sink: Sink) -> UsageReader:
    store = SinkUsage(sink, PATIENT)
    return UsageReader(store, Positions(store, TopicNames(), PARTITIONS), CursorKeys([b"a key"]))


@pytest.fixture(scope="module")
def log() -> UsageLog:
    return usage_log(7, 90)


@pytest.fixture(scope="module")
def filled(embedded_store: EmbeddedSink, log: UsageLog) -> UsageReader:
    """Everything loaded, some of it twice."""
    emptied(embedded_store)
    load(embedded_store, log.batches)
    load(embedded_store, log.batches[::3])
    return reader(embedded_store)

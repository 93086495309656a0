"""A pipeline in memory with prices in force, and rows in place of ClickHouse: for tests of single use cases."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from application.commands.bulk_sending import BulkSender
from application.in_memory import in_memory_pipeline
from application.input.ndjson import InputCommand
from application.pipeline import Pipeline
from application.prices.publishing import publish_book
from metering.records import Command
from streams import clock
from streams.log.memory_connections import MemoryConnections
from tests.application.recorded import RecordedNotices
from tests.command import BOOK

DAY = 86_400_000


class ListedRows:
    """Answers a statement with the rows of the table that it reads; `asked` has every statement."""

    def __init__(self, **rows: Sequence[Mapping[str, Any]]) -> None:
        self.rows = rows
        self.asked: list[str] = []

    def answer(self, sql: str, _output_format: str, _seconds: float = 0) -> bytes:
        self.asked.append(sql)
        table = re.search(r" FROM (\w+)", sql)
        assert table is not None, sql
        return "\n".join(map(json.dumps, self.rows.get(table[1], ()))).encode()


def priced_pipeline(
    folder: Path, rows: ListedRows | None = None, notices: RecordedNotices | None = None, *, partitions: int = 1
) -> Pipeline:
    """A pipeline whose prices are `BOOK`."""
    pipeline = in_memory_pipeline(folder, partitions=partitions, sql=rows, notices=notices)
    publish_book(pipeline, BOOK, clock.now_ms())
    return pipeline


def memory_of(pipeline: Pipeline) -> MemoryConnections:
    """What is under the pipeline."""
    assert isinstance(pipeline.connections, MemoryConnections)
    return pipeline.connections


def event(event_id: str, account_id: str = "acme", **fields: Any) -> dict[str, Any]:
    """A request of now that costs 20 credits."""
    return {
        "event_id": event_id, "account_id": account_id, "occurred_at": clock.now_ms(), "endpoint": "/v1/ip-lookup",
        "channel": "api", "outcome": "processed", "ip": "203.0.113.7",
    } | fields  # fmt: skip


def send(pipeline: Pipeline, *events: Mapping[str, Any]) -> None:
    """Sends request events; the worker has decided them when this returns."""
    with BulkSender.opened(pipeline) as sender:
        for number, record in enumerate(events, 1):
            sender.send(InputCommand(number, Command.REQUEST, dict(record), 0))
        sender.finish()

"""A server over a store with usage of several accounts in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from application.access.secret_keys import SecretKeys
from application.in_memory import in_memory_pipeline
from application.usage.store import SinkUsage
from server.api.reads import make_reads
from sinks.embedded import EmbeddedSink
from sinks.migrate import migrate
from streams.log.topics import TopicNames
from tests.application.usage.conftest import PARTITIONS, PATIENT, UsageLog, usage_log
from tests.server.world import ServerWorld, opened_world
from tests.sinks.outputs import load


@contextmanager
def opened_reading_world(folder: Path) -> Iterator[tuple[ServerWorld, UsageLog]]:
    """The server, and what the machine decided about the accounts that its store has."""
    sink, log = EmbeddedSink(folder / "data"), usage_log(7, 90)
    try:
        migrate(sink)
        load(sink, log.batches)
        pipeline = in_memory_pipeline(folder, partitions=PARTITIONS, sink=sink, names=TopicNames())
        reads = make_reads(pipeline, SinkUsage(sink, PATIENT), SecretKeys([b"s" * 32]))
        with opened_world(pipeline, reads=reads) as world:
            yield world, log
    finally:
        sink.close()

"""The API's contract in memory with chDB, and on real Kafka with a worker and a loader."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from application.configuration.sources import load
from application.in_memory import in_memory_pipeline
from application.pipeline import opened
from application.prices.publishing import publish_book
from application.usage.store import SinkUsage, configured_usage
from local.shared import SharedKafka
from server.api.reads import opened_reads
from sinks.embedded import EmbeddedSink
from streams import clock
from streams.log.memory_connections import MemoryConnections
from tests.application.usage.conftest import PATIENT
from tests.harness import Pipeline as RunningPipeline
from tests.server.contract import BOOK, ApiContract, ApiWorld, FollowingContract
from tests.server.world import memory_worker, not_loading, opened_world
from tests.stores import with_schema

pytestmark = pytest.mark.slow

PARTITIONS = 2


class TestInMemory(ApiContract, FollowingContract):
    @pytest.fixture(scope="class")
    @classmethod
    def world(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiWorld]:
        folder = tmp_path_factory.mktemp("memory")
        sink = EmbeddedSink(with_schema(folder / "clickhouse"))
        pipeline = in_memory_pipeline(folder / "data", partitions=PARTITIONS, sink=sink)
        connections = pipeline.connections
        assert isinstance(connections, MemoryConnections)
        publish_book(pipeline, BOOK, clock.now_ms())

        @contextmanager
        def stopped_worker() -> Iterator[None]:
            turn, connections.after_sending = connections.after_sending, lambda: None
            yield
            connections.after_sending = turn
            turn()

        worker = memory_worker(pipeline)
        with (
            opened_reads(pipeline, SinkUsage(sink, PATIENT), None) as reads,
            opened_world(pipeline, reads=reads) as server,
        ):
            yield ApiWorld(server, lambda: None, stopped_worker, lambda: not_loading(worker))
        sink.close()


@pytest.mark.kafka
@pytest.mark.slow
class TestOnKafka(ApiContract):
    @pytest.fixture(scope="class")
    @classmethod
    def world(cls, kafka: SharedKafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiWorld]:
        folder = tmp_path_factory.mktemp("kafka")
        running = RunningPipeline(kafka.bootstrap, kafka.fresh_prefix(), folder, PARTITIONS)

        @contextmanager
        def stopped_worker() -> Iterator[None]:
            running.stop("worker")
            yield
            running.start("worker")

        @contextmanager
        def stopped_loader() -> Iterator[None]:
            running.stop("loader")
            yield
            running.start("loader")

        def settle() -> None:
            running.wait_until_rated()
            running.wait_until_loaded()

        try:
            running.start("worker")
            running.start("loader")
            settings = load(str(folder / "one" / "loader.toml")).settings
            with opened(settings) as pipeline:
                publish_book(pipeline, BOOK, clock.now_ms())
                settle()
                store = configured_usage(settings)
                with opened_reads(pipeline, store, None) as reads, opened_world(pipeline, reads=reads) as server:
                    yield ApiWorld(server, settle, stopped_worker, stopped_loader)
        finally:
            running.close()

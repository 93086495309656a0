"""The real server on a port of this machine, over the real rating loop, a log in memory and an embedded ClickHouse."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import uvicorn

from application.commands.account_settings import SettingsChange, change_settings
from application.commands.grants import GrantOrder, grant_credits
from application.in_memory import in_memory_pipeline
from application.pipeline import Pipeline
from application.prices.publishing import publish_book
from application.usage.store import SinkUsage
from server.api.reads import opened_reads
from sinks.embedded import EmbeddedSink
from sinks.sink import CUSTOMER_LIMITS
from streams import clock
from streams.state.rocks import RocksState
from streams.state.rocks_folder import RocksFolder, RocksLimits
from streams.state.store import Identity
from tests.server.world import ServerWorld, opened_world
from tests.stores import with_schema

SECONDS = 60.0


@dataclass
class RealServer:
    """Its address, and the pipeline behind it."""

    url: str
    pipeline: Pipeline

    def grant(self, account_id: str, credits_: int) -> None:
        """Gives credits to an account, which is refused what it can't pay."""
        change_settings(self.pipeline, account_id, SettingsChange(on_empty="reject"), None, SECONDS)
        grant_credits(self.pipeline, GrantOrder(account_id, "credit", credits_, clock.now_ms()), SECONDS)


def patient_usage(sink: EmbeddedSink) -> SinkUsage:
    """Customers' reads, which wait longer than they should: other processes load the machine that tests run on."""
    usage = SinkUsage(sink, replace(CUSTOMER_LIMITS, seconds=int(SECONDS)))
    usage._turns.wait = SECONDS
    return usage


@contextmanager
def served(folder: Path, book: str) -> Iterator[RealServer]:
    """The server for the time of the block, with an embedded ClickHouse: one at a time in a process.

    Its worker's states are in RocksDB, as a real worker's are, so that estimates find them.
    """
    sink = EmbeddedSink(with_schema(folder / "clickhouse"))
    states: dict[int, RocksState] = {}
    rocks = RocksFolder(folder / "data" / "state", RocksLimits(1 << 20, 1 << 20))

    def opened(partition: int) -> RocksState:
        if partition not in states:
            states[partition] = rocks.open(Identity(pipeline.names.requests, partition, pipeline.log_id))
        return states[partition]

    pipeline = in_memory_pipeline(folder / "data", partitions=2, sink=sink, open_state=opened)
    publish_book(pipeline, book, clock.now_ms())
    try:
        with opened_reads(pipeline, patient_usage(sink), None) as reads, opened_world(pipeline, reads=reads) as world:
            yield from _listening(world, 0)
    finally:
        for state in states.values():
            state.close()
        sink.close()


@contextmanager
def served_without_store(folder: Path, book: str, port: int) -> Iterator[RealServer]:
    """As `served`, without ClickHouse, so that there may be several."""
    pipeline = in_memory_pipeline(folder, partitions=2)
    publish_book(pipeline, book, clock.now_ms())
    with opened_world(pipeline) as world:
        yield from _listening(world, port)


def _listening(world: ServerWorld, port: int) -> Iterator[RealServer]:
    with socket.create_server(("127.0.0.1", port)) as listener:
        server = uvicorn.Server(uvicorn.Config(world.app, lifespan="off", log_level="warning", loop="none"))
        running = asyncio.run_coroutine_threadsafe(server.serve([listener]), world.loop)
        try:
            yield RealServer(f"http://127.0.0.1:{listener.getsockname()[1]}", world.pipeline)
        finally:
            server.should_exit = True
            running.result(60)

"""What an event costs from the output topics' bytes to rows in embedded ClickHouse, without Kafka: `--loader`.

The loader's own handler gets billed messages from memory, in groups of several sizes, over a store in a scratch folder.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from bench.events import BATCH, BOOK, PARTITIONS, START, batches
from bench.machine import cpu_seconds, rss_bytes
from schemas.codec import Codec
from schemas.price_book import book_id, read_book
from sinks.isolated import IsolatedSink
from sinks.migrate import migrate
from streams.loading.continuity import Continuity, LogTopics
from streams.loading.loader import LoadingHandler
from streams.loading.positions import SinkPositions
from streams.log.memory import MemoryBroker, MemoryInputLog, MemoryOutputLog
from streams.log.protocols import Message
from streams.log.seals import Sealer
from streams.log.topics import TopicNames
from streams.metrics import Metrics
from streams.rating.loop import RatingLoop
from streams.rating.partition import Wiring
from streams.state.store import MemoryState

MIB = 1 << 20
GROUPS = (MIB, 4 * MIB)
"""Bytes of the groups that are compared."""
_MERGED_SECONDS = 30.0
_LOOK = 0.2
_QUIET_LOOKS = 5
_IDLE_SECONDS = 0.02
_RATED_AT_ONCE = 64


class Work(NamedTuple):
    """Billed messages as the worker writes them, in the order in which a loader with all partitions reads them."""

    topic: str
    messages: list[Message]
    events: int
    lines: int
    bytes: int


class Loading(NamedTuple):
    """µs of CPU an event: of the loader's process, and of the engine's until its merges are done.

    ``resident``: bytes of the loader's memory at the end.
    """

    group_bytes: int
    loader: float
    engine: float
    seconds: float
    resident: int


def made(events: int) -> Work:
    """So many events, rated in memory."""
    names, sealer, codec = TopicNames("bench-loader"), Sealer(b"bench"), Codec()
    broker = MemoryBroker()
    output = MemoryOutputLog(broker, codec.read_position, seals=sealer)
    log = MemoryInputLog(broker, names.requests)
    loop = RatingLoop(Wiring(names, PARTITIONS, codec, read_book, log, output), lambda _: MemoryState())
    book = codec.encode("PriceBook", {"book_id": book_id(BOOK), "yaml": BOOK, "published_at": START})
    waiting = [_sent(broker, names.requests, partition, book, START) for partition in range(PARTITIONS)]
    for batch in batches(events // BATCH):
        value, at = codec.encode("RequestBatch", {"events": batch.events}), batch.events[-1]["occurred_at"]
        waiting.append(_sent(broker, names.requests, batch.partition, value, at))
        if len(waiting) >= _RATED_AT_ONCE:
            loop.process(waiting)
            waiting = []
    loop.process(waiting)
    lines = [broker.records(names.billed, partition) for partition in range(PARTITIONS)]
    messages = [line[at] for at in range(max(map(len, lines))) for line in lines if at < len(line)]
    count = sum(len(codec.decode(message.value)[1]["events"]) for message in messages)
    return Work(names.billed, messages, events, count, sum(len(message.value) for message in messages))


def measure(work: Work, group_bytes: int, folder: Path) -> Loading:
    """Loads all of the work into an empty store, in groups of about so many bytes."""
    sink = IsolatedSink(folder)
    try:
        migrate(sink)
        handler = LoadingHandler(
            sink, SinkPositions(sink), Codec(), Sealer(b"bench"), Metrics(), Continuity(LogTopics({}))
        )
        began, own, engine = time.monotonic(), time.process_time(), cpu_seconds(sink.engine_pid)
        for group in _groups(work, group_bytes):
            handler.process({work.topic: group})
        own = time.process_time() - own
        took = time.monotonic() - began
        resident = rss_bytes(os.getpid())
        _check(sink, work)
        _wait_for_merges(sink)
        engine = cpu_seconds(sink.engine_pid) - engine
    finally:
        sink.close()
    return Loading(group_bytes, 1e6 * own / work.events, 1e6 * engine / work.events, took, resident)


def measured(events: int) -> Iterator[Loading]:
    """A loading for each size of groups."""
    work = made(events)
    print(f"{work.events:,} events, {work.lines:,} lines, {work.bytes / work.lines:.0f} bytes a line", file=sys.stderr)
    for group_bytes in GROUPS:
        with tempfile.TemporaryDirectory(prefix="creditmeter-bench-") as scratch:
            yield measure(work, group_bytes, Path(scratch) / "store")


def report(loadings: Iterator[Loading]) -> list[Loading]:
    """Prints each as it comes."""
    kept = []
    print(f"{'group':>8}  {'loader':>7}  {'engine':>7}  {'µs an event':>11}  {'RSS, MB':>8}", file=sys.stderr)
    for loading in loadings:
        both = loading.loader + loading.engine
        print(
            f"{loading.group_bytes / MIB:>4.2g} MiB  {loading.loader:>7.1f}  {loading.engine:>7.1f}  {both:>11.1f}"
            f"  {loading.resident / 1e6:>8.0f}",
            file=sys.stderr,
            flush=True,
        )
        kept.append(loading)
    return kept


def _sent(broker: MemoryBroker, topic: str, partition: int, value: bytes, at: int) -> Message:
    offset = broker.append(topic, partition, value, at)
    return Message(partition, offset, at, value, None)


def _groups(work: Work, group_bytes: int) -> Iterator[list[Message]]:
    group: list[Message] = []
    size = 0
    for message in work.messages:
        group.append(message)
        size += len(message.value)
        if size >= group_bytes:
            yield group
            group, size = [], 0
    if group:
        yield group


def _check(sink: IsolatedSink, work: Work) -> None:
    ((rows,),) = sink.query("SELECT count() FROM billed_events").rows
    if rows != work.lines:
        raise SystemExit(f"{rows:,} of {work.lines:,} lines are in the store")


def _wait_for_merges(sink: IsolatedSink) -> None:
    """Until the engine is quiet for a second: what it merges behind the inserts is a cost of theirs."""
    deadline = time.monotonic() + _MERGED_SECONDS
    before, quiet = cpu_seconds(sink.engine_pid), 0
    while quiet < _QUIET_LOOKS and time.monotonic() < deadline:
        time.sleep(_LOOK)
        now = cpu_seconds(sink.engine_pid)
        quiet = quiet + 1 if now - before < _IDLE_SECONDS else 0
        before = now

"""A worker's resident memory while millions of events go through it."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from bench.backlog import Wire, prepare, produce
from bench.contest import STOP_SECONDS, Place, pipeline
from bench.ends import Ends
from bench.events import BATCH, batches
from bench.machine import rss_bytes
from local.process import ServerProcess
from schemas.codec import Codec
from streams.log.topics import TopicNames

PREFIX = "bench-memory"
LOOK_SECONDS = 0.2
SILENCE_SECONDS = 60.0
AHEAD = 100_000 // BATCH
"""Messages that are sent before the worker is waited for."""


class Sample(NamedTuple):
    """``events`` decided so far; the worker's resident memory then and at most since the sample before, in bytes."""

    events: int
    now: int
    most: int


def measure(place: Place, codec: Codec, millions: int) -> Iterator[Sample]:
    """Sends events as the worker takes them; a sample for each million."""
    names = TopicNames(PREFIX)
    prepare(place.bootstrap, names, codec)
    command, env, _ = pipeline(1)(place, PREFIX)
    process = ServerProcess("worker", command, log=place.folder / f"{PREFIX}.log", env=env)
    ends = Ends(place.bootstrap, names.billed)
    source = batches(millions * 1_000_000 // BATCH)
    sent = most = 0
    next_sample = 1_000_000
    try:
        while chunk := list(islice(source, AHEAD)):
            wires = (Wire(b.partition, codec.encode("RequestBatch", {"events": b.events}), BATCH, 1) for b in chunk)
            produce(place.bootstrap, names.requests, wires)
            sent += len(chunk)
            most = max(most, _wait_for(ends, sent - AHEAD, process))
            if sent * BATCH >= next_sample:
                most = max(most, _wait_for(ends, sent, process))
                now = rss_bytes(process.pid)
                yield Sample(sent * BATCH, now, max(most, now))
                next_sample, most = next_sample + 1_000_000, 0
    finally:
        process.terminate(STOP_SECONDS)


def _wait_for(ends: Ends, messages: int, process: ServerProcess) -> int:
    """Until so many messages are decided; gives the most memory seen."""
    most, done = 0, -1
    silent_since = time.monotonic()
    while (found := ends.total()) < messages:
        if found > done:
            done, silent_since = found, time.monotonic()
        if process.exit_code() is not None or time.monotonic() - silent_since > SILENCE_SECONDS:
            raise process.failure(f"gave {done:,} of {messages:,} outputs")
        most = max(most, rss_bytes(process.pid))
        time.sleep(LOOK_SECONDS)
    return most


def report(samples: Iterator[Sample]) -> list[Sample]:
    """Prints each sample as it comes."""
    print(f"{'events':>12}  {'RSS, MB':>8}  {'most, MB':>8}", file=sys.stderr)
    kept = []
    for sample in samples:
        print(f"{sample.events:>12,}  {sample.now / 1e6:>8.0f}  {sample.most / 1e6:>8.0f}", file=sys.stderr, flush=True)
        kept.append(sample)
    return kept

"""How long a worker takes to take a partition over: with its own state, from a checkpoint, and from the log alone.

The history is one partition's; then a worker is started on a disk that has, in turn, the state, nothing but a
checkpoint to fetch, and nothing at all. The time is from the start of its process until the output of a message that
was waiting behind the history is in the topic.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from bench.backlog import Wire, prepare, produce
from bench.contest import STOP_SECONDS, Place, environment, pipeline
from bench.ends import Ends
from bench.events import BATCH, batches
from bench.machine import load
from local.process import ServerProcess
from schemas.codec import Codec
from streams.checkpoints.checkpoints import Checkpoints
from streams.checkpoints.manifest import Checkpoint
from streams.log.topics import TopicNames, check_topics

PREFIX = "bench-takeover"
PARTITION = 0
LOOK_SECONDS = 0.05
SILENCE_SECONDS = 900.0
AHEAD = 500
SINCE = 100
"""Messages that were rated after the checkpoint: what is read from the log besides it."""


class Takeover(NamedTuple):
    """One start: on what disk, seconds until it is caught up, and the machine's load (1 min) then."""

    disk: str
    seconds: float
    load: float


class History(NamedTuple):
    """``events`` in the partition, seconds that rating them took at first, and what the checkpoint is."""

    events: int
    rating_seconds: float
    checkpoint_bytes: int
    checkpoint_files: int


def measure(place: Place, codec: Codec, millions: float) -> tuple[History, list[Takeover]]:
    """Makes the history, then takes it over three times."""
    names = TopicNames(PREFIX)
    prepare(place.bootstrap, names, codec)
    source = _wires(codec)
    count = int(millions * 1_000_000) // BATCH
    kept = place.folder / "kept"
    with_checkpoints = {"CREDITMETER_CHECKPOINT_URL": str(kept)}
    ends = Ends(place.bootstrap, names.billed)
    worker = _start(place, with_checkpoints | {"CREDITMETER_CHECKPOINT_EVERY": "5"})
    began = time.monotonic()
    try:
        for first in range(0, count, AHEAD):
            produce(place.bootstrap, names.requests, islice(source, min(AHEAD, count - first)))
            _wait(ends, min(first, count), worker)
        _wait(ends, count, worker)
        took = time.monotonic() - began
        made = _wait_for_checkpoint(kept, place, names, count)
    finally:
        worker.terminate(STOP_SECONDS)
    worker = _start(place, {})  # these are in no checkpoint
    try:
        produce(place.bootstrap, names.requests, islice(source, SINCE))
        _wait(ends, count + SINCE, worker)
    finally:
        worker.terminate(STOP_SECONDS)
    history = History(count * BATCH, took, made.size, len(made.files))
    return history, [
        _taken_over(place, names, source, ends, "its own state", {}, keeps_disk=True),
        _taken_over(place, names, source, ends, "empty, with a checkpoint", with_checkpoints, keeps_disk=False),
        _taken_over(place, names, source, ends, "empty, the log alone", {}, keeps_disk=False),
    ]


def _taken_over(
    place: Place, names: TopicNames, source: Iterator[Wire], ends: Ends, disk: str, env: dict[str, str], *,
    keeps_disk: bool,
) -> Takeover:  # fmt: skip
    if not keeps_disk:
        shutil.rmtree(_disk(place))
    wanted = ends.total() + 1
    produce(place.bootstrap, names.requests, islice(source, 1))
    began = time.monotonic()
    worker = _start(place, env)
    try:
        _wait(ends, wanted, worker)
        found = Takeover(disk, time.monotonic() - began, load())
    finally:
        worker.terminate(STOP_SECONDS)
    print(f"{disk:<28}{found.seconds:>8.1f} s   (load {found.load:.1f})", file=sys.stderr, flush=True)
    return found


def _wires(codec: Codec) -> Iterator[Wire]:
    for batch in batches(sys.maxsize, partitions=1):
        yield Wire(batch.partition, codec.encode("RequestBatch", {"events": batch.events}), BATCH, 1)


def _start(place: Place, env: dict[str, str]) -> ServerProcess:
    command, _, _ = pipeline(1)(place, PREFIX)
    return ServerProcess(
        "worker", command, log=place.folder / f"{PREFIX}.log", env={**environment(place, PREFIX), **env}
    )


def _disk(place: Place) -> Path:
    return Path(environment(place, PREFIX)["CREDITMETER_DATA_DIR"])


def _wait(ends: Ends, messages: int, worker: ServerProcess) -> None:
    silent_since, done = time.monotonic(), -1
    while (found := ends.total()) < messages:
        if found > done:
            done, silent_since = found, time.monotonic()
        if worker.exit_code() is not None or time.monotonic() - silent_since > SILENCE_SECONDS:
            raise worker.failure(f"gave {found:,} of {messages:,} outputs")
        time.sleep(LOOK_SECONDS)


def _wait_for_checkpoint(kept: Path, place: Place, names: TopicNames, messages: int) -> Checkpoint:
    """Until one has everything: the history stands behind the price book, at offset 0."""
    checkpoints = Checkpoints(str(kept), names.requests, check_topics(place.bootstrap, names)[names.requests])
    until = time.monotonic() + 120
    while True:
        newest = checkpoints.newest(PARTITION)
        if newest is not None and newest.applied >= messages:
            return newest
        if time.monotonic() > until:
            raise RuntimeError(f"no checkpoint of everything: {newest}")
        time.sleep(LOOK_SECONDS)


def report(history: History, found: list[Takeover]) -> None:
    """The figures for people."""
    print(
        f"\n{history.events:,} events in the partition, rated in {history.rating_seconds:.0f} s at first; "
        f"checkpoint {history.checkpoint_bytes / 2**20:.0f} MiB in {history.checkpoint_files} files\n",
        file=sys.stderr,
    )
    for each in found:
        print(f"{each.disk:<28}{each.seconds:>8.1f} s   (load {each.load:.1f})", file=sys.stderr)

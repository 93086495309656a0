"""One contestant at a time: backlog first, then its processes, then a watch from its first output to its last."""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from bench.backlog import Wire, prepare, produce
from bench.ends import Progress, is_done, shares, watch
from bench.events import PARTITIONS
from bench.machine import cpu_seconds
from local.process import ServerProcess
from metering.compiled import SWITCH
from schemas.codec import Codec
from streams.log.reader import KafkaReader
from streams.log.topics import TopicNames

LOOK_SECONDS = 0.05
PATIENCE_SECONDS = 240.0
STOP_SECONDS = 30.0


class Place(NamedTuple):
    """Where a contestant works."""

    bootstrap: str
    folder: Path


Start = Callable[[Place, str], tuple[list[str], dict[str, str], Path | None]]
"""Returns the command and environment of a contestant's processes, and a file that it makes when it is complete."""


@dataclass(frozen=True)
class Entry:
    """How a contestant is run and watched.

    ``group``: its consumer group, by its topics' prefix; None: one process has all partitions.
    ``progress``: what counts as done. ``warm_up``: the share of all outputs that it writes before it is watched.
    ``is_slow``: takes its time, and gets the first of the work only.
    """

    start: Start
    group: Callable[[str], str] | None = None
    progress: Progress = Progress.OUTPUTS
    warm_up: float = 0.0
    is_slow: bool = False


@dataclass(frozen=True)
class Contestant:
    """An entry at its turn: with topics of its own."""

    prefix: str
    title: str
    entry: Entry


class Figures(NamedTuple):
    """What was seen between the first output and the last. CPU of the contestant's own processes alone."""

    events: float
    seconds: float
    cpu_seconds: float

    @property
    def rate(self) -> float:
        """Events a second."""
        return self.events / self.seconds

    @property
    def cpu_micros(self) -> float:
        """CPU µs an event."""
        return 1e6 * self.cpu_seconds / self.events


class Lines(NamedTuple):
    """A bill: equal where the lines are, in each field."""

    credits: int
    lines: int
    digest: str


def module(name: str) -> Start:
    """A contestant of this folder: `python -m NAME BOOTSTRAP PREFIX FOLDER`."""

    def start(place: Place, prefix: str) -> tuple[list[str], dict[str, str], Path | None]:
        return [sys.executable, "-m", name, place.bootstrap, prefix, str(place.folder / prefix)], {}, None

    return start


def pipeline(processes: int, *, interpreted: bool = False) -> Start:
    """The pipeline itself, by its command; ``interpreted``: without its compiled modules."""

    def start(place: Place, prefix: str) -> tuple[list[str], dict[str, str], Path | None]:
        ready = place.folder / f"{prefix}.ready"
        command = [sys.executable, "-m", "cli.main", "worker", "--processes", str(processes)]
        switch = {SWITCH: "1"} if interpreted else {}
        return [*command, "--ready-file", str(ready)], {**environment(place, prefix), **switch}, ready

    return start


def rating_group(prefix: str) -> str:
    return TopicNames(prefix).rating_group


def environment(place: Place, prefix: str) -> dict[str, str]:
    """The configuration of `creditmeter` commands that work there."""
    return {
        "CREDITMETER_BOOTSTRAP_SERVERS": place.bootstrap,
        "CREDITMETER_TOPIC_PREFIX": prefix,
        "CREDITMETER_PARTITIONS": str(PARTITIONS),
        "CREDITMETER_DATA_DIR": str(place.folder / prefix),
    }


def race(contestant: Contestant, place: Place, backlog: Sequence[Wire], codec: Codec) -> Figures:
    """Steady state: from the first output after all its processes are at work until one of them has nothing left.

    Partitions never end together: where two processes have four each, the one that is done first would else be counted
    as at work until the other one is done too.
    """
    names, entry = TopicNames(contestant.prefix), contestant.entry
    prepare(place.bootstrap, names, codec)
    produce(place.bootstrap, names.requests, backlog)
    wanted = [sum(wire.answers for wire in backlog if wire.partition == number) for number in range(PARTITIONS)]
    events_an_answer = sum(wire.events for wire in backlog) / sum(wanted)
    group = entry.group(contestant.prefix) if entry.group else None
    ends = watch(entry.progress, place.bootstrap, names, group)
    command, env, ready = entry.start(place, contestant.prefix)
    log = place.folder / f"{contestant.prefix}.log"
    process = ServerProcess(contestant.title, command, log=log, env=env)
    deadline = time.monotonic() + PATIENCE_SECONDS
    first: tuple[float, int, float] | None = None
    last: tuple[float, int, float] | None = None
    own: list[list[int]] = []
    idle = int(entry.warm_up * sum(wanted))
    try:
        while True:
            time.sleep(LOOK_SECONDS)
            done, now = ends.by_partition(), time.monotonic()
            count = sum(done)
            if first is None and count > idle:
                if ready is None or ready.exists():
                    first = (now, count, cpu_seconds(process.pid))
                    own = (shares(place.bootstrap, group) if group else []) or [list(range(PARTITIONS))]
                else:
                    idle = count
            if last is None and any(is_done(done, wanted, share) for share in own):
                last = (now, count, cpu_seconds(process.pid))
            if count >= sum(wanted):
                break
            if process.exit_code() is not None or now > deadline:
                raise process.failure(f"gave {count:,} of {sum(wanted):,} outputs")
        if first is None or last is None or last[1] == first[1]:
            raise process.failure("was done before it could be watched: give it more events")
        return Figures((last[1] - first[1]) * events_an_answer, last[0] - first[0], last[2] - first[2])
    finally:
        process.terminate(STOP_SECONDS)


def outputs(place: Place, prefix: str) -> str:
    """A digest of all that was billed: equal where contestants wrote the same bytes."""
    digest = hashlib.sha256()
    for _, _, value in _billed(place, prefix):
        digest.update(len(value).to_bytes(8, "big") + value)
    return digest.hexdigest()


def credits_billed(place: Place, prefix: str, codec: Codec, messages: int) -> int:
    """Credits charged for the first so many messages of the backlog; with all in batches or all single."""
    each = messages // PARTITIONS
    return sum(
        line["credits"]
        for _, offset, value in _billed(place, prefix)
        if offset <= each or messages == 0
        for line in codec.decode(value)[1]["events"]
    )


def lines(place: Place, prefix: str, codec: Codec, messages: int) -> Lines:
    """The lines for the first so many messages, in the order of what caused them, whatever stands beside the lines."""
    last = messages // PARTITIONS  # the price book is at offset 0
    batches = [codec.decode(value)[1] for _, offset, value in _billed(place, prefix) if offset <= last]
    batches.sort(key=lambda batch: (batch["source_partition"], batch["source_offset"], batch["part"]))
    digest = hashlib.sha256()
    count = credits_ = 0
    for batch in batches:
        for line in batch["events"]:
            digest.update(repr(sorted(line.items())).encode())
            count += 1
            credits_ += line["credits"]
    return Lines(credits_, count, digest.hexdigest())


def _billed(place: Place, prefix: str) -> list[tuple[int, int, bytes]]:
    """(partition, source offset, message) of the billed topic."""
    reader = KafkaReader(place.bootstrap)
    topic = TopicNames(prefix).billed
    codec = Codec()
    found = []
    for partition in range(PARTITIONS):
        first, stop = reader.bounds(topic, partition)
        for message in reader.read(topic, partition, first, stop):
            value = message.value() or b""
            found.append((partition, codec.read_position(value)[0], value))
    reader.close()
    return found

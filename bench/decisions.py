"""How soon somebody who waits for a decision sees it: alone, and beside a bulk import."""

from __future__ import annotations

import random
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any, NamedTuple, Self

from confluent_kafka import Consumer, Producer, TopicPartition

from bench.backlog import prepare
from bench.contest import PATIENCE_SECONDS, STOP_SECONDS, Place, pipeline
from bench.events import ACCOUNTS, PARTITIONS, Event
from local.process import ServerProcess
from schemas.batches import read_position
from schemas.codec import Codec
from streams.log.client import client_config
from streams.log.output_log import ordered_config
from streams.log.partitioner import partition_of
from streams.log.topics import TopicNames

KINDS = ("decided", "repeated", "set aside")
ROUND = ("decided",) * 6 + ("repeated", "set aside") * 2
"""What the waiting events are, over and over: two of ten are repeats, two are set aside for a wrong address."""
WARM_SECONDS = 5.0
TICK_SECONDS = 0.001
_POLL = 0.1


class Waits(NamedTuple):
    """Seconds from the send of an event to the sight of its answer in the billed topic, by kind of answer.

    ``bulk`` is how many events a second went beside them, as they were decided.
    """

    bulk: float
    events: int
    p50: float
    p99: float
    worst: float
    p99_by_kind: dict[str, float]


class _Tail:
    """Reads the billed topic from its end, in a thread: when the answer to each input message was seen."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._consumer = Consumer(
            client_config(bootstrap, group_id="bench-waits", enable_auto_commit=False, fetch_wait_max_ms=100)
        )
        places = [TopicPartition(topic, partition) for partition in range(PARTITIONS)]
        for place in places:
            place.offset = self._consumer.get_watermark_offsets(place, timeout=30)[1]
        self._consumer.assign(places)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.seen: dict[tuple[int, int], float] = {}
        """By input (partition, offset): when, by `time.perf_counter`."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._consumer.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            for message in self._consumer.consume(100, _POLL / 100):
                if message.error() is None:
                    place = message.partition() or 0, read_position(message.value() or b"")[0]
                    self.seen.setdefault(place, time.perf_counter())


class _Sent(NamedTuple):
    partition: int
    offset: int
    at: float
    kind: str


def measure(place: Place, codec: Codec, rate: float, seconds: float, bulk: float) -> Waits:
    """Sends ``rate`` waiting events a second, each alone in its message, and ``bulk`` others a second beside them."""
    prefix = f"bench-waits-{bulk:.0f}-{time.monotonic_ns()}"
    names = TopicNames(prefix)
    prepare(place.bootstrap, names, codec)
    command, env, ready = pipeline(1)(place, prefix)
    worker = ServerProcess("worker", command, log=place.folder / f"{prefix}.log", env=env)
    others: ServerProcess | None = None
    try:
        _wait_until_ready(worker, ready)
        with _Tail(place.bootstrap, names.billed) as tail:
            if bulk:
                importer = [sys.executable, "-m", "bench.importer", place.bootstrap, prefix, str(bulk)]
                others = ServerProcess("importer", importer, log=place.folder / f"{prefix}-importer.log")
                _wait_until(lambda: bool(tail.seen), worker, "the import did not begin")
            began = time.perf_counter() + WARM_SECONDS
            sent = _send(place.bootstrap, names.requests, codec, rate, seconds + WARM_SECONDS)
            _wait_until(lambda: all((s.partition, s.offset) in tail.seen for s in sent), worker, "not all was decided")
            took = time.perf_counter() - began + WARM_SECONDS
            decided = (len(tail.seen) - len(sent)) * BULK_EVENTS / took
            return _figures(decided, [s for s in sent if s.at >= began], tail.seen)
    finally:
        for process in (others, worker):
            if process is not None:
                process.terminate(STOP_SECONDS)


BULK_EVENTS = 200
"""Events of one message of the import, as `emit` cuts them."""


def _events() -> Iterator[tuple[str, Event]]:
    """(kind, event), one after another, spread over accounts of their own and so over the partitions."""
    rng = random.Random(7)
    last: dict[int, Event] = {}
    while True:
        for kind in ROUND:
            account = rng.randrange(ACCOUNTS)
            bits = rng.getrandbits(48)
            event: dict[str, Any] = {
                "event_id": f"{rng.getrandbits(128):032x}",
                "account_id": f"waiting-{account:03d}",
                "occurred_at": int(time.time() * 1_000),
                "endpoint": "/v1/ip-lookup",
                "channel": "api",
                "outcome": "processed",
                "ip": f"10.{bits & 255}.{bits >> 8 & 255}.{bits >> 16 & 255}",
                "quantities": {},
                "attributes": {},
            }
            if kind == "repeated" and account in last:
                yield kind, last[account]
            elif kind == "set aside":
                yield kind, event | {"ip": "no address"}
            else:
                last[account] = event
                yield "decided", event


def _send(bootstrap: str, topic: str, codec: Codec, rate: float, seconds: float) -> list[_Sent]:
    """Paced; returns when all are acknowledged."""
    producer = Producer(ordered_config(bootstrap, None, linger_ms=0))
    sent: list[_Sent] = []
    failures: list[object] = []

    def delivered(kind: str, at: float) -> Any:
        def note(error: object, message: Any) -> None:
            if error is not None:
                failures.append(error)
            else:
                sent.append(_Sent(message.partition(), message.offset(), at, kind))

        return note

    events = _events()
    began = time.perf_counter()
    count = 0
    while count < rate * seconds:
        if time.perf_counter() - began < count / rate:
            producer.poll(TICK_SECONDS)
            continue
        kind, event = next(events)
        value = codec.encode_event_alone(event)
        partition = partition_of(event["account_id"], PARTITIONS)
        at = time.perf_counter()
        producer.produce(topic, value, partition=partition, on_delivery=delivered(kind, at))
        count += 1
    while producer.flush(_POLL):
        pass
    if failures:
        raise RuntimeError(f"{topic}: {failures[0]}")
    return sent


def _wait_until_ready(worker: ServerProcess, ready: Any) -> None:
    _wait_until(ready.exists, worker, "did not start")


def _wait_until(is_so: Any, worker: ServerProcess, problem: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        if worker.exit_code() is not None or time.monotonic() > deadline:
            raise worker.failure(problem)
        time.sleep(_POLL)


def _figures(bulk: float, sent: list[_Sent], seen: dict[tuple[int, int], float]) -> Waits:
    waits = {kind: sorted(seen[s.partition, s.offset] - s.at for s in sent if s.kind == kind) for kind in KINDS}
    every = sorted(wait for some in waits.values() for wait in some)
    p99 = {kind: some[len(some) * 99 // 100] for kind, some in waits.items()}
    return Waits(bulk, len(every), every[len(every) // 2], every[len(every) * 99 // 100], every[-1], p99)


def report(waits: Waits) -> None:
    """Prints one measurement."""
    kinds = ", ".join(f"{kind} {seconds * 1e3:.0f}" for kind, seconds in waits.p99_by_kind.items())
    print(
        f"beside {waits.bulk:,.0f} bulk events/s: {waits.events:,} waiting events, decision seen after "
        f"p50 {waits.p50 * 1e3:.1f} ms, p99 {waits.p99 * 1e3:.0f} ms, worst {waits.worst * 1e3:.0f} ms "
        f"(p99 by answer: {kinds} ms)",
        file=sys.stderr,
        flush=True,
    )

"""From an event to the moment when SQL sees it, with worker and loader at work under a steady load."""

from __future__ import annotations

import threading
import time
from bisect import bisect_right
from collections import defaultdict
from typing import NamedTuple, Self

from bench.contest import Place
from bench.events import BATCH, PARTITIONS, Event, batches
from bench.loaded_pipeline import LoadedPipeline
from schemas.codec import Codec
from streams.log.command_producer import Batching, CommandProducer, Delivery
from streams.log.topics import TopicNames

PREFIX = "bench-latency"
WARM_SECONDS = 5.0
LOOK_SECONDS = 0.1
PATIENCE_SECONDS = 60.0
TICK_SECONDS = 0.01


class Latency(NamedTuple):
    """Seconds from the time when an event is handed to the producer to a query that finds it."""

    p50: float
    p99: float
    worst: float
    events: int
    rate: float
    cpu_micros: dict[str, float]


class _Watch:
    """Which messages are visible since when: a thread that asks the loader over and over."""

    def __init__(self, pipeline: LoadedPipeline) -> None:
        self._pipeline = pipeline
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.looks: dict[int, list[tuple[int, float]]] = defaultdict(list)
        """By partition: (greatest offset seen, when)."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(LOOK_SECONDS):
            reached = self._pipeline.reached()
            now = time.time()  # after the answer: the later of the two
            for partition, offset in reached.items():
                looks = self.looks[partition]
                if not looks or looks[-1][0] < offset:
                    looks.append((offset, now))

    def seen_at(self, partition: int, offset: int) -> float | None:
        looks = self.looks[partition]
        at = bisect_right(looks, offset - 1, key=lambda look: look[0])
        return looks[at][1] if at < len(looks) else None


def measure(place: Place, codec: Codec, rate: float, seconds: float) -> Latency:
    """Sends ``rate`` events a second for so many seconds, as `CommandProducer` sends, and looks what SQL shows."""
    with LoadedPipeline(place, PREFIX, codec) as pipeline:
        delivered: list[Delivery] = []
        events = [event for batch in batches(int(rate * seconds) // BATCH + 1, seed=2) for event in batch.events]
        with _Watch(pipeline) as watch:
            began, cpu = time.monotonic(), pipeline.cpu_seconds()
            _send(place, pipeline.names, codec, events, rate, delivered)
            took = time.monotonic() - began
            used = {name: after - cpu[name] for name, after in pipeline.cpu_seconds().items()}
            _wait_until_seen(watch, delivered, pipeline)
    return _figures(watch, delivered, len(events) / took, used)


def _send(
    place: Place, names: TopicNames, codec: Codec, events: list[Event], rate: float, delivered: list[Delivery]
) -> None:
    """Paced: each tick sends what is due by then, each event with the time when it is sent."""
    batching = Batching(events=BATCH)
    with CommandProducer(place.bootstrap, names, codec, batching=batching, on_delivery=delivered.append) as producer:
        began = time.monotonic()
        sent = 0
        while sent < len(events):
            due = min(len(events), int((time.monotonic() - began) * rate))
            now = int(time.time() * 1_000)
            for event in events[sent:due]:
                event["occurred_at"] = now
                producer.add(event)
            sent = due
            time.sleep(TICK_SECONDS)


def _wait_until_seen(watch: _Watch, delivered: list[Delivery], pipeline: LoadedPipeline) -> None:
    last = {partition: max(d.offset for d in delivered if d.partition == partition) for partition in range(PARTITIONS)}
    deadline = time.monotonic() + PATIENCE_SECONDS
    while any(watch.seen_at(partition, offset) is None for partition, offset in last.items()):
        pipeline.check()
        if time.monotonic() > deadline:
            raise pipeline.failure("did not show every event")
        time.sleep(LOOK_SECONDS)


def _figures(watch: _Watch, delivered: list[Delivery], rate: float, used: dict[str, float]) -> Latency:
    total = sum(len(delivery.records) for delivery in delivered)
    begin = min(record["occurred_at"] for record in delivered[0].records) + WARM_SECONDS * 1_000
    waits = []
    for delivery in delivered:
        seen = watch.seen_at(delivery.partition, delivery.offset)
        if seen is None:
            raise RuntimeError(f"partition {delivery.partition}, offset {delivery.offset} was never seen")
        times = (record["occurred_at"] for record in delivery.records)
        waits += [seen - at / 1_000 for at in times if at >= begin]
    waits.sort()
    micros = {name: 1e6 * seconds / total for name, seconds in used.items()}
    return Latency(waits[len(waits) // 2], waits[len(waits) * 99 // 100], waits[-1], len(waits), rate, micros)


def report(latency: Latency) -> list[str]:
    """The figures for people, as lines."""
    parts = ", ".join(f"{name} {micros:.1f}" for name, micros in latency.cpu_micros.items())
    return [
        f"event to ClickHouse at {latency.rate:,.0f} events/s ({latency.events:,} events)",
        f"p50 {latency.p50:.2f} s, p99 {latency.p99:.2f} s, worst {latency.worst:.2f} s",
        f"µs CPU an event there: {parts}",
    ]

"""How many events a second become rows that SQL sees, with worker, loader, embedded ClickHouse and broker at work.

Events are made and encoded before the first is sent, and sent by the clock, each once. Where more is sent than they
manage, the figure is what they manage, and the lag grows; at a rate that they keep up with, the lag stays flat.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple, Self

from confluent_kafka import Producer

from bench.backlog import Wire
from bench.contest import Place
from bench.ends import Ends
from bench.events import BATCH, PARTITIONS, batches
from bench.loaded_pipeline import LoadedPipeline
from schemas.codec import Codec
from streams.log.output_log import ordered_config

PREFIX = "bench-end-to-end"
WARM_SECONDS = 8.0
"""Between the first visible event and the first second that counts."""
FLAT = 0.01
"""The share of what is sent by which the lag may grow and still counts as flat."""
_LOOK_SECONDS = 0.5
_PATIENCE_SECONDS = 60.0
_SLACK_SECONDS = 15.0
"""How much longer events last: until the first is visible, and for looks that take their time."""
_POLL = 0.01
_COUNTED = """SELECT source_partition, countIf(line = 0) FROM billed_rows FINAL
WHERE source_offset <= {reached}[source_partition + 1] GROUP BY source_partition"""


class Look(NamedTuple):
    """At a time (`time.monotonic`): events sent, decided and visible so far."""

    at: float
    sent: int
    decided: int
    visible: int

    @property
    def lag(self) -> int:
        """Events that are sent and not visible."""
        return self.sent - self.visible


class EndToEnd(NamedTuple):
    """Events a second that were sent and became visible, over ``seconds``.

    ``lag_first`` and ``lag_last``: events on their way, as means of the first and the last third; ``parts``: CPU µs a
    visible event by process, the engine's with the loader's.
    """

    sent: float
    rate: float
    seconds: float
    lag_first: float
    lag_last: float
    parts: dict[str, float]

    @property
    def cpu_micros(self) -> float:
        """CPU µs a visible event, of all processes measured."""
        return sum(self.parts.values())

    @property
    def is_flat(self) -> bool:
        """Whether the lag grew by less than `FLAT` of what was sent between the two thirds."""
        return self.lag_last - self.lag_first <= FLAT * self.sent * self.seconds * 2 / 3


def measure(place: Place, codec: Codec, rate: float, seconds: float) -> EndToEnd:
    """Sends ``rate`` events a second; counts for so many seconds. Ends the run where a count of rows is wrong."""
    work = _Work.made(int(rate * (seconds + WARM_SECONDS + _SLACK_SECONDS)) // BATCH, codec)
    with LoadedPipeline(place, PREFIX, codec) as pipeline:
        ends = Ends(place.bootstrap, pipeline.names.billed)
        with _Sender(place.bootstrap, pipeline.names.requests, work.wires, rate) as sender:
            _wait_until_visible(pipeline)
            time.sleep(WARM_SECONDS)
            cpu = pipeline.cpu_seconds()
            looks = [_look(pipeline, sender, ends)]
            while looks[-1].at - looks[0].at < seconds:
                time.sleep(_LOOK_SECONDS)
                pipeline.check()
                looks.append(_look(pipeline, sender, ends))
            used = {name: after - cpu[name] for name, after in pipeline.cpu_seconds().items()}
        _check_rows(pipeline, work)
    return _figures(looks, used)


class _Work(NamedTuple):
    """The messages, in the order of sending, and how many fresh events the first n of each partition hold."""

    wires: list[Wire]
    fresh: list[list[int]]

    @classmethod
    def made(cls, count: int, codec: Codec) -> Self:
        wires: list[Wire] = []
        fresh: list[list[int]] = [[] for _ in range(PARTITIONS)]
        for batch in batches(count, seed=6):
            wires.append(Wire(batch.partition, codec.encode("RequestBatch", {"events": batch.events}), BATCH, 1))
            fresh[batch.partition].append(batch.fresh)
        return cls(wires, [list(accumulate(counts, initial=0)) for counts in fresh])


class _Sender:
    """A thread that sends by the clock, from the beginning of the block to its end."""

    def __init__(self, bootstrap: str, topic: str, wires: Sequence[Wire], rate: float) -> None:
        self._producer = Producer(ordered_config(bootstrap, None))
        self._topic = topic
        self._wires = wires
        self._rate = rate
        self._ending = threading.Event()
        self._failures: list[object] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.events = 0
        """Acknowledged so far."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()
        self._producer.flush(_PATIENCE_SECONDS)

    def check(self) -> None:
        """Raises RuntimeError where there is nothing more to send, or something was not delivered."""
        if self._failures:
            raise RuntimeError(f"{self._topic}: {self._failures[0]}")

    def _run(self) -> None:
        began = time.monotonic()
        for number, wire in enumerate(self._wires):
            due = began + number * BATCH / self._rate
            while (left := due - time.monotonic()) > 0 and not self._ending.is_set():
                self._producer.poll(min(left, _POLL))
            while not self._ending.is_set() and not self._put(wire):
                self._producer.poll(_POLL)
            if self._ending.is_set():
                return
        self._failures.append("all events were sent before the time was over")

    def _put(self, wire: Wire) -> bool:
        """Whether it went into the producer's queue."""
        try:
            self._producer.produce(self._topic, wire.value, partition=wire.partition, on_delivery=self._delivered)
        except BufferError:
            return False
        self._producer.poll(0)
        return True

    def _delivered(self, error: object, _message: object) -> None:
        if error is None:
            self.events += BATCH
        else:
            self._failures.append(error)


def _look(pipeline: LoadedPipeline, sender: _Sender, ends: Ends) -> Look:
    sender.check()
    visible = sum(pipeline.reached().values())  # the price book is at offset 0: the offset is a number of messages
    at = time.monotonic()
    return Look(at, sender.events, ends.total() * BATCH, visible * BATCH)


def _wait_until_visible(pipeline: LoadedPipeline) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not sum(pipeline.reached().values()):
        pipeline.check()
        if time.monotonic() > deadline:
            raise pipeline.failure("showed no event")
        time.sleep(_LOOK_SECONDS)


def _check_rows(pipeline: LoadedPipeline, work: _Work) -> None:
    """Ends the run unless every event up to the positions has its first line in the store, once."""
    reached = pipeline.reached()
    offsets = [reached.get(partition, 0) for partition in range(PARTITIONS)]
    rows = pipeline.rows(_COUNTED.format(reached=offsets))
    counted = {int(partition): int(count) for partition, count in rows}
    wanted = {partition: work.fresh[partition][offset] for partition, offset in enumerate(offsets) if offset}
    if counted != wanted:
        raise SystemExit(f"the store has {counted} events by partition, and {wanted} were sent: no figure counts")


def _figures(looks: Sequence[Look], used: dict[str, float]) -> EndToEnd:
    first, last = looks[0], looks[-1]
    seconds, events = last.at - first.at, last.visible - first.visible
    third = max(1, len(looks) // 3)
    lag_first, lag_last = (sum(look.lag for look in some) / third for some in (looks[:third], looks[-third:]))
    micros = {name: 1e6 * cpu / max(1, events) for name, cpu in used.items()}
    return EndToEnd((last.sent - first.sent) / seconds, events / seconds, seconds, lag_first, lag_last, micros)


def report(figures: EndToEnd) -> list[str]:
    """The figures for people, as lines."""
    parts = ", ".join(f"{name} {micros:.1f}" for name, micros in figures.parts.items())
    lag = "flat" if figures.is_flat else "it grows, for more is sent than becomes visible"
    return [
        f"end to end, {figures.seconds:.0f} s: {figures.sent:,.0f} events/s sent, {figures.rate:,.0f} visible",
        f"events on their way: {figures.lag_first:,.0f} at first, {figures.lag_last:,.0f} at last ({lag})",
        f"µs CPU an event there: {parts}",
    ]

"""Decides how far an audit reaches: ends fixed at its start, and a bounded wait until worker and loader passed them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from replay.audit.outputs import Stretch
from streams import clock
from streams.log.protocols import InputLog
from streams.log.source_position import NO_OUTPUT, source_position
from streams.log.topics import TopicNames

if TYPE_CHECKING:
    from collections.abc import Sequence

_PAUSE = 0.3
Places = Mapping[tuple[str, int], int]


class Positions(Protocol):
    """How far the consumer groups are."""

    def rated(self, topic: str, partitions: int) -> dict[int, int]:
        """By input partition, the next offset that the worker has not acknowledged; absent where it has none."""
        ...

    def loaded(self, topics: Sequence[str], partitions: int) -> dict[tuple[str, int], int]:
        """By output topic and partition, the next offset that the loader has not acknowledged."""
        ...


@dataclass(frozen=True, slots=True)
class Scope:
    """What is judged of one partition: input offsets from `first` (or the checkpoint) to before `stop`.

    `asked` is where the input ended when the audit began, `outputs` what is read of each output topic, `horizons` the
    source offset before which each topic's rows are loaded, `gaps` what cannot be judged, for people.
    """

    partition: int
    stop: int
    asked: int
    outputs: Mapping[str, Stretch]
    horizons: Mapping[str, int]
    gaps: tuple[str, ...] = ()


@dataclass
class Surveyor:
    """Fixes the scopes of all partitions. `wait` in seconds; `resumed`: where an earlier audit's reading ended."""

    names: TopicNames
    partitions: int
    input_log: InputLog
    output_logs: Mapping[str, InputLog]
    positions: Positions
    wait: float
    with_rows: bool
    remark: Callable[[str], None] = lambda _text: None
    resumed: Mapping[tuple[str, int], Stretch] = field(default_factory=dict)

    def scopes(self) -> list[Scope]:
        """Waits, then returns every partition's scope. Raises LogError."""
        deadline = clock.monotonic() + self.wait
        asked = {p: self.input_log.bounds(p) for p in range(self.partitions)}
        rated = self._until_rated({p: end for p, (_, end) in asked.items()}, deadline)
        bounds = {(t, p): self.output_logs[t].bounds(p) for t in self.names.outputs for p in range(self.partitions)}
        ends = {place: end for place, (_, end) in bounds.items() if place[0] in self.names.loaded}
        loaded = self._until_loaded(ends, deadline)
        return [self._scope(p, asked[p], rated[p], bounds, loaded) for p in range(self.partitions)]

    def _scope(
        self, partition: int, asked: tuple[int, int], stop: int, bounds: Mapping[tuple[str, int], tuple[int, int]],
        loaded: Places,
    ) -> Scope:  # fmt: skip
        gaps = []
        if stop < asked[1]:
            gaps.append(
                f"{self.names.requests}[{partition}] from {stop} to {asked[1] - 1}: the worker has not acknowledged it"
            )
        outputs, horizons = {}, {}
        for topic in self.names.outputs:
            first, end = bounds[topic, partition]
            before = self.resumed.get((topic, partition), Stretch(0, 0))
            outputs[topic] = Stretch(max(first, before.first), end, before.last, is_cut=first > before.first)
            if outputs[topic].is_cut:
                gaps.append(f"{topic}[{partition}] before {first}: deleted by retention")
            horizons[topic] = stop
            if self.with_rows and topic in self.names.loaded and loaded[topic, partition] < end:
                horizons[topic] = min(stop, self._source_at(topic, partition, loaded[topic, partition], end, stop))
                if horizons[topic] < stop:
                    gaps.append(f"rows of {topic}[{partition}] from input {horizons[topic]} on: not loaded yet")
        return Scope(partition, stop, asked[1], outputs, horizons, tuple(gaps))

    def _source_at(self, topic: str, partition: int, offset: int, end: int, stop: int) -> int:
        """The source offset of the first output that the loader has not seen the like of; `stop` where there is none.

        Records that no worker wrote, and doubles, have no rows that could be missing.
        """
        log = self.output_logs[topic]
        kept = log.bounds(partition)[0]
        seen = max(
            (source_position(record) for record in log.read(partition, max(offset - 1, kept), offset)),
            default=NO_OUTPUT,
        )
        for message in log.read(partition, max(offset, kept), end):
            position = source_position(message)
            if position > seen:
                return position[0]
        return stop

    def _until_rated(self, ends: Mapping[int, int], deadline: float) -> dict[int, int]:
        """How far the worker is, when it is at `ends` or time is over; offsets without a record count as passed."""
        while True:
            known = self.positions.rated(self.names.requests, self.partitions)
            rated = {p: min(end, known.get(p, self.input_log.bounds(p)[0])) for p, end in ends.items()}
            behind = {p: offset for p, offset in rated.items() if offset < ends[p]}
            over = clock.monotonic() >= deadline
            for partition, offset in behind.items():
                if not _holds_record(self.input_log, partition, offset, ends[partition]):
                    rated[partition] = ends[partition]
            left = sum(ends[p] - offset for p, offset in rated.items())
            if not left or over:
                return rated
            self.remark(f"waiting for the worker: {left:,} messages")
            clock.sleep(_PAUSE)

    def _until_loaded(self, ends: Places, deadline: float) -> dict[tuple[str, int], int]:
        if not self.with_rows:
            return dict(ends)
        while True:
            known = self.positions.loaded(self.names.loaded, self.partitions)
            loaded = {place: min(end, known.get(place, 0)) for place, end in ends.items()}
            left = sum(end - loaded[place] for place, end in ends.items())
            if not left or clock.monotonic() >= deadline:
                return loaded
            self.remark(f"waiting for the loader: {left:,} records")
            clock.sleep(_PAUSE)


def _holds_record(log: InputLog, partition: int, first: int, stop: int) -> bool:
    return next(iter(log.read(partition, first, stop)), None) is not None

"""The status of a pipeline: its log, how far worker and loader are, what answers, what is wrong.

Everything is asked from outside; nothing joins a group or holds a lock. What cannot be asked is a problem in words, and
the rest is shown all the same; without Kafka there is nothing to show.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from application.configuration.settings import Settings
from application.pipeline import Pipeline
from application.prices.publishing import BookLog
from application.status.endpoints import EndpointStatus, deliverer, processes, server, store
from application.status.positions import (
    group_problems,
    loaded_positions,
    seal_problems,
    state_problems,
    store_problems,
)
from application.wording import shown_time
from metering.compiled import MODE
from streams.checkpoints.sealed import CheckpointError
from streams.loading.positions import Loaded, TopicAndPartition
from streams.log.connections import lag_behind
from streams.log.protocols import InputLog


@dataclass(frozen=True)
class PartitionStatus:
    """One partition of the input: offsets, messages behind, and since when (ms) the first waiting one waits.

    `held_back`: offsets behind an open transaction, which are in the log and can't be read until it ends;
    `held_since`: when the first of them came (ms).
    """

    partition: int
    first: int
    end: int
    to_rate: int
    waiting_since: int | None
    to_load: int
    held_back: int = 0
    held_since: int | None = None


@dataclass(frozen=True)
class GroupStatus:
    """A consumer group. `began`: whether it has ever acknowledged anything."""

    group: str
    processes: int
    behind: int
    began: bool


@dataclass(frozen=True)
class BookStatus:
    """A price book in force, and in how many partitions."""

    book_id: str
    published_at: int
    versions: list[str]
    partitions: int


@dataclass(frozen=True)
class CheckpointStatus:
    """A partition's newest whole checkpoint; None where there is none."""

    partition: int
    applied: int | None
    made_at: int | None
    bytes: int | None


@dataclass(frozen=True)
class LoadedStatus:
    """The last record of an output partition whose rows are in ClickHouse."""

    topic: str
    partition: int
    offset: int


@dataclass(frozen=True)
class PipelineStatus:
    """Everything that `creditmeter status` shows.

    `code`: whether the hot modules are compiled here, else why not. `books` is None where they were not looked for,
    `loaded` where ClickHouse did not answer.
    """

    code: str
    bootstrap: str
    topic_prefix: str
    topics: dict[str, int]
    input: list[PartitionStatus]
    rating: GroupStatus
    loading: GroupStatus
    delivering: GroupStatus
    books: list[BookStatus] | None
    endpoints: list[EndpointStatus]
    checkpoints: list[CheckpointStatus]
    loaded: list[LoadedStatus] | None
    problems: list[str]

    def as_json(self) -> dict[str, Any]:
        """Plain data; times in ms."""
        return asdict(self)


def pipeline_status(settings: Settings, pipeline: Pipeline, *, with_books: bool) -> PipelineStatus:
    """Raises LogError where Kafka does not answer, or topics are missing or wrong."""
    names = pipeline.names
    _ = pipeline.log_id  # all topics are checked
    partitions = range(pipeline.partitions)
    requests = pipeline.input_log
    bounds = {partition: requests.bounds(partition) for partition in partitions}
    rating = _group(pipeline, names.rating_group, [names.requests])
    positions = loaded_positions(settings, pipeline)
    reached = None if positions is None else {place: loaded.offset + 1 for place, loaded in positions.items()}
    loading = _group(pipeline, names.loading_group, names.loaded, reached)
    followed = [names.alerts, names.grants, names.refunds, names.holds, names.dead_letters]
    delivering = _group(pipeline, names.delivering_group, followed).status  # its processes have another topic's places
    inputs = [
        PartitionStatus(
            partition, *bounds[partition], behind, _recorded_at(requests, partition, bounds[partition], behind),
            sum(loading.behind[topic, partition] for topic in names.loaded), *requests.held_back(partition),
        )
        for partition in partitions
        for behind in (rating.behind[names.requests, partition],)
    ]  # fmt: skip
    books = _books(pipeline) if with_books else None
    endpoints = [*processes(settings), *server(settings), *deliverer(settings), store(settings)]
    problems = list(
        _problems(inputs, rating.status, loading.status, delivering, books, endpoints, pipeline.partitions)
    )  # fmt: skip
    problems += [*rating.problems(), *loading.problems()]
    problems += _histories(pipeline, positions or {})
    checkpoints = _checkpoints(pipeline, problems)
    return PipelineStatus(
        str(MODE), pipeline.address, names.prefix, _records(pipeline), inputs, rating.status, loading.status,
        delivering, books, endpoints, checkpoints,
        None if positions is None else [LoadedStatus(*place, last.offset) for place, last in sorted(positions.items())],
        problems,
    )  # fmt: skip


def _records(pipeline: Pipeline) -> dict[str, int]:
    """By topic, how many offsets it keeps."""
    counts = {}
    for topic in pipeline.names.all:
        log = pipeline.log(topic)
        counts[topic] = sum(end - first for first, end in map(log.bounds, range(pipeline.partitions)))
    return counts


def _histories(pipeline: Pipeline, positions: Mapping[TopicAndPartition, Loaded]) -> Iterator[str]:
    """Problems of parts of the pipeline that were restored to different times. Raises LogError."""
    yield from group_problems(pipeline)
    yield from state_problems(pipeline)
    yield from store_problems(pipeline, positions)
    yield from seal_problems(pipeline)


class _Group(NamedTuple):
    """A group, the messages that each of its partitions has waiting, and those that its processes have, if known."""

    status: GroupStatus
    behind: dict[TopicAndPartition, int]
    places: frozenset[TopicAndPartition] | None

    def problems(self) -> Iterator[str]:
        """What waits in partitions that no process of the group has."""
        if not self.status.processes or self.places is None:
            return
        for (topic, partition), waiting in sorted(self.behind.items()):
            if waiting and (topic, partition) not in self.places:
                yield (
                    f"{topic}[{partition}]: {waiting:,} messages wait, and no process of the group {self.status.group} "
                    "has the partition: see its log, and restart it where that goes on"
                )


def _group(
    pipeline: Pipeline, group: str, topics: Sequence[str], reached: Mapping[TopicAndPartition, int] | None = None
) -> _Group:
    """A group; messages are behind what it has acknowledged, or behind `reached` where that is given."""
    progress = pipeline.connections.group(group)
    committed = progress.committed(topics, pipeline.partitions)
    behind = lag_behind(pipeline.connections, topics, pipeline.partitions, committed if reached is None else reached)
    processes, places = progress.members()
    return _Group(GroupStatus(group, processes, sum(behind.values()), bool(committed)), behind, places)


def _recorded_at(log: InputLog, partition: int, bounds: tuple[int, int], behind: int) -> int | None:
    """When the first message that waits came into the log (ms)."""
    for message in log.read(partition, bounds[1] - min(behind, bounds[1] - bounds[0]), bounds[1]) if behind else ():
        return message.timestamp
    return None


def _books(pipeline: Pipeline) -> list[BookStatus]:
    counts: dict[str, int] = {}
    books = {}
    for book in BookLog.of(pipeline).in_force():
        if book is not None:
            counts[book.book_id] = counts.get(book.book_id, 0) + 1
            books[book.book_id] = book
    return [
        BookStatus(
            publication.book_id,
            publication.published_at,
            [version.version for version in publication.book.versions],
            counts[name],
        )
        for name, publication in books.items()
    ]


def _checkpoints(pipeline: Pipeline, problems: list[str]) -> list[CheckpointStatus]:
    checkpoints: list[CheckpointStatus] = []
    try:
        kept = pipeline.checkpoints()
        if kept is None:
            return checkpoints
        for partition in range(pipeline.partitions):
            newest = kept.newest(partition)
            if newest is None:
                checkpoints.append(CheckpointStatus(partition, None, None, None))
            else:
                checkpoints.append(CheckpointStatus(partition, newest.applied, newest.made_at, newest.size))
    except CheckpointError as error:
        problems.append(f"checkpoints: {error}")
    return checkpoints


def _problems(
    inputs: Sequence[PartitionStatus], rating: GroupStatus, loading: GroupStatus, delivering: GroupStatus,
    books: list[BookStatus] | None, endpoints: Sequence[EndpointStatus], partitions: int,
) -> Iterator[str]:  # fmt: skip
    if not rating.processes:
        waiting = f"; {rating.behind:,} messages wait" if rating.behind else ""
        yield f"no worker runs (nobody is in the group {rating.group}){waiting}: start `creditmeter worker`"
    if loading.began and not loading.processes:
        waiting = f"; {loading.behind:,} records wait" if loading.behind else ""
        yield f"no loader runs (nobody is in the group {loading.group}){waiting}: start `creditmeter load`"
    if delivering.began and not delivering.processes:
        waiting = f"; {delivering.behind:,} records wait" if delivering.behind else ""
        yield f"no deliverer runs (nobody is in the group {delivering.group}){waiting}: start `creditmeter deliver`"
    if books is not None and not books:
        yield "no price book is in force: events are unpriced; `creditmeter prices publish BOOK.yaml`"
    if books and (len(books) > 1 or books[0].partitions < partitions):
        yield "partitions have different price books: publish again, which goes on where it was cut short"
    for status in inputs:
        if status.held_back:
            since = "" if status.held_since is None else f" since {shown_time(status.held_since)}"
            yield (
                f"partition {status.partition}: {status.held_back:,} messages held back by an open transaction{since}: "
                "they are decided when it is committed or aborted (kafka-transactions.sh find-hanging, abort)"
            )
        if status.first > 0 and status.to_rate and status.to_rate >= status.end - status.first:
            yield f"partition {status.partition}: the log begins at {status.first}, and nothing of it is rated yet"
    for endpoint in endpoints:
        # Without a loader in the group it is known already why the embedded store does not answer.
        if not endpoint.well and (endpoint.what != "ClickHouse" or loading.processes):
            yield f"{endpoint.what} at {endpoint.url}: {endpoint.detail}"

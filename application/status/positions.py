"""Compares log, states and store: whether they have one history, and how far the store is, which no group shows.

A consumer group's offsets live in Kafka and come back with a restored copy of it; states and ClickHouse do not. So a
pipeline whose parts were restored apart has no message behind by its groups, and is asked here what it really has.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from application.clickhouse.asking import ask_loader
from application.configuration.settings import Settings
from application.errors import Failed
from application.pipeline import Pipeline
from sinks.sink import SinkRejected, SinkUnavailable
from streams.loading.continuity import LogTopics, check_loaded
from streams.loading.positions import READ, Loaded, TopicAndPartition
from streams.log.protocols import LogChanged, LogError
from streams.state.read_only import StateView
from streams.state.rocks_folder import state_folder
from streams.state.same_log import check_same_log
from streams.state.store import Identity, StateError

_SECONDS = 5.0


def loaded_positions(settings: Settings, pipeline: Pipeline) -> dict[TopicAndPartition, Loaded] | None:
    """The last offset that ClickHouse has loaded of each output partition; None where it cannot be asked now.

    The embedded store is asked through its loader alone: one that starts must not find its folder taken.
    """
    try:
        if settings.store == "embedded":
            text = ask_loader(settings, READ, "JSONEachRow", _SECONDS)
        else:
            text = pipeline.sql.answer(READ, "JSONEachRow", _SECONDS)
    except (Failed, SinkUnavailable, SinkRejected):
        return None
    rows = map(json.loads, text.splitlines())
    return {(row["topic"], int(row["log_partition"])): Loaded(int(row["log_offset"]), row["digest"]) for row in rows}


def store_problems(pipeline: Pipeline, loaded: Mapping[TopicAndPartition, Loaded]) -> Iterator[str]:
    """Where a topic is not the one that ClickHouse has loaded. Raises LogUnavailable."""
    topics = LogTopics({topic: pipeline.log(topic) for topic in pipeline.names.loaded})
    for place, position in sorted(loaded.items()):
        if place[0] in pipeline.names.loaded and place[1] < pipeline.partitions:
            try:
                is_compacted = place[0] == pipeline.names.deliveries
                check_loaded(topics, place, position, patience=0, is_compacted=is_compacted)
            except LogChanged as error:
                yield str(error)


def state_problems(pipeline: Pipeline) -> Iterator[str]:
    """Where the input log is not the one that a state on this machine was made from. Raises LogUnavailable."""
    topic = pipeline.names.requests
    for partition in range(pipeline.partitions):
        path = state_folder(pipeline.places.states, Identity(topic, partition, pipeline.log_id))
        if not (path / "CURRENT").exists():
            continue
        try:
            view = StateView(path)
        except StateError:  # it changes too quickly, or is damaged: its worker says so
            continue
        applied, last = view.applied, view.last_message
        view.close()
        try:
            check_same_log(pipeline.input_log, f"{topic}[{partition}]", partition, applied, last, patience=0)
        except LogChanged as error:
            yield str(error)


def group_problems(pipeline: Pipeline) -> Iterator[str]:
    """Where the rating group has acknowledged what the log does not have. Raises LogError."""
    topic, group = pipeline.names.requests, pipeline.names.rating_group
    committed = pipeline.connections.group(group).committed([topic], pipeline.partitions)
    for (_, partition), offset in sorted(committed.items()):
        end = pipeline.input_log.bounds(partition)[1]
        if offset > end:
            yield (
                f"{topic}[{partition}]: {group} has acknowledged offsets before {offset}, but the log ends at {end}: "
                "the topic was restored to an earlier copy, or made again"
            )


def seal_problems(pipeline: Pipeline) -> Iterator[str]:
    """What is wrong with the ledger of seals."""
    try:
        _ = pipeline.seals
    except LogError as error:
        yield str(error)

"""Parts of a pipeline that were restored apart: what log, states, groups and store say of each other."""

from __future__ import annotations

from pathlib import Path

import pytest

from application.configuration.settings import Settings
from application.in_memory import in_memory_pipeline
from application.pipeline import Pipeline
from application.status.positions import (
    group_problems,
    loaded_positions,
    seal_problems,
    state_problems,
    store_problems,
)
from streams.loading.positions import Loaded, loaded_of
from streams.log.protocols import LogError
from streams.state.rocks_folder import RocksFolder
from streams.state.same_log import last_message_of
from streams.state.store import Identity, LastMessage
from tests.application.in_memory_world import ListedRows, event, memory_of, send

POSITION = {"topic": "memory.billed", "log_partition": 1, "log_offset": "41", "digest": "ab"}


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    """One partition with three decided events, each in a message of its own."""
    pipeline = in_memory_pipeline(tmp_path, partitions=1)
    for number in range(3):
        send(pipeline, event(f"e{number}"))
    return pipeline


def test_a_servers_positions_are_read_and_a_silent_loaders_are_unknown(tmp_path: Path) -> None:
    pipeline = in_memory_pipeline(tmp_path, sql=ListedRows(loaded_positions=[POSITION]))
    server = Settings(store="server")
    assert loaded_positions(server, pipeline) == {("memory.billed", 1): Loaded(41, "ab")}
    assert loaded_positions(server, in_memory_pipeline(tmp_path)) is None
    embedded = Settings(data_dir=tmp_path, query_url="http://127.0.0.1:1")
    assert loaded_positions(embedded, pipeline) is None, "the folder isn't opened: a loader that starts must have it"


def test_a_topic_that_is_not_the_one_that_was_loaded_is_named(pipeline: Pipeline) -> None:
    topic = pipeline.names.billed
    last = memory_of(pipeline).broker.records(topic, 0)[-1]
    loaded = loaded_of(last)
    assert list(store_problems(pipeline, {(topic, 0): loaded})) == []
    assert list(store_problems(pipeline, {("others.billed", 0): loaded, (topic, 7): loaded})) == []
    (another,) = store_problems(pipeline, {(topic, 0): Loaded(last.offset, "another digest")})
    assert f"{topic}[0]@{last.offset}: the topic has another record there" in another
    (shorter,) = store_problems(pipeline, {(topic, 0): Loaded(99, loaded.digest)})
    assert "ClickHouse has loaded offsets up to 99, but the topic ends at 3" in shorter


def keep_state(pipeline: Pipeline, applied: int, last: LastMessage | None) -> Path:
    """A state of partition 0 on this machine, as a worker leaves it."""
    identity = Identity(pipeline.names.requests, 0, pipeline.log_id)
    folder = RocksFolder(pipeline.places.states)
    state = folder.open(identity)
    state.commit({}, applied, last)
    state.flush()
    state.close()
    return folder.path(identity)


def test_a_state_of_another_history_is_named_and_no_state_is_no_problem(pipeline: Pipeline) -> None:
    assert list(state_problems(pipeline)) == []
    first, _, last = memory_of(pipeline).broker.records(pipeline.names.requests, 0)
    keep_state(pipeline, 2, last_message_of(last))
    assert list(state_problems(pipeline)) == []
    keep_state(pipeline, 2, LastMessage(2, last_message_of(first).digest))
    (other,) = state_problems(pipeline)
    assert "memory.requests[0]@2: the log has another record there" in other
    keep_state(pipeline, 9, None)
    (ahead,) = state_problems(pipeline)
    assert "the state has applied offsets up to 9, but the log ends at 3" in ahead


def test_a_state_that_cannot_be_read_is_left_to_its_worker(pipeline: Pipeline) -> None:
    path = keep_state(pipeline, 9, None)
    for manifest in path.glob("MANIFEST*"):
        manifest.write_bytes(b"damaged")
    assert list(state_problems(pipeline)) == []


def test_a_group_that_is_ahead_of_the_log_is_named(pipeline: Pipeline) -> None:
    assert list(group_problems(pipeline)) == []
    offsets = memory_of(pipeline).offsets[pipeline.names.rating_group]
    offsets[pipeline.names.requests, 0] = 9
    (ahead,) = group_problems(pipeline)
    assert "memory.rating has acknowledged offsets before 9, but the log ends at 3" in ahead


def test_a_ledger_of_seals_that_is_wrong_is_a_problem_in_words(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert list(seal_problems(pipeline)) == []

    def failing() -> None:
        raise LogError("the ledger of seals is empty")

    other = in_memory_pipeline(pipeline.places.data)
    monkeypatch.setattr(memory_of(other), "seals", failing)
    assert list(seal_problems(other)) == ["the ledger of seals is empty"]

"""What is said of a pipeline as a whole: positions, prices, and every problem in words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from application.configuration.settings import Settings
from application.in_memory import in_memory_pipeline
from application.pipeline import LocalPlaces, Pipeline
from application.status import pipeline as status_pipeline
from application.status.endpoints import EndpointStatus
from application.status.pipeline import (
    BookStatus,
    CheckpointStatus,
    GroupStatus,
    PartitionStatus,
    PipelineStatus,
    pipeline_status,
)
from streams.log.memory import MemoryInputLog
from streams.log.protocols import HeldBack
from streams.state.rocks_folder import RocksFolder
from streams.state.store import Identity
from tests.application.in_memory_world import event, memory_of, priced_pipeline, send

WELL = EndpointStatus("ClickHouse", "http://127.0.0.1:8127", well=True, detail="embedded")
AT = 1_767_225_600_000


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Of a machine on which nothing answers, and nothing is asked over HTTP."""
    monkeypatch.setattr(status_pipeline, "store", lambda _settings: WELL)
    monkeypatch.setattr(status_pipeline, "loaded_positions", lambda _settings, _pipeline: None)
    return Settings(data_dir=tmp_path)


def status(settings: Settings, pipeline: Pipeline, *, with_books: bool = False) -> PipelineStatus:
    return pipeline_status(settings, pipeline, with_books=with_books)


def test_a_pipeline_at_rest_has_nothing_behind_and_no_problem(settings: Settings, tmp_path: Path) -> None:
    pipeline = priced_pipeline(tmp_path, partitions=2)
    send(pipeline, event("e1"), event("e2", "other"))
    result = status(settings, pipeline, with_books=True)
    assert result.problems == []
    assert [(own.to_rate, own.to_load, own.waiting_since) for own in result.input] == [(0, 0, None)] * 2
    (book,) = result.books or []
    assert (book.versions, book.partitions) == (["2026-01"], 2)
    assert result.topics[pipeline.names.requests] == sum(own.end for own in result.input)
    assert json.loads(json.dumps(result.as_json()))["topic_prefix"] == "memory"


def test_messages_that_wait_are_counted_with_the_time_of_the_first(settings: Settings, tmp_path: Path) -> None:
    pipeline = in_memory_pipeline(tmp_path, partitions=1)
    send(pipeline, event("decided"))
    memory_of(pipeline).after_sending = lambda: None
    send(pipeline, event("waits"))
    send(pipeline, event("waits, too"))
    waiting = memory_of(pipeline).broker.records(pipeline.names.requests, 0)[1]
    (own,) = status(settings, pipeline).input
    assert (own.to_rate, own.waiting_since) == (2, waiting.timestamp)


def test_without_a_price_book_events_are_unpriced_and_it_is_said(settings: Settings, tmp_path: Path) -> None:
    pipeline = in_memory_pipeline(tmp_path, partitions=1)
    assert status(settings, pipeline).books is None
    result = status(settings, pipeline, with_books=True)
    assert result.books == []
    assert result.problems == ["no price book is in force: events are unpriced; `creditmeter prices publish BOOK.yaml`"]


def test_the_newest_checkpoint_of_each_partition(settings: Settings, tmp_path: Path) -> None:
    pipeline = in_memory_pipeline(tmp_path / "data", partitions=2)
    send(pipeline, *(event(f"e{number}", f"account-{number}") for number in range(9)))
    assert status(settings, pipeline).checkpoints == []
    pipeline.places = LocalPlaces(tmp_path / "data", tmp_path / "states", str(tmp_path / "kept"))
    state = RocksFolder(pipeline.places.states).open(Identity(pipeline.names.requests, 1, pipeline.log_id))
    state.commit({b"key": [1]}, 0)
    state.flush()
    kept = pipeline.checkpoints()
    assert kept is not None
    state.checkpoint(tmp_path / "copy")
    made = kept.save(1, 0, AT, tmp_path / "copy")
    state.close()
    first, second = status(settings, pipeline).checkpoints
    assert first == CheckpointStatus(0, None, None, None)
    assert second == CheckpointStatus(1, 0, made.made_at, made.size)
    pipeline.places = LocalPlaces(tmp_path / "data", tmp_path / "states", "memory://bucket")
    assert [own.applied for own in status(settings, pipeline).checkpoints] == [None, None]


def test_messages_that_a_transaction_holds_back_are_a_problem(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = in_memory_pipeline(tmp_path, partitions=1)
    send(pipeline, event("e"))
    monkeypatch.setattr(MemoryInputLog, "held_back", lambda _log, _partition: HeldBack(7, AT))
    result = status(settings, pipeline)
    assert (result.input[0].held_back, result.input[0].held_since) == (7, AT)
    (problem,) = result.problems
    assert problem.startswith("partition 0: 7 messages held back by an open transaction since 2026-01-01T00:00:00Z")


def group(processes: int = 1, behind: int = 0, *, began: bool = True) -> GroupStatus:
    return GroupStatus("g", processes, behind, began)


def book(book_id: str, partitions: int) -> BookStatus:
    return BookStatus(book_id, AT, ["v"], partitions)


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"rating": group(0, 1_234)}, "no worker runs (nobody is in the group g); 1,234 messages wait"),
        ({"rating": group(0)}, "no worker runs (nobody is in the group g): start"),
        ({"loading": group(0, 5)}, "no loader runs (nobody is in the group g); 5 records wait"),
        ({"loading": group(0, began=False)}, None),
        ({"delivering": group(0, 5)}, "no deliverer runs (nobody is in the group g); 5 records wait"),
        ({"delivering": group(0, began=False)}, None),
        ({"books": [book("a", 1)]}, "partitions have different price books"),
        ({"books": [book("a", 1), book("b", 1)]}, "partitions have different price books"),
        ({"books": [book("a", 2)]}, None),
        ({"inputs": [PartitionStatus(1, 5, 9, 4, None, 0)]}, "partition 1: the log begins at 5, and nothing of it"),
        ({"inputs": [PartitionStatus(1, 5, 9, 3, None, 0)]}, None),
        ({"inputs": [PartitionStatus(1, 0, 4, 4, None, 0)]}, None),
        ({"endpoints": [EndpointStatus("worker 1", "u", well=False, detail="no answer")]}, "worker 1 at u: no answer"),
        ({"endpoints": [WELL]}, None),
    ],
)
def test_each_problem_has_its_sentence(changed: dict[str, Any], problem: str | None) -> None:
    groups = dict.fromkeys(("rating", "loading", "delivering"), group())
    arguments = {"inputs": [], **groups, "books": None, "endpoints": []} | changed
    problems = list(status_pipeline._problems(**arguments, partitions=2))
    assert len(problems) == (problem is not None)
    assert problems == [] or problems[0].startswith(problem or "")


@pytest.mark.parametrize(
    ("processes", "places", "problem"),
    [
        (1, frozenset(), "in[0]: 3 messages wait, and no process of the group g has the partition"),
        (1, frozenset({("in", 0)}), None),
        (1, frozenset({("in", 1)}), "in[0]: 3 messages wait"),
        (1, None, None),
        (0, frozenset(), None),
    ],
    ids=["nobody has anything", "somebody has it", "somebody has another", "not known", "no process"],
)
def test_what_waits_in_a_partition_that_no_process_has_is_a_problem(
    processes: int, places: frozenset[tuple[str, int]] | None, problem: str | None
) -> None:
    status = status_pipeline._Group(group(processes, 3), {("in", 0): 3, ("in", 1): 0}, places)
    problems = list(status.problems())
    assert len(problems) == (problem is not None)
    assert problems == [] or problems[0].startswith(problem or "")


def test_a_store_that_does_not_answer_is_said_once_where_no_loader_runs() -> None:
    silent = EndpointStatus("ClickHouse", "u", well=False, detail="no answer")
    for processes, said in ((0, False), (1, True)):
        loading = group(processes, began=False)
        problems = list(status_pipeline._problems([], group(), loading, group(), None, [silent], 2))
        assert ("ClickHouse at u: no answer" in problems) is said

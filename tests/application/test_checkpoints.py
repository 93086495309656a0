"""Checkpoints as a use case: which partitions, what is wrong with them, and what of the log they need."""

from __future__ import annotations

from pathlib import Path

import pytest

from application.checkpoints import CheckpointPlace, LogEnds, needed_from, opened_checkpoints
from application.errors import ErrorCode, Failed, Misconfigured
from application.in_memory import in_memory_pipeline
from application.pipeline import Pipeline
from streams.checkpoints.manifest import Condition, ListedCheckpoint
from streams.state.rocks_folder import RocksFolder
from streams.state.store import Identity, StateError
from tests.application.in_memory_world import event, memory_of, send

PARTITIONS = 2


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    """A log with messages in both partitions, and on this machine the state of partition 1, up to its offset 0."""
    pipeline = in_memory_pipeline(tmp_path / "data", partitions=PARTITIONS)
    send(pipeline, *(event(f"e{number}", f"account-{number}") for number in range(9)))
    identity = Identity(pipeline.names.requests, 1, pipeline.log_id)
    state = RocksFolder(pipeline.places.states).open(identity)
    state.commit({b"key": [1]}, 0)
    state.flush()
    state.close()
    return pipeline


def opened(pipeline: Pipeline, place: Path) -> CheckpointPlace:
    with opened_checkpoints(pipeline, str(place)) as checkpoints:
        return checkpoints


def test_only_partitions_that_are_here_are_kept_unless_one_is_named(pipeline: Pipeline, tmp_path: Path) -> None:
    place = opened(pipeline, tmp_path / "kept")
    (made,) = place.make()
    assert (made.partition, made.applied) == (1, 0)
    assert {partition: len(own) for partition, own in place.listed().items()} == {0: 0, 1: 1}
    assert list(place.listed([1])) == [1]
    with pytest.raises(StateError, match=r"\[0\]: its state is not on this machine"):
        place.make([0, 1])


def test_a_partition_that_there_is_not_is_named_with_those_there_are(pipeline: Pipeline, tmp_path: Path) -> None:
    place = opened(pipeline, tmp_path / "kept")
    for ask in (place.listed, place.verified, place.make):
        with pytest.raises(Misconfigured, match=r"--partition 2: memory\.requests has partitions 0 to 1"):
            ask([5, 0, 2])


def test_a_machine_without_any_state_says_where_it_looked(tmp_path: Path) -> None:
    pipeline = in_memory_pipeline(tmp_path)
    with pytest.raises(Failed, match="run this where a worker runs") as raised:
        opened(pipeline, tmp_path / "kept").make()
    assert raised.value.code is ErrorCode.NOT_FOUND
    assert str(pipeline.places.states) in raised.value.message


def test_verifying_finds_what_a_listing_does_not(pipeline: Pipeline, tmp_path: Path) -> None:
    place = opened(pipeline, tmp_path / "kept")
    (made,) = place.make()
    name = max(made.files, key=lambda file: made.files[file].size)
    file = next((tmp_path / "kept").rglob(f"{made.applied}*/{name}"))
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert [own.condition for own in place.listed([1])[1]] == [Condition.WHOLE]
    (damaged,) = place.verified([1])[1]
    assert damaged.condition is Condition.DAMAGED
    assert name in damaged.detail
    file.write_bytes(content)
    assert [own.condition for own in place.verified([1])[1]] == [Condition.WHOLE]


def test_as_many_are_kept_as_asked(pipeline: Pipeline, tmp_path: Path) -> None:
    place = opened(pipeline, tmp_path / "kept")
    memory_of(pipeline).broker.skip(pipeline.names.requests, 1, 9)
    for applied in (1, 2):
        place.make()
        state = RocksFolder(pipeline.places.states).open(Identity(pipeline.names.requests, 1, pipeline.log_id))
        state.commit({}, applied)
        state.flush()
        state.close()
    assert len(place.listed([1])[1]) == 2
    place.make(kept=2)
    assert [own.applied for own in place.listed([1])[1]] == [2, 1]


def test_the_ends_of_the_log_and_its_last_time(pipeline: Pipeline, tmp_path: Path) -> None:
    place, broker = opened(pipeline, tmp_path / "kept"), memory_of(pipeline).broker
    first, end = pipeline.input_log.bounds(0)
    at = broker.records(pipeline.names.requests, 0)[-1].timestamp
    assert place.log_ends([0]) == {0: LogEnds(first, end, at)}
    broker.skip(pipeline.names.requests, 0, 3)  # as markers of transactions do
    assert place.log_ends([0]) == {0: LogEnds(first, end + 3, at)}
    broker.expire(pipeline.names.requests, 0, end + 3)
    assert place.log_ends([0]) == {0: LogEnds(end + 3, end + 3, None)}


def test_a_place_has_to_be_known_and_usable(pipeline: Pipeline) -> None:
    with pytest.raises(Misconfigured, match="set checkpoint_url"), opened_checkpoints(pipeline):
        pass
    with pytest.raises(Misconfigured, match="no store that fsspec knows"), opened_checkpoints(pipeline, "s4://bucket"):
        pass
    with pytest.raises(Misconfigured) as raised, opened_checkpoints(pipeline, "sftp://me:secret@host/path"):
        pass
    assert "secret" not in raised.value.message


def test_the_log_is_needed_from_the_oldest_whole_checkpoint_on() -> None:
    def kept(applied: int, condition: Condition) -> ListedCheckpoint:
        return ListedCheckpoint("place", "name", applied, condition, "", None)

    assert needed_from([]) is None
    assert needed_from([kept(3, Condition.DAMAGED)]) is None
    assert needed_from([kept(9, Condition.WHOLE), kept(5, Condition.WHOLE), kept(3, Condition.DAMAGED)]) == 6

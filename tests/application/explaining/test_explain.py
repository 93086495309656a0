"""What became of an event that is asked for, and how much of the log is read for it.

Events are found by the places that states keep, not by a search.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from application.commands.bulk_sending import BulkSender
from application.errors import ErrorCode, Failed
from application.explaining.explain import BillMismatch, SetAside, explain, raise_on_mismatch
from application.explaining.explained import Agreement, Explained
from application.in_memory import in_memory_pipeline
from application.input.ndjson import InputCommand
from application.pipeline import Pipeline
from application.prices.publishing import publish_book
from metering.records import Command, Decision
from replay.event_story import ArrivalOutcome
from streams import clock
from streams.checkpoints.by_hand import make_checkpoint
from streams.checkpoints.checkpoints import Checkpoints
from streams.log.memory import MemoryInputLog
from streams.log.memory_connections import LOG_ID
from streams.log.protocols import Message
from streams.log.topics import TopicNames
from streams.state.rocks import RocksState
from streams.state.rocks_folder import RocksFolder
from streams.state.store import Identity
from tests.application.contract import BOOK
from tests.application.in_memory_world import ListedRows, event, priced_pipeline, send

MESSAGES = 200
FEW = 12
AT = clock.now_ms() - 60_000
IDENTITY = Identity("memory.requests", 0, LOG_ID)


class CountingLog(MemoryInputLog):
    """The input log, which counts the records that are read from it."""

    count = 0

    def read(self, partition: int, first: int, stop: int) -> Iterator[Message]:
        for message in super().read(partition, first, stop):
            self.count += 1
            yield message


class World:
    """A pipeline of one partition whose worker's state is on the disk, and no ClickHouse."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state: RocksState | None = None
        self.pipeline = in_memory_pipeline(folder, partitions=1, names=TopicNames("memory"), open_state=self._open)
        publish_book(self.pipeline, BOOK, AT)

    def _open(self, _partition: int) -> RocksState:
        self.state = RocksFolder(self.folder / "state").open(IDENTITY)
        return self.state

    def send(self, *events: dict[str, Any]) -> None:
        """A message for each event."""
        for fields in events:
            record = {
                "account_id": "acme", "occurred_at": AT, "endpoint": "/v1/ip-lookup", "channel": "api",
                "outcome": "processed", "ip": "203.0.113.7",
            } | fields  # fmt: skip
            with BulkSender.opened(self.pipeline) as sender:
                sender.send(InputCommand(1, Command.REQUEST, record, 0))

    def send_others(self, name: str, count: int) -> None:
        self.send(*({"event_id": f"{name}{n}", "account_id": f"other-{n % 9}"} for n in range(count)))

    def checkpoint(self) -> None:
        """Keeps the worker's state as it is now, where `explain` looks for checkpoints."""
        url = str(self.folder / "kept")
        make_checkpoint(
            self.folder / "state", IDENTITY, self.pipeline.input_log, Checkpoints(url, IDENTITY.topic, LOG_ID),
            self.folder / "scratch-of-the-checkpoint",
        )  # fmt: skip
        self.pipeline.places = replace(self.pipeline.places, checkpoint_url=url)

    def explained(self, event_id: str) -> tuple[Explained, int]:
        """The explanation, and how many records of the log it read."""
        log = CountingLog(self.pipeline.connections.broker, self.pipeline.names.requests)  # type: ignore[attr-defined]
        pipeline = Pipeline(
            self.pipeline.names, self.pipeline.codec, self.pipeline.connections, self.pipeline.sql, self.pipeline.places
        )
        vars(pipeline)["input_log"] = log
        story = explain(pipeline, event_id, "acme")
        assert isinstance(story, Explained)
        return story, log.count


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    if made.state is not None:
        made.state.close()


def test_the_event_that_had_paid_is_one_record(world: World) -> None:
    world.send_others("before", MESSAGES)
    world.send({"event_id": "paid"})
    world.send_others("between", MESSAGES)
    world.send({"event_id": "free"})
    story, count = world.explained("free")
    assert story.comparison.billed is Agreement.AGREES
    assert (story.owners["paid"].offset, story.subject.place.offset) == (MESSAGES + 1, 2 * MESSAGES + 2)
    everything = 2 * MESSAGES + 3
    assert everything <= count <= everything + FEW, "the replay alone reads every record, and once"


def test_an_event_behind_a_checkpoint_is_replayed_from_there(world: World) -> None:
    world.send_others("before", MESSAGES)
    world.send({"event_id": "paid"})
    world.checkpoint()
    world.send({"event_id": "free"}, {"event_id": "free"})
    story, count = world.explained("free")
    assert story.story.base.startswith("the checkpoint ")
    assert story.owners["paid"].offset == MESSAGES + 1
    assert [arrival.outcome for arrival in story.story.others] == [ArrivalOutcome.REPEATED]
    assert count <= FEW, "of the log before the checkpoint only the event that paid"


def test_an_event_that_no_state_remembers_is_searched_for(world: World) -> None:
    world.send({"event_id": "wrong", "ip": "nowhere"})
    world.checkpoint()
    world.send_others("after", 3)
    story, _ = world.explained("wrong")
    assert story.subject.outcome is ArrivalOutcome.DEAD_LETTER


def test_without_clickhouse_and_without_an_account_the_account_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(Failed, match="say whose event it is: --account") as raised:
        explain(priced_pipeline(tmp_path), "e-1", None)
    assert raised.value.code is ErrorCode.UNAVAILABLE


def test_an_event_that_is_only_a_dead_letter_comes_with_its_letters_in_order_of_time(tmp_path: Path) -> None:
    pipeline = priced_pipeline(tmp_path, ListedRows(), partitions=2)
    send(pipeline, event("e-1", "other", ip="nowhere"))
    send(pipeline, event("e-1", ip="nowhere"), event("e-2", ip="nowhere"), event("e-1", ip="elsewhere"))
    set_aside = explain(pipeline, "e-1", None)
    assert isinstance(set_aside, SetAside)
    assert [letter.record["account_id"] for letter in set_aside.letters] == ["other", "acme", "acme"]
    assert set_aside.partitions == 2
    (own,) = [explain(pipeline, "e-2", "acme")]
    assert isinstance(own, Explained), "with its account the log itself is read, and says what was wrong"


def test_an_event_of_another_account_is_not_found_under_this_one(tmp_path: Path) -> None:
    pipeline = priced_pipeline(tmp_path)
    send(pipeline, event("e-1", "other"))
    with pytest.raises(Failed, match="There is no event e-1 of account acme") as raised:
        explain(pipeline, "e-1", "acme")
    assert raised.value.code is ErrorCode.NOT_FOUND
    assert isinstance(explain(pipeline, "e-1", "other"), Explained)


def test_the_event_that_paid_is_found_without_clickhouse(tmp_path: Path) -> None:
    pipeline = priced_pipeline(tmp_path)
    send(pipeline, event("paid"), event("free"))
    explained = explain(pipeline, "free", "acme")
    assert isinstance(explained, Explained)
    (line,) = explained.subject.explanation.lines
    assert line.line["decision"] == Decision.DUPLICATE
    assert str(explained.owners["paid"]) == "0@1/0"


def test_rows_of_an_event_that_the_log_does_not_have_are_a_mismatch(tmp_path: Path) -> None:
    row = {"account_id": "acme", "source_partition": 0, "source_offset": 0, "line": 0}
    pipeline = priced_pipeline(tmp_path, ListedRows(billed_events=[row]))
    send(pipeline, event("another"))
    with pytest.raises(BillMismatch, match="it has lines of input offset 0, where the log has no such event") as raised:
        explain(pipeline, "e-1", None)
    assert raised.value.code is ErrorCode.MISMATCH
    assert len(raised.value.differences) == 1


def test_only_differences_are_raised() -> None:
    raise_on_mismatch(())
    with pytest.raises(BillMismatch, match="creditmeter audit") as raised:
        raise_on_mismatch(("one", "two"))
    assert raised.value.message.splitlines()[1:3] == ["  one", "  two"]

"""The topic of access in memory."""

from collections.abc import Sequence

import pytest

from streams.access.changes import AccessChanges
from streams.access.view import AccessReader, AccessView
from streams.log.access_writer import KeyedRecord, WriteInterrupted
from streams.log.memory import MemoryBroker
from streams.log.memory_access_writer import MemoryAccessWriter
from streams.log.memory_connections import MemoryConnections
from streams.log.protocols import LogChanged, LogUnavailable
from streams.log.topics import TopicNames
from tests.streams.access.contract import CODEC, AccessContract, Side
from tests.streams.access.records import a_change, a_key


class TestInMemory(AccessContract):
    @pytest.fixture
    def side(self) -> Side:
        names, broker = TopicNames("memory"), MemoryBroker()

        def put_stray(key: bytes, value: bytes) -> None:
            broker.append(names.access, 0, value, key=key)

        return Side(names, lambda: MemoryConnections(names, CODEC, 1, broker), put_stray)


class LosesAnswers(MemoryAccessWriter):
    """Commits, and says that nobody knows, as when the broker's answer is lost."""

    lost = 0

    def commit(self, records: Sequence[KeyedRecord]) -> int:
        offset = super().commit(records)
        if self.lost < 2:
            self.lost += 1
            self.release()
            raise WriteInterrupted("the answer was lost")
        return offset


def view_over(connections: MemoryConnections) -> AccessView:
    return AccessView(
        AccessReader(connections.access_log(), connections.names.access, connections.sealer, connections.codec)
    )


def test_a_commit_whose_answer_is_lost_is_made_once() -> None:
    connections = MemoryConnections(TopicNames("memory"), CODEC, 1, MemoryBroker())
    view = view_over(connections)
    writer = LosesAnswers(connections.broker, connections.names.access, connections.sealer)
    changes = AccessChanges(view, writer, CODEC)
    changes.change(a_change("chg_1"), lambda _state: [a_key()])
    assert (writer.lost, view.state.all_keys()) == (1, [a_key()])
    assert len(connections.broker.records(connections.names.access, 0)) == 2


def test_a_change_that_nobody_answers_ends_in_time_and_says_what_is_unknown() -> None:
    class Away(MemoryAccessWriter):
        def begin(self) -> None:
            raise LogUnavailable("no broker")

    connections = MemoryConnections(TopicNames("memory"), CODEC, 1, MemoryBroker())
    changes = AccessChanges(
        view_over(connections), Away(connections.broker, connections.names.access, connections.sealer), CODEC
    )
    with pytest.raises(LogUnavailable, match=r"chg_1 \(key.created\) may or may not be made: no broker"):
        changes.change(a_change("chg_1"), lambda _state: [a_key()], patience=0.1)


def test_a_topic_that_was_made_again_is_an_error_and_not_an_empty_list_of_keys() -> None:
    connections = MemoryConnections(TopicNames("memory"), CODEC, 1, MemoryBroker())
    view = view_over(connections)
    changes = AccessChanges(view, connections.access_writer(), CODEC)
    changes.change(a_change("chg_1"), lambda _state: [a_key()])
    connections.broker._next.clear()
    with pytest.raises(LogChanged, match="made again"):
        view.read_to_end()
    assert view.state.all_keys() == [a_key()]

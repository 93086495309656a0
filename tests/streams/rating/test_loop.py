"""The order of effects in turns: outputs before state, groups that end, and who waits for whom."""

from __future__ import annotations

from typing import Any

from streams.checkpoints.automatic import Turns
from streams.log.partitioner import partition_of
from streams.metrics import Metrics
from streams.rating.partition import MOST_LARGE_BYTES
from streams.rating.slices import Slicing
from streams.rating.worker import RatingHandler
from tests.streams.rating.rated import CODEC, NAMES, STEP, Rated
from tests.streams.rating.test_slices import batch
from tests.streams.traffic import event


def large_batch(partition: int, count: int, partitions: int = 2, size: int = 1_000) -> bytes:
    """Events of so many bytes, of an account of the partition."""
    account = next(name for n in range(99) if partition_of(name := f"a-{n}", partitions) == partition)
    events = [event(f"large-{number}", account, attributes={"a": "x" * size}) for number in range(count)]
    return CODEC.encode("RequestBatch", {"events": events})


def test_the_next_group_is_worked_on_while_outputs_wait_and_nothing_is_written_before() -> None:
    acknowledged = [True]
    rated = Rated(pace=lambda waiting: waiting if acknowledged[0] else 0)
    rated.publish()
    acknowledged[0] = False
    rated.loop.take([rated.append(0, batch(0, 1, "first"))])
    rated.loop.advance()
    rated.loop.take([rated.append(1, batch(1, 1, "second"))])
    rated.loop.advance()
    assert rated.output.unacknowledged(0) == rated.output.unacknowledged(1) == 1, "both are decided and sent"
    for _ in range(20):
        rated.loop.advance()
    assert rated.loop.written() == {0: 1, 1: 1}
    assert rated.loop.is_busy
    rated.output.push(1)  # the first partition's
    rated.loop.advance()
    assert rated.loop.written() == {0: 2, 1: 1}
    acknowledged[0] = True
    rated.loop.advance()
    assert rated.loop.written() == {0: 2, 1: 2}
    assert not rated.loop.is_busy


def test_a_group_ends_after_a_turn_where_others_wait() -> None:
    rated = Rated()
    rated.publish()
    rated.loop.take_counts()
    rated.loop.take([rated.append(partition, batch(partition, 1, f"e{n}")) for n in range(6) for partition in (0, 1)])
    while rated.loop.is_busy:
        rated.loop.advance()
    groups = rated.loop.take_counts().groups
    assert [group.messages for group in groups] == [2] * 6
    assert all(group.seconds == 2 * STEP for group in groups)


def test_a_group_grows_while_it_has_nothing_else_to_wait_for_but_not_for_ever() -> None:
    acknowledged = [True]
    rated = Rated(pace=lambda waiting: waiting if acknowledged[0] else 0)
    rated.publish()
    acknowledged[0] = False
    rated.loop.take([rated.append(0, batch(0, 1, f"e{n}")) for n in range(200)])
    for _ in range(200):
        rated.loop.advance()
    decided = rated.output.unacknowledged(0)
    assert 0.250 / STEP <= decided <= 0.250 / STEP + 2, "the bound of a group"
    assert rated.loop.waiting()[0] == 200 - decided
    acknowledged[0] = True
    rated.loop.process([])
    assert rated.loop.written()[0] == 201


def test_very_large_messages_are_in_memory_one_at_a_time() -> None:
    acknowledged = [True]
    rated = Rated(slicing=Slicing(events=100), pace=lambda waiting: waiting if acknowledged[0] else 0)
    rated.publish()
    acknowledged[0] = False
    large = [rated.append(partition, large_batch(partition, 1_200)) for partition in (0, 1)]
    small = rated.append(1, batch(1, 1, "small"))
    assert len(large[0].value) > 1024 * 1024
    rated.loop.take([*large, small])
    for _ in range(50):
        rated.loop.advance()
    assert rated.output.unacknowledged(0) > 1, "decided and sent"
    assert rated.output.unacknowledged(1) == 0, "not begun before the other one is written"
    acknowledged[0] = True
    rated.loop.process([])
    assert rated.loop.written() == {0: 2, 1: 3}
    assert len(rated.values(NAMES.billed, 1)) > 2


def test_a_partition_whose_large_message_waits_is_given_nothing_and_counts_for_nothing() -> None:
    """Else what it has would fill the worker's share of messages, and those of other partitions would not come."""
    acknowledged = [True]
    rated = Rated(partitions=3, slicing=Slicing(events=100), pace=lambda waiting: waiting if acknowledged[0] else 0)
    rated.publish()
    acknowledged[0] = False
    handler = RatingHandler(rated.loop, NAMES.requests, Metrics(), Turns())
    large = [rated.append(partition, large_batch(partition, 1_200, 3)) for partition in (0, 1)]
    behind = [rated.append(1, large_batch(1, 1, 3)) for n in range(9)]
    progress = handler.process({NAMES.requests: [*large, *behind]})
    for _ in range(50):
        progress = handler.process({})
    assert progress.blocked == {(NAMES.requests, 1)}
    assert (progress.messages, progress.size) == (0, 0)
    handler.process({NAMES.requests: [rated.append(2, large_batch(2, 1, 3))]})
    handler.process({})
    assert rated.output.unacknowledged(2) == 1, "decided meanwhile"
    acknowledged[0] = True
    rated.loop.process([])
    assert rated.loop.written() == {0: 2, 1: 11, 2: 2}
    assert handler.process({}).blocked == set()


def test_large_messages_share_their_room() -> None:
    """Those of many partitions, each below the bound, are as much as one beyond it."""
    acknowledged = [True]
    rated = Rated(partitions=4, slicing=Slicing(events=100), pace=lambda waiting: waiting if acknowledged[0] else 0)
    rated.publish()
    acknowledged[0] = False
    large = [rated.append(partition, large_batch(partition, 400, 4)) for partition in range(4)]
    size = len(large[0].value)
    assert 2 * size <= MOST_LARGE_BYTES < 3 * size
    rated.loop.take(large)
    for _ in range(100):
        rated.loop.advance()
    assert len([n for n in range(4) if rated.output.unacknowledged(n)]) == 2
    assert len(rated.loop.blocked()) == 2
    acknowledged[0] = True
    rated.loop.process([])
    assert rated.loop.written() == dict.fromkeys(range(4), 2)


def test_a_catch_up_writes_after_large_messages() -> None:
    rated = Rated(slicing=Slicing(events=100))
    rated.publish()
    written: list[int] = []
    commit = rated.states[0].commit_packed

    def noted(changes: Any, applied: int, last: Any = None) -> None:
        written.append(applied)
        commit(changes, applied, last)

    rated.states[0].commit_packed = noted  # type: ignore[method-assign, assignment]
    for _ in range(6):
        rated.append(0, large_batch(0, 400))
    rated.loop.process([rated.append(0, batch(0, 1, "last"))])
    assert written == [3, 6, 7]


def test_a_released_partition_is_decided_again_by_the_next_owner() -> None:
    acknowledged = [True]
    rated = Rated(pace=lambda waiting: waiting if acknowledged[0] else 0)
    rated.publish()
    acknowledged[0] = False
    message = rated.append(0, batch(0, 3))
    rated.loop.take([message])
    rated.loop.advance()
    rated.loop.release([0])
    assert rated.states[0].applied == 0
    rated.states[0] = rated.states[0].reopen()
    acknowledged[0] = True
    rated.loop.process([message])
    assert rated.states[0].applied == 1


def test_a_very_large_message_that_is_decided_quickly_keeps_no_other_of_its_partition_waiting() -> None:
    """It is no turn's work, and the next one comes before its outputs are acknowledged."""
    acknowledged = [True]
    rated = Rated(pace=lambda waiting: waiting if acknowledged[0] else 0)
    rated.publish()
    acknowledged[0] = False
    no_command = b"x" * (MOST_LARGE_BYTES + 1)
    for _ in range(2):
        rated.loop.take([rated.append(0, no_command)])
        rated.loop.advance()
    assert rated.output.unacknowledged(0) == 2, "the dead letter and the answer of the first"
    acknowledged[0] = True
    for _ in range(10):
        rated.loop.advance()
    assert rated.loop.written()[0] == 3
    assert not rated.loop.is_busy

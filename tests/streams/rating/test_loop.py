"""The order of effects in turns: outputs before state, groups that end, and who waits for whom."""

from __future__ import annotations

from streams.rating.partition import LARGE_BYTES
from streams.rating.slices import Slicing
from tests.streams.rating.rated import NAMES, STEP, Rated
from tests.streams.rating.test_slices import batch


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
    fields = {"attributes": {"a": "x" * 1_000}}
    large = [rated.append(partition, batch(partition, 1_200, **fields)) for partition in (0, 1)]
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
    no_command = b"x" * (LARGE_BYTES + 1)
    for _ in range(2):
        rated.loop.take([rated.append(0, no_command)])
        rated.loop.advance()
    assert rated.output.unacknowledged(0) == 2, "the dead letter and the answer of the first"
    acknowledged[0] = True
    for _ in range(10):
        rated.loop.advance()
    assert rated.loop.written()[0] == 3
    assert not rated.loop.is_busy

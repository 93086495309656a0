"""A command is in memory, in the spool, delivered, or reported: each way out, one at a time."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from creditmeter_client.errors import FieldMistake, MeterUnavailable, RequestRefused
from creditmeter_client.recording import outbox
from creditmeter_client.recording.backoff import BackoffPolicy
from creditmeter_client.recording.memory_queue import Entry
from creditmeter_client.recording.outbox import Outbox
from creditmeter_client.results import Delivery, DeliveryStatus, Failure
from creditmeter_client.settings import MeterSettings
from creditmeter_client.usage import Command, from_line

from tests.client.scripted import HandClock, ScriptedTransport, event


class World:
    """An outbox with everything around it in hand."""

    def __init__(self, **settings: object) -> None:
        self.refused: list[Failure] = []
        self.lost: list[Failure] = []
        self.clock = HandClock()
        self.transport = ScriptedTransport()
        self.settings = MeterSettings(
            **{  # type: ignore[arg-type]
                "on_refused": self.refused.append,
                "on_lost": self.lost.append,
                "backoff": BackoffPolicy(1.0, 8.0),
                **settings,
            }
        )
        self.outbox = Outbox(self.transport, self.settings, self.clock)

    def put(self, *ids: str) -> None:
        for event_id in ids:
            self.outbox.put(event(event_id))

    def run(self, steps: int = 20) -> None:
        """Steps with time passing until nothing is pending."""
        for _ in range(steps):
            self.clock.advance(60.0)
            self.outbox.step()


def away(commands: Sequence[Command]) -> list[Delivery]:
    raise MeterUnavailable("nobody there")


def lost_answer(world: World):  # noqa: ANN201
    """Everything is stored, and the answer is lost."""

    def send(commands: Sequence[Command]) -> list[Delivery]:
        world.transport.store(commands)
        raise MeterUnavailable("the connection broke")

    return send


def test_what_is_put_is_sent_in_batches() -> None:
    world = World(batch_events=2)
    world.put("a", "b", "c")
    assert world.outbox.pending() == 3
    world.outbox.step()
    world.outbox.step()
    assert world.transport.requests == [["a", "b"], ["c"]]
    assert world.outbox.pending() == 0
    assert world.outbox.counts().delivered == 3


def test_after_a_failure_it_waits_longer_each_time_and_begins_anew_after_a_success() -> None:
    world = World()
    world.transport.script = [away, away, away]
    world.put("a")
    pauses = []
    for _ in range(3):
        pauses.append(world.outbox.step())
        assert world.outbox.step() == pytest.approx(pauses[-1])  # not yet time
        world.clock.advance(pauses[-1])
    assert 0.5 <= pauses[0] <= 1.0 <= pauses[1] <= 2.0 <= pauses[2] <= 4.0
    assert len(world.transport.requests) == 3
    assert world.outbox.step() == 0.0
    assert world.transport.stored == ["a"]


def test_it_waits_at_least_as_long_as_the_meter_asks() -> None:
    world = World()

    def busy(commands: Sequence[Command]) -> list[Delivery]:
        raise MeterUnavailable("429", retry_after=33.0)

    world.transport.script = [busy]
    world.put("a")
    assert world.outbox.step() >= 33.0


def test_what_is_unknown_is_sent_again_alone() -> None:
    world = World()

    def half(commands: Sequence[Command]) -> list[Delivery]:
        world.transport.store(commands[:1])
        return [Delivery(DeliveryStatus.STORED), Delivery(DeliveryStatus.UNKNOWN)]

    world.transport.script = [half]
    world.put("a", "b")
    world.run(2)
    assert world.transport.requests == [["a", "b"], ["b"]]
    assert world.transport.stored == ["a", "b"]


def test_an_invalid_one_is_reported_and_holds_up_no_other() -> None:
    world = World()
    mistake = FieldMistake("/ip", "is no address")
    world.transport.script = [
        lambda commands: [
            Delivery(DeliveryStatus.INVALID, mistakes=(mistake,)),
            *world.transport.store(commands[1:]),
        ]
    ]
    world.put("a", "b")
    world.run(2)
    assert world.transport.stored == ["b"]
    assert [(failure.command_id, failure.mistakes) for failure in world.refused] == [("a", (mistake,))]
    assert world.outbox.counts().refused == 1
    assert world.outbox.pending() == 0


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_request_that_is_refused_whole_is_halved_until_the_culprit_stands_alone(status: int) -> None:
    world = World()

    def refuse_c(commands: Sequence[Command]) -> list[Delivery] | None:
        if "c" in world.transport.requests[-1]:
            raise RequestRefused(status, "something is wrong in there")
        return None

    world.transport.script = [refuse_c] * 20
    world.put("a", "b", "c", "d", "e")
    world.run(1)
    assert sorted(world.transport.stored) == ["a", "b", "d", "e"]
    assert [failure.command_id for failure in world.refused] == ["c"]
    assert "something is wrong" in world.refused[0].reason


def test_a_wrong_key_loses_nothing() -> None:
    world = World()

    def forbidden(commands: Sequence[Command]) -> list[Delivery]:
        raise RequestRefused(403, "this key may not do that")

    world.transport.script = [forbidden] * 40
    world.put(*(f"e{number}" for number in range(100)))
    world.outbox.step()
    assert len(world.transport.requests) < 20  # five are tried alone, not a hundred
    world.transport.script = []
    world.run()
    assert len(world.transport.stored) == 100
    assert world.refused == []


def test_another_accounts_event_is_refused_once_the_key_has_worked() -> None:
    world = World()
    world.put("works")
    world.run(1)

    def forbidden(commands: Sequence[Command]) -> list[Delivery] | None:
        if any(command.account_id == "other" for command in commands):
            raise RequestRefused(403, "is not this key's account")
        return None

    world.transport.script = [forbidden] * 20
    world.outbox.put(event("x", account_id="other"))
    world.put("a", "b")
    world.run(1)
    assert world.transport.stored == ["works", "a", "b"]
    assert [failure.command_id for failure in world.refused] == ["x"]


@pytest.mark.parametrize("status", [401, 404, 405, 415])
def test_what_says_nothing_about_the_event_keeps_it(status: int) -> None:
    world = World()

    def refuse(commands: Sequence[Command]) -> list[Delivery]:
        raise RequestRefused(status, "no")

    world.transport.script = [refuse, refuse]
    world.put("a")
    world.run(3)
    assert world.transport.stored == ["a"]
    assert world.refused == []


def test_an_answer_of_another_length_or_an_unforeseen_exception_loses_nothing() -> None:
    world = World()

    def breaks(commands: Sequence[Command]) -> list[Delivery]:
        raise ZeroDivisionError

    world.transport.script = [lambda _commands: [], breaks]
    world.put("a", "b")
    world.run(3)
    assert world.transport.stored == ["a", "b"]


def test_without_a_spool_what_finds_no_room_is_reported_lost() -> None:
    world = World(queue_events=2)
    world.put("a", "b", "c")
    assert [failure.command_id for failure in world.lost] == ["c"]
    assert "queue is full" in world.lost[0].reason
    assert world.outbox.counts().lost == 1
    world.run(2)
    assert world.transport.stored == ["a", "b"]


def test_bytes_bound_the_queue_too() -> None:
    world = World(queue_bytes=1_000)
    world.outbox.put(event("large", attributes={"text": "x" * 990}))
    assert [failure.command_id for failure in world.lost] == ["large"]
    world.put("small")
    assert world.outbox.pending() == 1


def test_with_a_spool_it_goes_there_and_is_sent_later(tmp_path: Path) -> None:
    world = World(queue_events=2, spool=tmp_path / "spool")
    world.put("a", "b", "c", "d")
    assert world.lost == []
    assert world.outbox.pending() == 4
    world.run(5)
    assert sorted(world.transport.stored) == ["a", "b", "c", "d"]
    assert world.outbox.pending() == 0
    assert list((tmp_path / "spool").glob("*.events")) == []


def test_what_is_being_read_from_the_spool_is_pending(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else whoever waits until nothing is pending goes on while a segment is neither in the spool nor in memory."""
    world = World(queue_events=1, batch_events=10, spool=tmp_path / "spool")
    world.put("a", "b", "c")
    seen: list[int] = []

    def looking(line: bytes) -> Command:
        seen.append(world.outbox.pending())
        return from_line(line)

    monkeypatch.setattr(outbox, "from_line", looking)
    world.run(4)
    assert len(seen) == 2
    assert min(seen) >= 1
    assert world.transport.stored == ["a", "b", "c"]
    assert world.outbox.pending() == 0


def test_while_the_meter_is_away_memory_moves_to_the_spool_and_has_room_again(tmp_path: Path) -> None:
    world = World(queue_events=2, spool=tmp_path / "spool")
    world.transport.script = [away] * 3
    world.put("a", "b")
    world.outbox.step()
    world.put("c", "d")
    assert world.outbox.counts().spooled == 2
    world.outbox.step()
    assert world.outbox.counts().spooled == 4
    assert world.outbox.pending() == 4
    world.run(12)
    assert sorted(world.transport.stored) == ["a", "b", "c", "d"]


def test_a_full_spool_is_reported(tmp_path: Path) -> None:
    world = World(queue_events=1, spool=tmp_path / "spool", spool_bytes=200)
    world.put("a", "b", "c")
    assert [failure.command_id for failure in world.lost] == ["c"]
    assert "has reached its 200 bytes" in world.lost[0].reason
    world.run(5)
    assert sorted(world.transport.stored) == ["a", "b"]
    world.put("d", "e")
    assert len(world.lost) == 1  # what was sent has made room


def test_what_waited_too_long_in_the_spool_is_reported_and_not_sent(tmp_path: Path) -> None:
    world = World(queue_events=1, spool=tmp_path / "spool", spool_age_ms=3_600_000)
    world.put("a", "b")
    world.clock.wall += 3_600_001
    world.run(4)
    assert world.transport.stored == ["a"]
    assert [failure.command_id for failure in world.lost] == ["b"]
    assert world.outbox.pending() == 0


def test_a_clock_that_jumps_back_makes_nothing_old(tmp_path: Path) -> None:
    world = World(queue_events=1, spool=tmp_path / "spool", spool_age_ms=3_600_000)
    world.put("a", "b")
    world.clock.wall -= 10 * 365 * 86_400_000
    world.run(4)
    assert sorted(world.transport.stored) == ["a", "b"]


def test_closing_leaves_what_is_left_to_the_next_process(tmp_path: Path) -> None:
    first = World(spool=tmp_path / "spool")
    first.transport.script = [away]
    first.put("a", "b")
    first.outbox.close()
    assert first.lost == []
    second = World(spool=tmp_path / "spool")
    second.run(2)
    assert second.transport.stored == ["a", "b"]
    assert second.outbox.counts().taken_over == 2
    assert list((tmp_path / "spool").iterdir()) == []


def test_closing_without_a_spool_reports_what_is_left() -> None:
    world = World()
    world.put("a")
    world.outbox.close()
    world.put("late")
    assert [failure.command_id for failure in world.lost] == ["a", "late"]


def test_durable_is_on_the_disk_before_put_returns(tmp_path: Path) -> None:
    world = World(spool=tmp_path / "spool", durable=True)
    world.put("a")
    (file,) = (tmp_path / "spool").glob("*.events")
    assert b'"event_id":"a"' in file.read_bytes()
    world.run(1)
    assert file.read_bytes() == b""


def test_a_question_holds_its_place_until_it_is_answered(tmp_path: Path) -> None:
    world = World(queue_events=2, spool=tmp_path / "spool", durable=True)
    entry = world.outbox.begin_question(event("asked"))
    assert isinstance(entry, Entry)
    assert world.outbox.pending() == 1
    world.run(2)
    assert world.transport.stored == []
    world.outbox.answered(entry, Delivery(DeliveryStatus.STORED))
    world.outbox.answered(entry, Delivery(DeliveryStatus.STORED))
    assert world.outbox.pending() == 0
    assert world.outbox.counts().delivered == 1


def test_an_unanswered_question_is_sent_like_any_other() -> None:
    world = World()
    entry = world.outbox.begin_question(event("asked"))
    assert isinstance(entry, Entry)
    world.outbox.unanswered(entry)
    world.run(1)
    assert world.transport.stored == ["asked"]


def test_closing_in_the_middle_of_a_question_loses_nothing(tmp_path: Path) -> None:
    world = World(spool=tmp_path / "spool")
    entry = world.outbox.begin_question(event("asked"))
    assert isinstance(entry, Entry)
    world.outbox.close()
    world.outbox.unanswered(entry)
    second = World(spool=tmp_path / "spool")
    second.run(2)
    assert second.transport.stored == ["asked"]


def test_after_a_lost_answer_it_is_sent_again_with_its_id() -> None:
    world = World()
    world.transport.script = [lost_answer(world)]
    world.put("a")
    world.run(2)
    assert world.transport.requests == [["a"], ["a"]]
    assert world.transport.stored == ["a"]


def test_a_callback_that_raises_stops_nothing() -> None:
    def broken(failure: Failure) -> None:
        raise ZeroDivisionError

    world = World(on_refused=broken)
    world.outbox.put(event("bad", quantities={"results": 1.5}))
    world.put("a")
    world.run(1)
    assert world.transport.stored == ["a"]
    assert world.outbox.counts().refused == 1


def test_a_child_begins_with_nothing_of_its_parents(tmp_path: Path) -> None:
    world = World(spool=tmp_path / "spool", queue_events=1)
    world.put("a", "b")
    world.outbox.after_fork()
    assert world.outbox.pending() == 0
    assert world.transport.forked == 1
    assert len(list((tmp_path / "spool").glob("*.events"))) == 1  # the parent's

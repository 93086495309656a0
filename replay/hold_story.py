"""The story of one hold, from a replay of its account: what was asked and available, and everything that changed it."""

from __future__ import annotations

from dataclasses import dataclass, field

from metering.account import Account
from metering.records import Command, HoldStatus, Kind, Output, Record
from replay.account import AccountReplay, ProgressCallback, quiet
from replay.commands import ReplayedCommand
from replay.event_story import RecordedPlace


@dataclass(frozen=True, slots=True)
class AskedCredits:
    """One credit type of a hold just before it was decided, in credits: the balance, and what open holds set aside."""

    credit_type: str
    asked: int
    balance: int
    held: int

    @property
    def available(self) -> int:
        return self.balance - self.held


@dataclass(frozen=True, slots=True)
class HoldArrival:
    """One time that the hold came: the request, what decided it, and its output.

    `output` is a HoldChange (held or rejected), or a dead letter; None for a repeat.
    """

    place: RecordedPlace
    request: Record
    on_empty: str
    asked: tuple[AskedCredits, ...]
    open_holds: int
    output: Output | None


@dataclass(frozen=True, slots=True)
class HoldChange:
    """A change of a hold and the command that caused it, by its place."""

    place: RecordedPlace
    change: Record


@dataclass(slots=True)
class HoldStory:
    """Everything that the log says of a hold of one account. `topic` is the input's name, `base` where it began."""

    hold_id: str
    account_id: str
    topic: str
    base: str
    arrivals: list[HoldArrival] = field(default_factory=list)
    changes: list[HoldChange] = field(default_factory=list)

    @property
    def decided(self) -> HoldArrival | None:
        """The last arrival that was held or rejected; None where there is none."""
        decided = [arrival for arrival in self.arrivals if arrival.output and arrival.output.kind is Kind.HOLD]
        return decided[-1] if decided else None

    @property
    def later_changes(self) -> list[HoldChange]:
        """What happened to that hold since, in order. An id that is accepted anew is another hold."""
        begins = [at for at, change in enumerate(self.changes) if change.change["status"] in _DECISIONS]
        return self.changes[begins[-1] + 1 :] if begins else []


_DECISIONS = (HoldStatus.HELD, HoldStatus.REJECTED)


def replay_hold(replay: AccountReplay, hold_id: str, stop: int, progress: ProgressCallback = quiet) -> HoldStory:
    """Replays the account up to offset ``stop``. Raises LogError, LostPrefix."""
    story = HoldStory(hold_id, replay.account_id, replay.place.rpartition("[")[0], replay.base.name)
    for step in replay.commands(stop, progress):
        is_it = step.command == Command.HOLD and step.record["hold_id"] == hold_id
        request = dict(step.record)
        before = _before(replay.state.account(replay.account_id), step) if is_it else None
        outputs = replay.apply(step)
        changes = [
            output for output in outputs if output.kind is Kind.HOLD and output.record["hold_id"] == hold_id
        ]  # fmt: skip
        place = RecordedPlace.of(step) if is_it or changes else None
        if before is not None and place is not None:
            own = [*changes, *(output for output in outputs if output.kind is Kind.DEAD_LETTER)]
            story.arrivals.append(HoldArrival(place, request, *before, own[0] if own else None))
        story.changes += [HoldChange(place, output.record) for output in changes if place is not None]
    return story


def _before(account: Account, step: ReplayedCommand) -> tuple[str, tuple[AskedCredits, ...], int]:
    """What decides a hold that is applied next; nothing of one with wrong fields."""
    credits_, held_at, recorded_at = step.record["credits"], step.record["held_at"], step.message.timestamp
    all_asked = []
    for name, asked in credits_.items():
        available = account.available_at(name, held_at, recorded_at)
        held = account.holds.set_aside_at(name, recorded_at)
        all_asked.append(AskedCredits(name, asked, available + held, held))
    return account.on_empty, tuple(all_asked), account.holds.count_at(recorded_at)

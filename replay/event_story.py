"""The story of one event, from a replay of its account: every arrival of its id, its refunds, and its state now.

An id may come more than once: as a repeat, as a dead letter before it was right, or anew after it was forgotten. Each
time is explained; the last one that was accepted is what the bill holds now.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from metering import MemoryStore
from metering.explaining import explain_event
from metering.explanation import Claimant, Explanation
from metering.records import MAX_ID, Command, Kind, Output, Record
from metering.state import State
from metering.validation import check_event
from replay.account import AccountReplay, Base, ProgressCallback, ReplaySource, quiet
from replay.commands import ReplayedCommand
from streams.log.place import Place

FIELDS_OF_A_LINE = (
    "line", "decision", "charge", "feature", "action", "credit_type", "price_version", "plan", "units", "unit_credits",
    "credits", "owner_event_id", "window_ends_at", "balance_after", "grants_used", "hold_id",
)  # fmt: skip
"""What was decided about a line; the rest of it is the event's own."""


@dataclass(frozen=True, slots=True)
class RecordedPlace(Place):
    """A place with `recorded_at`, the log's time (ms), and the `producer` where the record names one."""

    recorded_at: int
    producer: str | None

    @classmethod
    def of(cls, step: ReplayedCommand) -> RecordedPlace:
        message = step.message
        return cls(message.partition, message.offset, step.index, message.timestamp, message.producer)

    __str__ = Place.__str__


class ArrivalOutcome(StrEnum):
    """What became of an event that arrived."""

    ACCEPTED = "accepted"
    REPEATED = "repeated"
    DEAD_LETTER = "dead_letter"


class RefundOutcome(StrEnum):
    """What became of a refund request."""

    REFUNDED = "refunded"
    REJECTED = "rejected"
    REPEATED = "repeated"
    DEAD_LETTER = "dead_letter"


@dataclass(frozen=True, slots=True)
class Arrival:
    """One time that the event's id came to the account.

    `hold_before`: the last change, before it, of the hold that it names; None where the replay saw none.
    """

    place: RecordedPlace
    explanation: Explanation
    hold_before: Record | None = None

    @property
    def outcome(self) -> ArrivalOutcome:
        """What became of it."""
        if self.explanation.refusal is not None:
            return ArrivalOutcome.DEAD_LETTER
        return ArrivalOutcome.ACCEPTED if self.explanation.repeat_of is None else ArrivalOutcome.REPEATED


@dataclass(frozen=True, slots=True)
class RefundAttempt:
    """A refund request for the event, and what became of it: one output a line, a rejection, or none (a repeat)."""

    place: RecordedPlace
    request: Record
    outputs: tuple[Record, ...]
    outcome: RefundOutcome


@dataclass(frozen=True, slots=True)
class Present:
    """The same request with a new id at `at` (ms), as it would be decided."""

    at: int
    explanation: Explanation


@dataclass(slots=True)
class Story:
    """Everything that the log says of an event of one account. `topic` is the input's name, `base` where it began."""

    event_id: str
    account_id: str
    topic: str
    base: str
    arrivals: list[Arrival] = field(default_factory=list)
    refunds: list[RefundAttempt] = field(default_factory=list)
    present: Present | None = None

    @property
    def subject(self) -> Arrival | None:
        """The arrival that the story is about: the last accepted one, else the last dead letter; None for neither."""
        accepted = [arrival for arrival in self.arrivals if arrival.outcome is ArrivalOutcome.ACCEPTED]
        candidates = accepted or [arrival for arrival in self.arrivals if arrival.outcome is ArrivalOutcome.DEAD_LETTER]
        return candidates[-1] if candidates else None

    def accepted_before(self, arrival: Arrival) -> Arrival | None:
        """The accepted event that an arrival repeats: the last one before it; None where the replay began after it."""
        earlier = self.arrivals[: self.arrivals.index(arrival)]
        return next((before for before in reversed(earlier) if before.outcome is ArrivalOutcome.ACCEPTED), None)

    @property
    def others(self) -> list[Arrival]:
        """The other times that the id came, in order."""
        subject = self.subject
        return [arrival for arrival in self.arrivals if arrival is not subject]

    @property
    def refunds_since(self) -> list[RefundAttempt]:
        """The refund requests after the arrival that the story is about."""
        subject = self.subject
        if subject is None:
            return []
        return [attempt for attempt in self.refunds if attempt.place.offset > subject.place.offset]


def replay_story(
    replay: AccountReplay, event_id: str, stop: int, now: int, progress: ProgressCallback = quiet
) -> Story:
    """Replays the account up to offset ``stop``; ``now`` is the time for the question of the present (ms UTC).

    Raises LogError, LostPrefix.
    """
    topic = replay.place.rpartition("[")[0]
    story = Story(event_id, replay.account_id, topic, replay.base.name)
    holds = _HoldChanges()
    for step in replay.commands(stop, progress):
        if step.command == Command.REQUEST and step.record["event_id"] == event_id:
            explanation = explain_event(replay.state, step.record, step.message.timestamp, step.digest)
            hold_before = holds.last(explanation.event.get("hold_id"))
            holds.note(replay.apply(step))
            story.arrivals.append(Arrival(RecordedPlace.of(step), explanation, hold_before))
        elif step.command == Command.REFUND and step.record["event_id"] == event_id:
            request = dict(step.record)
            outputs = replay.apply(step)
            holds.note(outputs)
            story.refunds.append(_attempt(step, request, outputs))
        else:
            holds.note(replay.apply(step))
    subject = story.subject
    if subject is not None:
        story.present = asked_now(replay.state, subject.explanation.event, now)
    return story


class _HoldChanges:
    """The last change of each of the holds that changed last: as many as memory should keep."""

    MOST = 10_000

    def __init__(self) -> None:
        self._by_id: dict[str, Record] = {}

    def note(self, outputs: list[Output]) -> None:
        for output in outputs:
            if output.kind is Kind.HOLD:
                hold_id = output.record["hold_id"]
                self._by_id.pop(hold_id, None)
                self._by_id[hold_id] = output.record
                if len(self._by_id) > self.MOST:
                    del self._by_id[next(iter(self._by_id))]

    def last(self, hold_id: str | None) -> Record | None:
        return None if hold_id is None else self._by_id.get(hold_id)


def asked_now(state: State, event: Record, now: int) -> Present:
    """The decision about a copy of the event with a new id that occurred and was recorded now."""
    copy = event | {"event_id": f"{now}:{event['event_id']}"[:MAX_ID], "occurred_at": now}
    return Present(now, explain_event(state, copy, now))


def place_of(source: ReplaySource, account_id: str, owner: Claimant, first: int, stop: int) -> RecordedPlace | None:
    """Where the event that made a claim stands, from offset ``first`` to before ``stop``; None where it is not there.

    Reads only, and applies nothing. Raises LogError, LostPrefix.
    """
    base = Base(MemoryStore(), first - 1, f"offset {first}")
    for step in AccountReplay(source, account_id, base).commands(stop):
        record = step.record
        is_it = step.command == Command.REQUEST and record["event_id"] == owner.event_id
        # One of that id that was set aside first is not the one that paid.
        if is_it and record["occurred_at"] == owner.occurred_at and check_event(dict(record)) is None:
            return RecordedPlace.of(step)
    return None


def _attempt(step: ReplayedCommand, request: Record, outputs: list[Output]) -> RefundAttempt:
    refunds = tuple(output.record for output in outputs if output.kind is Kind.REFUND)
    if refunds:
        outcome = RefundOutcome(refunds[0]["status"])
    elif any(output.kind is Kind.REPEATED for output in outputs):
        outcome = RefundOutcome.REPEATED
    else:
        outcome = RefundOutcome.DEAD_LETTER
    return RefundAttempt(RecordedPlace.of(step), request, refunds, outcome)


def differences(explained: list[Record], billed: list[Record]) -> list[str]:
    """How the lines of an event as billed differ from those explained, a sentence each; empty where they agree.

    A field that the billed line does not hold is not compared.
    """
    expected: dict[int, Record] = {line["line"]: line for line in explained}
    actual: dict[int, Record] = {line["line"]: line for line in billed}
    sentences = [f"line {number} is explained and not there" for number in sorted(expected.keys() - actual.keys())]
    sentences += [f"line {number} is there and not explained" for number in sorted(actual.keys() - expected.keys())]
    for number in sorted(expected.keys() & actual.keys()):
        for name in FIELDS_OF_A_LINE:
            if name in actual[number] and _plain(actual[number][name]) != _plain(expected[number][name]):
                wanted = _plain(expected[number][name])
                sentences.append(f"line {number}: {name} is {_plain(actual[number][name])!r}, and explained {wanted!r}")
    return sentences


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, str) else value

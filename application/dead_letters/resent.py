"""Which dead letters were sent again, where to, and the outcome, from the input log.

A replay carries its letter's place in a header, so the log knows every replay for certain, whoever sent it and from
wherever. It stands behind the letter: so the log is read from the time of the earliest letter that is asked about.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from application.commands.submitting import printed
from application.dead_letters.reading import DeadLetter
from application.notices import ProgressCallback
from application.pipeline import Pipeline
from metering.records import Command, Decision, Kind, RefundStatus
from schemas.errors import Undecodable
from streams.log.place import Place
from streams.log.protocols import Message
from streams.log.results import Caused
from streams.rating.outputs import topics_by_kind

REPLAY_HEADER = "creditmeter-replay-of"
CORRECTED_HEADER = "creditmeter-corrected"
_CLOCKS_DIFFER_MS = 60_000
_MESSAGES_BETWEEN_REPORTS = 512
_WITHOUT_OUTPUT = (Command.ACCOUNT, Command.PRICE_BOOK)


class ReplayOutcome(StrEnum):
    """What became of a replay."""

    UNDECIDED = "undecided"
    SET_ASIDE = "dead_letter"  # it became a dead letter again
    REPEATED = "repeated"  # the account had accepted it already
    ACCEPTED = "accepted"


@dataclass(frozen=True)
class Replay:
    """One replay of a letter. `command` is what was sent, None where nobody can read it."""

    of: Place
    topic: str
    partition: int
    offset: int
    recorded_at: int
    corrected: bool
    command: str | None
    outcome: ReplayOutcome = ReplayOutcome.UNDECIDED
    outputs: tuple[Mapping[str, Any], ...] = ()

    @property
    def is_settled(self) -> bool:
        """Whether the command has been accepted, by this replay or before it."""
        return self.outcome in (ReplayOutcome.ACCEPTED, ReplayOutcome.REPEATED)

    def letters(self) -> list[Place]:
        """The dead letters that it became."""
        indices = [output["index"] for output in self.outputs if output["type"] == Kind.DEAD_LETTER]
        return [Place(self.partition, self.offset, index) for index in indices]

    def row(self) -> dict[str, Any]:
        """For programs. `outcome`: undecided, accepted, repeated (an account had it already), dead_letter (again)."""
        return {
            "of": str(self.of),
            "to": f"{self.topic}[{self.partition}]@{self.offset}",
            "recorded_at": self.recorded_at,
            "corrected": self.corrected,
            "outcome": self.outcome,
            "outputs": list(self.outputs),
        }

    def sentence(self) -> str:
        """`corrected, to 3@1051: charged 20 credit`."""
        how = "corrected, to" if self.corrected else "to"
        return f"{how} {self.partition}@{self.offset}: {self._result()}"

    def _result(self) -> str:
        if self.outcome is ReplayOutcome.SET_ASIDE:
            again = next(output for output in self.outputs if output["type"] == Kind.DEAD_LETTER)
            field = f" ({again['field']})" if again["field"] else ""
            return f"set aside again: {again['reason']}{field}"
        if self.outcome is ReplayOutcome.ACCEPTED:
            return ", ".join(_short(output) for output in self.outputs) or "accepted"
        return "repeated, nothing changed" if self.outcome is ReplayOutcome.REPEATED else "not decided yet"


Replays = dict[Place, list[Replay]]
"""By the letter's place, its replays in the order of time."""


def share_success(replays: Replays) -> None:
    """A replay that was set aside again made a new letter of the same command: what settles one settles the other.

    So the replay that was accepted is added to every letter of the family that has none of its own.
    """
    parent = {child: replay.of for those in replays.values() for replay in those for child in replay.letters()}

    def root(place: Place) -> Place:
        seen = set()
        while place in parent and place not in seen:  # a header is anybody's to write: it may name itself
            seen.add(place)
            place = parent[place]
        return place

    settled = {root(place): replay for place, those in replays.items() for replay in those if replay.is_settled}
    for place in [*replays, *parent]:
        success = settled.get(root(place))
        those = replays.setdefault(place, []) if success is not None else []
        if success is not None and not any(replay.is_settled for replay in those):
            those.append(success)


class ReplayLog:
    """The replays in one pipeline's input log."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    def of(self, letters: Iterable[DeadLetter]) -> Replays:
        """As `since`, from the earliest of these letters on; the letters themselves are not looked at again."""
        times = [letter.record["recorded_at"] for letter in letters]
        return self.since(min(times)) if times else {}

    def since(self, time: int) -> Replays:
        """Every replay in the log of letters that were recorded at `time` (ms) or later. Raises LogError."""
        by_place: Replays = {}
        with self._pipeline.notices.progress("looking for replays") as report:
            replays = self.judged(self._found(time - _CLOCKS_DIFFER_MS, report))
        for replay in sorted(replays, key=lambda replay: (replay.recorded_at, replay.partition, replay.offset)):
            by_place.setdefault(replay.of, []).append(replay)
        share_success(by_place)
        return by_place

    def judged(self, replays: Iterable[Replay], decided: Mapping[int, int] | None = None) -> list[Replay]:
        """The same, with the outcomes as they are now.

        `decided`: by partition, the last offset whose decision was seen, perhaps before the worker acknowledged it.
        """
        results = self._pipeline.results
        rated = results.rated()
        by_partition: dict[int, list[Replay]] = {}
        for replay in replays:
            by_partition.setdefault(replay.partition, []).append(replay)
        judged = []
        for partition, those in by_partition.items():
            stop = max(rated.get(partition, 0), (decided or {}).get(partition, -1) + 1)
            caused = results.caused_by(partition, [replay.offset for replay in those if replay.offset < stop])
            judged += [
                self._judge(replay, caused.get(replay.offset, {})) if replay.offset < stop else replay
                for replay in those
            ]
        return judged

    def _judge(self, replay: Replay, caused: Caused) -> Replay:
        topics = topics_by_kind(self._pipeline.names)
        outputs = tuple(printed(kind, letter) for kind, topic in topics.items() for letter in caused.get(topic, ()))
        if any(output["type"] == Kind.DEAD_LETTER for output in outputs):
            outcome = ReplayOutcome.SET_ASIDE
        else:
            is_accepted = outputs or replay.command in _WITHOUT_OUTPUT
            outcome = ReplayOutcome.ACCEPTED if is_accepted else ReplayOutcome.REPEATED
        return replace(replay, outcome=outcome, outputs=outputs)

    def _found(self, time: int, report: ProgressCallback) -> Iterator[Replay]:
        """Every replay that the log recorded at the time (ms) or later; not judged yet."""
        log = self._pipeline.input_log
        ends = {number: log.bounds(number)[1] for number in range(self._pipeline.partitions)}
        starts = {number: log.offset_at(number, time) for number in ends}
        total = sum(ends[number] - starts[number] for number in ends)
        done = 0
        for partition, end in ends.items():
            for message, headers in log.read_with_headers(partition, starts[partition], end):
                done += 1
                if done % _MESSAGES_BETWEEN_REPORTS == 0:
                    report(done, total)
                replay = self._replay(message, headers)
                if replay is not None:
                    yield replay

    def _replay(self, message: Message, headers: Mapping[str, bytes]) -> Replay | None:
        of = headers.get(REPLAY_HEADER)
        if of is None:
            return None
        try:
            place = Place.parse(of.decode())
        except ValueError:  # whoever wrote it, it is no replay of ours
            return None
        try:
            command, _ = self._pipeline.codec.decode_command(message.value)
        except Undecodable:
            command = None
        return Replay(
            place, self._pipeline.names.requests, message.partition, message.offset, message.timestamp,
            CORRECTED_HEADER in headers, command,
        )  # fmt: skip


def _short(output: Mapping[str, Any]) -> str:
    """An output in few words: `charged 20 credit`."""
    kind = output["type"]
    if kind == Kind.BILLED:
        costs = output["decision"] == Decision.CHARGED
        return f"charged {output['credits']:,} {output['credit_type']}" if costs else str(output["decision"])
    if kind == Kind.REFUND:
        if output["status"] == RefundStatus.REJECTED:
            return f"refund rejected ({output['reject_reason']})"
        return f"refunded {output['credits']:,} {output['credit_type']}"
    if kind == Kind.GRANT:
        return f"grant {output['status']}: {output['credits']:,} {output['credit_type']}"
    if kind == Kind.HOLD:
        return f"hold {output['status']}"
    return "settings changed" if kind == Kind.ACCOUNT else f"alert {output['kind']}"

"""What one input message causes, gathered by topic and sent in parts that the broker takes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

from metering.records import Kind, Output, Record
from schemas.catalog import BATCHES
from schemas.codec import Codec
from streams.log.protocols import LogChanged, OutputLog
from streams.log.topics import TopicNames

BATCH_NAME = {
    Kind.BILLED: "BilledBatch",
    Kind.REFUND: "RefundBatch",
    Kind.GRANT: "GrantBatch",
    Kind.ALERT: "AlertBatch",
    Kind.ACCOUNT: "AccountBatch",
    Kind.HOLD: "HoldBatch",
    Kind.DEAD_LETTER: "DeadLetterBatch",
}
"""The Avro record of each kind of output that has a topic."""

# Looked up once: on Python 3.11 a member of an enum takes as long to get as a function to call.
_BILLED: Final = Kind.BILLED
_REPEATED: Final = Kind.REPEATED
_DEAD_LETTER: Final = Kind.DEAD_LETTER
_HOLD: Final = Kind.HOLD


def topics_by_kind(names: TopicNames) -> dict[Kind, str]:
    """The topic of each kind of output."""
    return {
        Kind.BILLED: names.billed,
        Kind.REFUND: names.refunds,
        Kind.GRANT: names.grants,
        Kind.ALERT: names.alerts,
        Kind.ACCOUNT: names.accounts,
        Kind.HOLD: names.holds,
        Kind.DEAD_LETTER: names.dead_letters,
    }


class Decided(NamedTuple):
    """The decision about one input message.

    ``answers``: the arrays of its BilledBatch that answer the commands without lines (SPEC 4), empty ones left out;
    None for a message that is not answered there, a price book.
    """

    outputs: list[Output]
    answers: dict[str, list[Record]] | None


def answers_to(outputs: Iterable[Output], applied: Record | None = None) -> dict[str, list[Record]]:
    """The answers to one message: its repeats and dead letters, each with its index, and what was applied."""
    answers: dict[str, list[Record]] = {}
    for output in outputs:
        record = output.record
        if output.kind is _REPEATED:
            answers.setdefault("repeated", []).append({name: record[name] for name in _OF_A_REPEAT})
        elif output.kind is _DEAD_LETTER:
            answers.setdefault("set_aside", []).append({name: record[name] for name in _OF_A_LETTER})
    if applied is not None and not answers:
        answers["applied"] = [applied]
    return answers


_OF_A_REPEAT: Final = ("index", "command", "id", "same_content", "first_offset", "first_index")
_OF_A_LETTER: Final = ("index", "command", "id", "reason", "field")


class Group(NamedTuple):
    """Messages of one partition that are written together: how many, and how many seconds of work they were."""

    messages: int = 0
    seconds: float = 0.0


class Counts:
    """What was decided since the last `take_counts`, for metrics: events by decision, repeats, dead letters by reason.

    ``other_content`` counts, by command, the repeats whose content is not that of the command accepted before;
    ``holds`` the changes of holds, by status; ``groups`` those that were written.
    """

    def __init__(self) -> None:
        self.decisions: Counter[str] = Counter()
        self.dead_letters: Counter[str] = Counter()
        self.repeated: Counter[str] = Counter()
        self.other_content: Counter[str] = Counter()
        self.holds: Counter[str] = Counter()
        self.messages = 0
        self.events = 0
        self.groups: list[Group] = []

    def add(self, other: Counts) -> None:
        self.decisions += other.decisions
        self.dead_letters += other.dead_letters
        self.repeated += other.repeated
        self.other_content += other.other_content
        self.holds += other.holds
        self.messages += other.messages
        self.events += other.events
        self.groups += other.groups

    def note(self, outputs: list[Output]) -> None:
        decisions: dict[str, int] = {}
        for output in outputs:
            kind, record = output.kind, output.record
            if kind is _BILLED:
                decision: str = record["decision"]
                decisions[decision] = decisions.get(decision, 0) + 1
            elif kind is _REPEATED:
                self.repeated[record["command"]] += 1
                if record["same_content"] is False:
                    self.other_content[record["command"]] += 1
            elif kind is _DEAD_LETTER:
                self.dead_letters[record["reason"]] += 1
            elif kind is _HOLD:
                self.holds[record["status"]] += 1
        self.decisions.update(decisions)


def encoded(
    codec: Codec,
    topics: dict[Kind, str],
    decided: Decided,
    partition: int,
    offset: int,
    wanted: Callable[[str], bool] = bool,
) -> list[tuple[str, int, bytes]]:
    """(topic, part, message) for what the input message at ``offset`` caused in ``wanted`` topics, in order in each.

    The answer comes last: who has read it finds the other outputs there, as far as brokers keep to an order.
    """
    by_kind: dict[Kind, list[Record]] = {}
    billed: list[Record] = []
    for output in decided.outputs:
        if output.kind is _BILLED:  # nearly all of them: no look-up for each
            billed.append(output.record)
        elif output.kind is not _REPEATED:
            by_kind.setdefault(output.kind, []).append(output.record)
    sends = [
        (topics[kind], part, value)
        for kind, records in by_kind.items()
        if wanted(topics[kind])
        for part, value in enumerate(codec.encode_parts(BATCH_NAME[kind], partition, offset, records))
    ]
    topic = topics[Kind.BILLED]
    if decided.answers is not None and wanted(topic):
        batch = BATCH_NAME[Kind.BILLED]
        messages = codec.encode_parts(batch, partition, offset, billed, answers=decided.answers)
        sends += [(topic, part, value) for part, value in enumerate(messages)]
    return sends


class EncodedOutputs:
    """What one large input message causes, gathered encoded while its events are decided in slices.

    `sends` gives what `encoded` gives for all of it at once, byte for byte: how many parts there are stands in each of
    them, so that none can go out before the last event is decided. Encoded, outputs take a tenth of their records.
    """

    def __init__(
        self, codec: Codec, topics: dict[Kind, str], partition: int, offset: int, wanted: Callable[[str], bool]
    ) -> None:
        self._codec = codec
        self._topics = topics
        self._place = partition, offset
        self._wanted = {kind for kind, topic in topics.items() if wanted(topic)}
        self._batches: dict[Kind, dict[str, list[bytes]]] = {}
        self._answer: dict[str, list[bytes]] = {}

    def add(self, outputs: list[Output], unbilled: list[Output]) -> None:
        """The outputs of the next events, and which of them are answered without a line."""
        by_kind: dict[Kind, list[Record]] = {}
        for output in outputs:
            if output.kind is not _REPEATED and output.kind in self._wanted:
                by_kind.setdefault(output.kind, []).append(output.record)
        for kind, records in by_kind.items():
            array = BATCHES[BATCH_NAME[kind]]
            batch = self._answer if kind is _BILLED else self._batches.setdefault(kind, {})
            self._gather(kind, batch, array, records)
        if _BILLED in self._wanted:
            for array, records in answers_to(unbilled).items():
                self._gather(_BILLED, self._answer, array, records)

    def sends(self) -> Iterator[tuple[str, int, bytes]]:
        """(topic, part, message) of all, in the order of `encoded`; each message is made when it is asked for."""
        batches = {**self._batches, _BILLED: self._answer} if _BILLED in self._wanted else self._batches
        for kind, arrays in batches.items():
            parts = self._codec.join_parts(BATCH_NAME[kind], *self._place, arrays)
            for part, value in enumerate(parts):
                yield self._topics[kind], part, value

    def _gather(self, kind: Kind, batch: dict[str, list[bytes]], array: str, records: list[Record]) -> None:
        batch.setdefault(array, []).extend(self._codec.encode_items(BATCH_NAME[kind], array, records))


class Outbox:
    """Sends one partition's outputs, and leaves out what is already there.

    What was sent before a crash is in the output topics, though the state does not know it. So before the first output
    to a topic the last (source_offset, part) there is read, and nothing up to it is sent again.
    """

    def __init__(self, partition: int, log: OutputLog, end_of_input: Callable[[], int]) -> None:
        self._partition = partition
        self._log = log
        self._end_of_input = end_of_input
        self._last: dict[str, tuple[int, int]] = {}

    def send(self, offset: int, messages: list[tuple[str, int, bytes]]) -> None:
        """Queues the messages that ``offset`` caused, in order; raises DeliveryFailed, LogUnavailable."""
        for topic, part, value in messages:
            if (offset, part) > self._last_in(topic):
                self._log.send(topic, self._partition, value)

    def may_lack(self, topic: str, offset: int) -> bool:
        """Whether the topic may not have everything that ``offset`` caused."""
        return offset >= self._last_in(topic)[0]

    def _last_in(self, topic: str) -> tuple[int, int]:
        """The last (source_offset, part) that was in the topic before this worker sent anything to it."""
        last = self._last.get(topic)
        if last is None:
            last = self._log.last_position(topic, self._partition) or (-1, -1)
            if last[0] >= self._end_of_input():
                raise LogChanged(
                    f"{topic}[{self._partition}] has outputs of input offset {last[0]}, which the input log does not "
                    "have: the input log was restored to an earlier copy, or deleted and made again; or, where that "
                    "output is from before the seals, somebody else wrote it. Else every new charge would be taken for "
                    "one that is there already. docs/operations.md, A log that was restored, says what to do"
                )
            self._last[topic] = last
        return last

"""Compares one output partition with the replay, in one pass, as a reader reads it.

A reader skips a record whose (source_offset, part) is not greater than the last one that it saw. Such doubles are fine
where they have the bytes of what they double; the replay keeps a digest of every output to know.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, NamedTuple

from replay.audit.findings import Difference, Finding, Note
from schemas.batches import read_head
from schemas.codec import Codec
from schemas.errors import Undecodable
from streams.log.protocols import InputLog, Message
from streams.log.seals import SealCheck
from streams.log.source_position import NO_OUTPUT, SourcePosition

DigestOf = Callable[[str, SourcePosition], bytes | None]
"""The digest of what the replay put at a position of a topic; None where it put nothing."""

_BEYOND_ALL = (2**63, 0)


def digest(value: bytes) -> bytes:
    """What is kept of an output to recognise its doubles: 16 bytes."""
    return blake2b(value, digest_size=16).digest()


@dataclass(frozen=True, slots=True)
class Stretch:
    """What is read of one output partition: log offsets, and the position that a reader had seen before them."""

    first: int
    stop: int
    last: SourcePosition = NO_OUTPUT
    is_cut: bool = False
    """Whether records before `first` are gone by retention, so that they cannot be judged."""


class _Taken(NamedTuple):
    offset: int
    position: SourcePosition
    value: bytes


class OutputAudit:
    """Compares one output partition with the expected outputs, passed in order to `expect`; `finish` reports the rest.

    `judged` is the source offset before which everything is judged, `exists` the end of the input log: an output that
    names a message from there on cannot have come from a worker.
    """

    def __init__(
        self, log: InputLog, topic: str, partition: int, stretch: Stretch, bounds: tuple[int, int],
        codec: Codec, seals: SealCheck, digest_of: DigestOf, note: Note, answers: OutputAudit | None = None,
    ) -> None:  # fmt: skip
        """`answers`: the audit of `credits.billed`, for a topic that the version before did not write."""
        self._topic = topic
        self._partition = partition
        self._judged, self._exists = bounds
        self._codec = codec
        self._seals = seals
        self._digest_of = digest_of
        self._note = note
        self._records = iter(log.read(partition, stretch.first, stretch.stop))
        self._stop = stretch.stop
        self._last = self.seen = stretch.last
        self._answers = answers
        self._taken_older = self._taken_current = False
        self.doubles = 0
        self.resume = stretch.stop
        self._head = self._next()
        self.kept_from = NO_OUTPUT
        if stretch.is_cut:
            self.kept_from = _BEYOND_ALL if self._head is None else self._head.position

    def expect(self, position: SourcePosition, value: bytes) -> None:
        """The next output of the replay; its digest must be known already. Notes every difference up to it."""
        while self._head is not None and self._head.position < position:
            self._unexpected(self._head)
            self._advance()
        head = self._head
        if head is not None and head.position == position:
            if head.value != value and not self._is_same_of_before(head.value, value):
                detail = explain_bytes(self._codec, value, head.value)
                self._tell(Finding.DIFFERENT, head.offset, position, detail)
            self._advance()
        elif position >= self.kept_from and not self._was_not_written_before(position, value):
            before = "its end" if head is None else f"offset {head.offset}"
            place = f"{self._topic}[{self._partition}]"
            detail = f"no reader sees this record of {len(value):,} bytes; it belongs before {before}"
            self._note(Difference(Finding.MISSING, place, self._source(position), detail))

    def is_of_before(self, source_offset: int) -> bool:
        """Whether a worker of the version before, which wrote no answers, decided the input message at this offset.

        It did so as long as its records come, and what stands in between; ask as the replay goes on.
        """
        head = self._head
        if self._taken_current or (head is not None and head.position[0] <= source_offset and not self._is_older(head)):
            return False
        return self._taken_older or (head is not None and self._is_older(head))

    def _is_older(self, record: _Taken) -> bool:
        try:
            return self._codec.is_older(record.value)
        except Undecodable:
            return False

    def _is_same_of_before(self, actual: bytes, wanted: bytes) -> bool:
        """Whether the found bytes are an older version's, and say the same as far as it knew."""
        record = self._codec.decode(wanted)[1]
        try:
            # How many parts there are may depend on answers, which the version before did not have.
            parts = read_head(actual).parts
            return self._codec.is_as_written_before(actual, record | {"parts": parts})
        except Undecodable:
            return False

    def _was_not_written_before(self, position: SourcePosition, value: bytes) -> bool:
        """Whether an output is missing because the version before wrote none of its kind: an answer without lines."""
        answers = self._answers or self
        if not answers.is_of_before(position[0]):
            return False
        name, batch = self._codec.decode(value)
        return self._answers is not None or (name == "BilledBatch" and not batch["events"])

    def finish(self) -> None:
        """Reports the remaining records as unexpected, as far as they are judged; checks doubles up to the end."""
        while self._head is not None and self._head.position[0] < self._judged:
            self._unexpected(self._head)
            self._advance()
        self.resume = self._stop if self._head is None else self._head.offset
        while self._head is not None:
            self._head = self._next()

    def _advance(self) -> None:
        if self._head is not None:
            self.seen = self._head.position
            is_older = self._is_older(self._head)
            self._taken_older, self._taken_current = self._taken_older or is_older, self._taken_current or not is_older
        self._head = self._next()

    def _next(self) -> _Taken | None:
        for message in self._records:
            position = self._position(message)
            if position is None:
                continue
            if position > self._last:
                self._last = position
                return _Taken(message.offset, position, message.value)
            self._double(message, position)
        return None

    def _position(self, message: Message) -> SourcePosition | None:
        """Where the record says that it belongs; None, and a difference, where no worker can have written it."""
        if not self._seals.is_ours(self._topic, message):
            wrong = "no seal" if message.seal is None else "a wrong seal"
            self._tell(Finding.UNEXPECTED, message.offset, None, f"a stray record, with {wrong}: every reader skips it")
            return None
        try:
            head = read_head(message.value)
        except Undecodable as error:
            self._tell(Finding.UNEXPECTED, message.offset, None, f"no output of a worker: {error.detail}")
            return None
        position = head.source
        if head.source_partition != self._partition or not 0 <= head.source_offset < self._exists:
            detail = f"it names input [{head.source_partition}]@{head.source_offset}, which does not exist"
            self._tell(Finding.UNEXPECTED, message.offset, position, detail)
            return None
        return position

    def _double(self, message: Message, position: SourcePosition) -> None:
        if position[0] >= self._judged or position < self.kept_from:
            return
        known = self._digest_of(self._topic, position)
        if known is None:
            self._tell(Finding.UNEXPECTED, message.offset, position, "nothing of this name comes from the input log")
        elif known != digest(message.value) and not self._codec.is_older(message.value):
            detail = "readers skip it as seen before, yet its bytes are not those of what it doubles"
            self._tell(Finding.DIFFERENT, message.offset, position, detail)
        else:
            self.doubles += 1

    def _unexpected(self, head: _Taken) -> None:
        self._tell(Finding.UNEXPECTED, head.offset, head.position, "nothing of this name comes from the input log")

    def _tell(self, finding: Finding, offset: int, position: SourcePosition | None, detail: str) -> None:
        place = f"{self._topic}[{self._partition}]@{offset}"
        self._note(Difference(finding, place, None if position is None else self._source(position), detail))

    def _source(self, position: SourcePosition) -> str:
        return f"{self._partition}@{position[0]}/{position[1]}"


def explain_bytes(codec: Codec, wanted: bytes, actual_bytes: bytes) -> str:
    """Which item and field differ, where the actual bytes can be read; else the first byte that differs."""
    try:
        (name, expected), (other, actual) = codec.decode(wanted), codec.decode(actual_bytes)
    except Undecodable as error:
        at = next((n for n, (a, b) in enumerate(zip(wanted, actual_bytes, strict=False)) if a != b), len(actual_bytes))
        return f"cannot be read ({error.detail}); its bytes part from the replay's at byte {at}"
    if name != other:
        return f"it is a {other}, and should be a {name}"
    for field, value in expected.items():
        if isinstance(value, list):
            sentence = _explain_items(field, value, actual[field])
        else:
            sentence = "" if value == actual[field] else _changed(field, value, actual[field])
        if sentence:
            return sentence
    return "the same content in other bytes (another encoding, or another order)"


def _explain_items(field: str, expected: list[Any], actual: list[Any]) -> str:
    for number, (wanted, actual_item) in enumerate(zip(expected, actual, strict=False)):
        changes = [
            _changed(name, wanted[name], actual_item[name]) for name in wanted if wanted[name] != actual_item[name]
        ]
        if changes:
            return f"{field}[{number}] ({name_of(wanted)}): {'; '.join(changes)}"
    return "" if len(expected) == len(actual) else f"{len(actual)} {field}, and should be {len(expected)}"


def name_of(item: dict[str, Any]) -> str:
    """An item's ids for people: account_id=acme event_id=e-1 line=0."""
    ids = ("account_id", "event_id", "line", "refund_id", "grant_id", "kind", "status", "reason", "id", "index")
    return " ".join(f"{name}={item[name]}" for name in ids if item.get(name) is not None)


def _changed(field: str, wanted: Any, actual: Any) -> str:
    return f"{field} is {_short(actual)}, should be {_short(wanted)}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:117]}..."

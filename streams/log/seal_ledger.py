"""The ledger of seals: which key seals the outputs, and from which offsets on.

It is a topic of its own, `<prefix>.seals`, kept for ever. Its first record is written by the first process that knows
seals: it names the key and where each output partition ended then, before which records count without a seal (a new
pipeline's partitions are empty: nothing does). A rotation of the key adds one more, with the ends at that moment. So
every reader, on any machine, knows which records of the past to believe, and none after the noted offset.

A record here is JSON, sealed with the key that it names.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from streams.log.protocols import LogError, LostPrefix
from streams.log.seals import Era, Sealer, key_id

if TYPE_CHECKING:
    from streams.log.protocols import InputLog, Message
    from streams.log.topics import TopicNames

logger = logging.getLogger(__name__)

FORMAT = 1
Ends = Mapping[tuple[str, int], int]


class SealKeyWrong(LogError):
    """The configured key is not the one that the ledger names; the message says what to do."""


@dataclass(frozen=True, slots=True)
class SealSettings:
    """The keys as they are configured; none: the input topic's id is the key."""

    key: bytes | None = None
    earlier: tuple[bytes, ...] = ()

    def for_log(self, log_id: str) -> SealKeys:
        """The keys of the pipeline whose input topic has this id."""
        return SealKeys(log_id, self.key, self.earlier)


@dataclass(frozen=True, slots=True)
class SealKeys:
    """The configured keys. `log_id` is the input topic's id, which is the key where none is configured."""

    log_id: str
    key: bytes | None = None
    earlier: Sequence[bytes] = ()

    @property
    def present(self) -> bytes:
        """What new records are sealed with."""
        return self.key or self.log_id.encode()

    def by_id(self) -> dict[str, bytes]:
        """Every key that a record may have been sealed with."""
        return {key_id(key): key for key in (self.present, *self.earlier, self.log_id.encode())}


@dataclass(frozen=True, slots=True)
class Note:
    """One record of the ledger: from `ends` on, outputs are sealed with the key of this id."""

    offset: int
    key: str
    log_id: str
    ends: Ends

    def as_bytes(self) -> bytes:
        ends: dict[str, dict[str, int]] = {}
        for (topic, partition), end in sorted(self.ends.items()):
            ends.setdefault(topic, {})[str(partition)] = end
        return json.dumps({"format": FORMAT, "key": self.key, "log_id": self.log_id, "ends": ends}).encode()


class SealLedger:
    """Reads the ledger, and is the `SealCheck` of one pipeline's readers.

    A record that does not count is not called stray before the ledger was looked at again: a key may have been rotated
    since.
    """

    def __init__(self, names: TopicNames, keys: SealKeys, ledger: InputLog) -> None:
        """Reads the ledger. Raises SealKeyWrong, LogError."""
        self._topic = names.seals
        self._always_sealed = names.access, names.deliveries
        self._keys = keys
        self._ledger = ledger
        self._end = -1
        self._lock = threading.Lock()
        self._sealer = Sealer(keys.present)
        self.notes: list[Note] = []
        self.refresh()

    @property
    def sealer(self) -> Sealer:
        """What a worker seals with: the ledger's last key. Raises SealKeyWrong where another one is configured."""
        if not self.notes or self.notes[-1].key != key_id(self._keys.present):
            raise self._other_key(self.notes[-1] if self.notes else None)
        return self._sealer

    @property
    def access_sealer(self) -> Sealer:
        """What the topics of access and deliveries are sealed with, from their first record on.

        Raises SealKeyWrong, LogError.
        """
        self.refresh()
        return self.sealer if self.notes else self._sealer

    def is_ours(self, topic: str, message: Message) -> bool:
        return self._counts(topic, message) or (self.refresh() and self._counts(topic, message))

    def refresh(self) -> bool:
        """Reads what has been added to the ledger; whether there was anything. Raises SealKeyWrong, LogError."""
        with self._lock:
            return self._refresh()

    def _refresh(self) -> bool:
        first, end = self._ledger.bounds(0)
        if first > 0:
            raise LostPrefix(
                f"{self._topic}[0]: offsets before {first} are deleted, and with them which output records count; "
                "set the topic's retention.ms to -1 and see docs/operations.md, Seals"
            )
        if end == self._end:
            return False
        for message in self._ledger.read(0, max(0, self._end), end):
            self._add(message)
        self._end = end
        if self.notes:
            self._sealer = self._noted()
        return True

    def _counts(self, topic: str, message: Message) -> bool:
        if not self.notes and topic not in self._always_sealed:  # no process that knows seals has written yet
            return True
        return self._sealer.is_ours(topic, message)

    def _add(self, message: Message) -> None:
        place = f"{self._topic}[0]@{message.offset}"
        note = _read(message)
        if note is None:
            logger.warning("%s: not a note of seals: skipped; find out who else may write to this topic", place)
            return
        key = self._keys.by_id().get(note.key)
        if note.log_id != self._keys.log_id:
            raise SealKeyWrong(
                f"{place}: the outputs are those of an earlier input topic (id {note.log_id}, now "
                f"{self._keys.log_id}): it was deleted and made again. To begin anew, delete the output topics and "
                f"{self._topic} too, or choose another topic_prefix"
            )
        if key is None:
            raise self._other_key(note)
        if not Sealer(key).is_ours(self._topic, message):
            logger.warning("%s: a note with a wrong seal: skipped; find out who else may write to this topic", place)
        elif not self.notes or self.notes[-1].key != note.key:  # else two processes began at once: the first counts
            self.notes.append(note)

    def _noted(self) -> Sealer:
        """As the ledger says; the key of before the first note is none."""
        keys = self._keys.by_id()
        before = [None, *(keys[note.key] for note in self.notes[:-1])]
        eras = [Era(note.ends, key) for note, key in zip(self.notes, before, strict=True)]
        return Sealer(keys[self.notes[-1].key], eras)

    def _other_key(self, note: Note | None) -> SealKeyWrong:
        if note is None:
            return SealKeyWrong(f"{self._topic}[0]: nothing is noted yet: start a worker first")
        configured = "seal_key" if self._keys.key is not None else "the input topic's id, as no seal_key is configured"
        return SealKeyWrong(
            f"{self._topic}[0]@{note.offset}: the outputs are sealed with another key (id {note.key}) than the "
            f"configured one ({configured}, id {key_id(self._keys.present)}). Configure that key; where it was changed "
            "on purpose, give the old one in seal_keys_before, and with every worker and loader stopped run "
            "`creditmeter seal rotate`"
        )


def note_of(keys: SealKeys, ends: Ends) -> bytes:
    """The ledger's next record: from these ends on, outputs are sealed with the configured key."""
    return Note(-1, key_id(keys.present), keys.log_id, ends).as_bytes()


def _read(message: Message) -> Note | None:
    try:
        data: dict[str, Any] = json.loads(message.value)
        if data["format"] != FORMAT:
            return None
        ends = {(topic, int(p)): int(end) for topic, ends in data["ends"].items() for p, end in ends.items()}
        return Note(message.offset, str(data["key"]), str(data["log_id"]), ends)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None

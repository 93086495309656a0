"""Seals: which records of the output topics were written by this pipeline (SPEC 5, "Only what is ours counts").

Anybody who may write to a topic can put a well-formed batch there. So every output record carries a header `seal`, 16
bytes of BLAKE2b over topic, partition and value, keyed with the pipeline's key; whoever reads an output topic believes
nothing of a record without the right one.
"""

from __future__ import annotations

import logging
from hashlib import blake2b
from hmac import compare_digest
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from streams.log.protocols import HeldBack, Message, RecordLog

SEAL_HEADER = "seal"
SEAL_BYTES = 16
LONGEST_KEY = 64
"""Bytes of a key: what BLAKE2b takes."""

logger = logging.getLogger(__name__)


class Era(NamedTuple):
    """A time before the present key. `ends`: by topic and partition, the offset that it ended before."""

    ends: Mapping[tuple[str, int], int]
    key: bytes | None
    """The key of that time; None before the pipeline had seals: then every record counts."""


class SealCheck(Protocol):
    """Tells the pipeline's own output records from stray ones."""

    def is_ours(self, topic: str, message: Message) -> bool:
        """Whether the record counts. Raises LogError where that cannot be known."""
        ...


class Sealer:
    """Makes and checks seals with one key. `earlier`: the eras before it, oldest first."""

    def __init__(self, key: bytes, earlier: Sequence[Era] = ()) -> None:
        """Raises ValueError for a key that is not 1 to 64 bytes long."""
        check_key(key)
        self._key = key
        self._earlier = list(earlier)
        self._hashes: dict[tuple[bytes, str, int], blake2b] = {}

    def seal(self, topic: str, partition: int, value: bytes) -> bytes:
        """The 16 bytes of the record's header `seal`.

        BLAKE2b of the topic's name, a zero byte, the partition as four bytes (big-endian) and the value.
        """
        return self._seal(self._key, topic, partition, value)

    def is_ours(self, topic: str, message: Message) -> bool:
        """Whether the record has the seal that its place asks for."""
        place = (topic, message.partition)
        key: bytes | None = self._key
        for era in self._earlier:
            if message.offset < era.ends.get(place, 0):
                key = era.key
                break
        if key is None:
            return True
        return message.seal is not None and compare_digest(message.seal, self._seal(key, *place, message.value))

    def _seal(self, key: bytes, topic: str, partition: int, value: bytes) -> bytes:
        begun = self._hashes.get((key, topic, partition))
        if begun is None:  # what every record of a partition shares is hashed once
            begun = blake2b(topic.encode() + b"\0" + partition.to_bytes(4, "big"), digest_size=SEAL_BYTES, key=key)
            self._hashes[key, topic, partition] = begun
        whole = begun.copy()
        whole.update(value)
        return whole.digest()


def check_key(key: bytes) -> None:
    """Raises ValueError for a key that is not 1 to 64 bytes long."""
    if not 1 <= len(key) <= LONGEST_KEY:
        raise ValueError(f"a seal key has 1 to {LONGEST_KEY} bytes, this one {len(key)}")


def key_id(key: bytes) -> str:
    """A name for a key that reveals nothing of it."""
    return blake2b(b"id of a seal key", digest_size=8, key=key).hexdigest()


class SealedLog:
    """An output topic as its readers take it: stray records are logged, once each, and skipped."""

    def __init__(self, log_: RecordLog, topic: str, seals: SealCheck) -> None:
        self._log = log_
        self._topic = topic
        self._seals = seals
        self._reported: set[tuple[int, int]] = set()

    def bounds(self, partition: int) -> tuple[int, int]:
        return self._log.bounds(partition)

    def _counts(self, message: Message) -> bool:
        if self._seals.is_ours(self._topic, message):
            return True
        place = message.partition, message.offset
        if place not in self._reported:
            self._reported.add(place)
            logger.warning("%s", stray(self._topic, message))
        return False

    def read(self, partition: int, first: int, stop: int) -> Iterator[Message]:
        for message in self._log.read(partition, first, stop):
            if self._counts(message):
                yield message

    def read_with_headers(self, partition: int, first: int, stop: int) -> Iterator[tuple[Message, Mapping[str, bytes]]]:
        for message, headers in self._log.read_with_headers(partition, first, stop):
            if self._counts(message):
                yield message, headers

    def held_back(self, partition: int) -> HeldBack:
        return self._log.held_back(partition)

    def offset_at(self, partition: int, timestamp: int) -> int:
        return self._log.offset_at(partition, timestamp)


def stray(topic: str, message: Message) -> str:
    """What to say of a stray record: its place, and what to do."""
    wrong = "without a seal" if message.seal is None else "with a wrong seal"
    return (
        f"{topic}[{message.partition}]@{message.offset}: a stray record {wrong}, not written by this pipeline's "
        "workers: it is skipped and counts nowhere. Find out who else may write to this topic (docs/operations.md, "
        "Stray records)"
    )

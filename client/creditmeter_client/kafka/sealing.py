"""Which output records are the pipeline's own: seals, and the ledger that says which key counts from where on.

Anybody who may write to a topic can put a well-formed batch there (docs/operations.md, Seals).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from hmac import compare_digest
from typing import Any

logger = logging.getLogger(__name__)

SEAL = "seal"
_BYTES = 16


class WrongSealKey(ValueError):
    """The keys given are not those of this pipeline; the message says which are missing."""


@dataclass(frozen=True)
class LedgerNote:
    """From `ends` on (the next offset by topic and partition) records are sealed with the key of this id."""

    key: str
    ends: Mapping[str, Mapping[str, int]]


def key_id(key: bytes) -> str:
    """The name of a key in the ledger."""
    return blake2b(b"id of a seal key", digest_size=8, key=key).hexdigest()


def seal_of(key: bytes, topic: str, partition: int, value: bytes) -> bytes:
    """BLAKE2b of the topic's name, a zero byte, the partition as four bytes (big-endian) and the value."""
    place = topic.encode() + b"\0" + partition.to_bytes(4, "big")
    return blake2b(place + value, digest_size=_BYTES, key=key).digest()


class Seals:
    """Checks seals. `keys`: the present key and the earlier ones; the input topic's id is always among them."""

    def __init__(self, keys: Sequence[bytes], log_id: str, ledger_topic: str) -> None:
        self._keys = {key_id(key): key for key in (*keys, log_id.encode())}
        self._ledger_topic = ledger_topic
        self._notes: list[LedgerNote] = []

    def add_note(self, value: bytes, seal: bytes | None) -> None:
        """The next record of the ledger; one that is not the pipeline's is skipped. Raises WrongSealKey."""
        try:
            data: dict[str, Any] = json.loads(value)
            note = LedgerNote(str(data["key"]), data["ends"])
        except (ValueError, TypeError, KeyError):
            logger.warning("%s: a record that is no note is skipped", self._ledger_topic)
            return
        key = self._keys.get(note.key)
        if key is None:
            raise WrongSealKey(
                f"{self._ledger_topic}: outputs are sealed with a key (id {note.key}) that was not given: "
                "seal_keys has to hold the pipeline's seal_key, and its earlier ones if it was rotated"
            )
        if seal is None or not compare_digest(seal, seal_of(key, self._ledger_topic, 0, value)):
            logger.warning("%s: a note with a wrong seal is skipped", self._ledger_topic)
        elif not self._notes or self._notes[-1].key != note.key:
            self._notes.append(note)

    def is_ours(self, topic: str, partition: int, offset: int, value: bytes, seal: bytes | None) -> bool:
        """Whether a record counts. Before the first note every record does."""
        key_name: str | None = None
        for note in self._notes:
            if offset < int(note.ends.get(topic, {}).get(str(partition), 0)):
                break
            key_name = note.key
        if key_name is None:
            return True
        return seal is not None and compare_digest(seal, seal_of(self._keys[key_name], topic, partition, value))

"""The store of accounts' states as the state machine sees it: keys, plain values, atomic writes.

Keys are bytes: one letter for the table, the account (length first, so that any text is safe), then the row's own id.
Values are plain data (integers, strings, bytes, lists, dictionaries, None) and are never changed after a write.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, Protocol

Value = Any

ACCOUNT: Final = b"a"
EVENT: Final = b"e"
HOLD: Final = b"h"
CLAIM: Final = b"c"
COMMAND_ID: Final = b"i"
"""The tables. What a row holds (times in ms; offset, index and digest tell where the command stood and what it held,
None where they are not known):

- ACCOUNT: `metering.account.Account.packed`
- EVENT, by event_id: [occurred_at, charged lines as `metering.refunds` lists them, offset, index, digest]; a row of the
  first format ends after the first or the second of these
- HOLD, by hold_id: [held_at, offset, index, digest], whatever became of the hold; open ones are in the account's row
- CLAIM, by charge and subject: owners as `metering.claims` lists them
- COMMAND_ID, by the kind of command and its id: [offset, index, digest]; 1 in the first format
"""
BOOK_KEY: Final = b"b"
"""The price book in force: {book_id, yaml, published_at}."""


class Store(Protocol):
    """A key-value store with ordered scans. Implementations: `MemoryStore`, and RocksDB in ``streams``."""

    def get(self, key: bytes) -> Value | None:
        """The value under ``key``, or None."""

    def scan(self, prefix: bytes, after: bytes = b"") -> Iterator[tuple[bytes, Value]]:
        """Rows whose key begins with ``prefix`` and is greater than ``after``, in byte order."""

    def write(self, changes: Mapping[bytes, Value | None]) -> None:
        """Writes all changes or none; None deletes."""


def account_prefix(account_id: str) -> bytes:
    """The account's part of a key: two bytes of length, then its UTF-8."""
    text = account_id.encode()
    return len(text).to_bytes(2, "big") + text


def event_key(account_id: str, event_id: str) -> bytes:
    """The key of an accepted event's row."""
    return EVENT + account_prefix(account_id) + event_id.encode()


def key_parts(key: bytes) -> tuple[bytes, bytes]:
    """The account's part of a row's key, as `account_prefix` makes it, and the row's own part behind it."""
    end = 3 + int.from_bytes(key[1:3], "big")
    return key[1:end], key[end:]


def account_id_of(prefix: bytes) -> str:
    """The account of an `account_prefix`; bytes that are no UTF-8 are replaced."""
    return prefix[2:].decode("utf-8", "replace")


def pack_texts(*texts: str) -> bytes:
    """An unambiguous, order-keeping join of any texts, for the tail of a key."""
    return b"".join(len(raw).to_bytes(4, "big") + raw for raw in (text.encode() for text in texts))


def unpack_texts(packed: bytes) -> list[str]:
    """The texts that `pack_texts` joined."""
    texts, at = [], 0
    while at < len(packed):
        end = at + 4 + int.from_bytes(packed[at : at + 4], "big")
        texts.append(packed[at + 4 : end].decode())
        at = end
    return texts


class MemoryStore:
    """The in-memory store: used by ``rate``, by tests and by simulations.

    Rows are grouped by table and account, so that a scan of one account costs no more than that account.
    """

    def __init__(self) -> None:
        self._groups: dict[bytes, dict[bytes, Value]] = {}

    def get(self, key: bytes) -> Value | None:
        group = self._groups.get(_group_of(key))
        return None if group is None else group.get(key)

    def scan(self, prefix: bytes, after: bytes = b"") -> Iterator[tuple[bytes, Value]]:
        group = self._groups.get(prefix)
        groups = [group] if group is not None else list(self._groups.values())
        rows = [(key, rows[key]) for rows in groups for key in rows if key > after and key.startswith(prefix)]
        return iter(sorted(rows, key=lambda row: row[0]))

    def write(self, changes: Mapping[bytes, Value | None]) -> None:
        for key, value in changes.items():
            name = _group_of(key)
            if value is not None:
                self._groups.setdefault(name, {})[key] = value
                continue
            group = self._groups.get(name)
            if group is not None and group.pop(key, None) is not None and not group:
                del self._groups[name]

    def __len__(self) -> int:
        """How many rows are kept."""
        return sum(len(group) for group in self._groups.values())


def _group_of(key: bytes) -> bytes:
    """Table letter and account of a key; the whole key for rows that belong to no account."""
    return key[: 3 + int.from_bytes(key[1:3], "big")]

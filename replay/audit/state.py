"""Compares a worker's own state with the replay, row by row.

Clean-up removes rows that can no longer matter, at no fixed time. So rows that lie before an account's floor are left
out on both sides.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from metering.account import BEGINNING, Account
from metering.cleanup import is_same_row, live_rows
from metering.store import ACCOUNT, BOOK_KEY, CLAIM, COMMAND_ID, EVENT, HOLD, Store, account_id_of, key_parts
from replay.audit.findings import Difference, Finding, Note

_TABLES = {
    ACCOUNT: "account",
    COMMAND_ID: "command id",
    EVENT: "event",
    HOLD: "hold",
    CLAIM: "claim",
    BOOK_KEY: "price book",
}

Rows = Iterator[tuple[bytes, Any]]


class ReadableState(Protocol):
    """A state at rest: the last offset applied, and its rows in order of key."""

    @property
    def applied(self) -> int: ...

    def scan(self, prefix: bytes, after: bytes = b"") -> Rows: ...

    def close(self) -> None: ...


def compare_states(replayed: Store, state: ReadableState, place: str, note: Note) -> int:
    """Notes every row that differs; returns how many rows are the same. `place` names the state for people."""
    same = 0
    accounts = _Accounts(replayed)
    for prefix, table in _TABLES.items():
        wanted = live_rows(prefix, replayed.scan(prefix), accounts.floor_of, accounts.is_open)
        actual_rows = live_rows(prefix, state.scan(prefix), accounts.floor_of, accounts.is_open)
        for key, expected, actual in _paired(wanted, actual_rows):
            if is_same_row(prefix, expected, actual):
                same += 1
                continue
            what = Finding.MISSING if actual is None else Finding.UNEXPECTED if expected is None else Finding.DIFFERENT
            detail = f"it is {_short(actual)}, should be {_short(expected)}"
            note(Difference(what, f"{place} {table} {_readable(key)}", None, detail))
    return same


class _Accounts:
    """By the replay: the time before which an account can accept no event any more, and which of its holds are open."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._last: tuple[bytes, Account | None] = (b"", None)

    def floor_of(self, key: bytes) -> int:
        account = self._account(key)
        return BEGINNING if account is None else account.floor

    def is_open(self, key: bytes) -> bool:
        account = self._account(key)
        return account is not None and key_parts(key)[1].decode() in account.holds.by_id

    def _account(self, key: bytes) -> Account | None:
        """The account that a key belongs to; None for one that the replay does not know."""
        owner, _ = key_parts(key)
        if owner != self._last[0]:
            row = self._store.get(ACCOUNT + owner)
            self._last = (owner, None if row is None else Account(account_id_of(owner), row))
        return self._last[1]


def _paired(wanted: Rows, actual: Rows) -> Iterator[tuple[bytes, Any, Any]]:
    """Both sides by key, in order: (key, expected or None, actual or None)."""
    left, right = next(wanted, None), next(actual, None)
    while left is not None or right is not None:
        if left is not None and (right is None or left[0] < right[0]):
            yield left[0], left[1], None
            left = next(wanted, None)
        elif right is not None and (left is None or right[0] < left[0]):
            yield right[0], None, right[1]
            right = next(actual, None)
        elif left is not None and right is not None:
            yield left[0], left[1], right[1]
            left, right = next(wanted, None), next(actual, None)


def _readable(key: bytes) -> str:
    owner, own = key_parts(key)
    text = account_id_of(owner)
    return f"{text} {own!r}" if own else text


def _short(value: Any) -> str:
    if value is None:
        return "absent"
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:197]}..."

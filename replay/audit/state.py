"""A worker's own state held against the replay: what both must remember is the same, row by row.

Clean-up removes rows that can never matter again, and when it does so is no part of what is true. So what is forgotten
by the account's floor is left out on both sides.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Protocol

from metering.claims import is_forgotten
from metering.store import ACCOUNT, BOOK_KEY, CLAIM, COMMAND_ID, EVENT, Store
from replay.audit.findings import Difference, Finding, Note

_TABLES = {ACCOUNT: "account", COMMAND_ID: "command id", EVENT: "event", CLAIM: "claim", BOOK_KEY: "price book"}

Rows = Iterator[tuple[bytes, Any]]


class ReadableState(Protocol):
    """A state at rest: the last offset applied, and its rows in order of key."""

    @property
    def applied(self) -> int: ...

    def scan(self, prefix: bytes, after: bytes = b"") -> Rows: ...

    def close(self) -> None: ...


def compare_states(replayed: Store, found: ReadableState, place: str, note: Note) -> int:
    """Notes every row that differs; gives how many rows are the same. `place` names the state for people."""
    same = 0
    floors = _Floors(replayed)
    for prefix, table in _TABLES.items():
        wanted = _live(prefix, replayed.scan(prefix), floors)
        for key, expected, actual in _paired(wanted, _live(prefix, found.scan(prefix), floors)):
            if expected == actual:
                same += 1
                continue
            what = Finding.MISSING if actual is None else Finding.UNEXPECTED if expected is None else Finding.DIFFERENT
            detail = f"it is {_short(actual)}, should be {_short(expected)}"
            note(Difference(what, f"{place} {table} {_readable(key)}", None, detail))
    return same


class _Floors:
    """The time before which an account can accept no event any more, by the replay."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._last: tuple[bytes, int] = (b"", 0)

    def of(self, key: bytes) -> int:
        end = 3 + int.from_bytes(key[1:3], "big")
        owner = key[1:end]
        if owner != self._last[0]:
            row = self._store.get(ACCOUNT + owner)
            self._last = (owner, row[1] if row is not None else -(2**63))
        return self._last[1]


def _live(prefix: bytes, rows: Iterable[tuple[bytes, Any]], floors: _Floors) -> Rows:
    """The rows without what clean-up takes away sooner or later."""
    for key, value in rows:
        if prefix == ACCOUNT:
            stream_time, floor, _swept_at, *settings, balances = value
            kept = {
                name: [debt, [g for g in grants if _matters(g, floor)]] for name, (debt, grants) in balances.items()
            }
            yield key, [stream_time, floor, *settings, kept]
        elif prefix == EVENT:
            if value[0] >= floors.of(key):
                yield key, value
        elif prefix == CLAIM:
            owners = [owner for owner in value if not is_forgotten(owner, floors.of(key))]
            if owners:
                yield key, owners
        else:
            yield key, value


def _matters(grant: list[Any], floor: int) -> bool:
    """Whether clean-up has to keep a packed grant: a used-up one that nothing can be returned to may go."""
    expires_at, _arrival, _grant_id, left, _reason, drawn_until = grant
    return bool(left) or expires_at is not None or drawn_until >= floor


def _paired(wanted: Rows, found: Rows) -> Iterator[tuple[bytes, Any, Any]]:
    """Both sides by key, in order: (key, expected or None, found or None)."""
    left, right = next(wanted, None), next(found, None)
    while left is not None or right is not None:
        if left is not None and (right is None or left[0] < right[0]):
            yield left[0], left[1], None
            left = next(wanted, None)
        elif right is not None and (left is None or right[0] < left[0]):
            yield right[0], None, right[1]
            right = next(found, None)
        elif left is not None and right is not None:
            yield left[0], left[1], right[1]
            left, right = next(wanted, None), next(found, None)


def _readable(key: bytes) -> str:
    end = 3 + int.from_bytes(key[1:3], "big")
    text = key[3:end].decode("utf-8", "replace")
    return f"{text} {key[end:]!r}" if key[end:] else text


def _short(value: Any) -> str:
    if value is None:
        return "absent"
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:197]}..."

"""Rehearses a command: applies it to a copy of the state, which is thrown away.

Explanations, estimates and dry runs so get the machine's own answer, not one of their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple, NoReturn

from metering.book import Book
from metering.machine import apply
from metering.records import Output, Record
from metering.state import State
from metering.store import ACCOUNT, BOOK_KEY, Value


class Rehearsal(NamedTuple):
    """What the command would cause, and the state as it would leave it."""

    outputs: list[Output]
    state: State


def rehearse(state: State, command: str, record: Record, recorded_at: int, digest: bytes | None = None) -> Rehearsal:
    """Applies one command to a copy of ``state``, which stays as it is; arguments as those of `machine.apply`.

    ``record`` may be changed in place to its plain form. The copy is valid until ``state`` changes.
    """
    copy = State(_Seen(state), lambda yaml: _read(state, yaml))
    return Rehearsal(apply(copy, command, record, recorded_at, digest=digest), copy)


def _read(state: State, yaml: str) -> Book:
    """The book in force is not read again; any other text is the command that is rehearsed."""
    kept = state.get(BOOK_KEY)
    if state.book is not None and kept is not None and kept["yaml"] == yaml:
        return state.book
    return state.read_book(yaml)


class _Seen:
    """A state that serves as the store of another one, read-only: everything decided so far."""

    def __init__(self, state: State) -> None:
        self._state = state

    def get(self, key: bytes) -> Value | None:
        if key[:1] == ACCOUNT:  # accounts are changed in place, so that their rows are older than they are
            return self._state.account(key[3:].decode()).packed()
        return self._state.get(key)

    def scan(self, prefix: bytes, after: bytes = b"") -> Iterator[tuple[bytes, Value]]:
        self._refuse(f"scanned from {max(prefix, after)!r}")

    def write(self, changes: Mapping[bytes, Value | None]) -> None:
        self._refuse(f"written to ({len(changes)} rows)")

    def _refuse(self, what: str) -> NoReturn:
        raise RuntimeError(f"the state under a rehearsal was to be {what}")

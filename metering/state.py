"""The overlay that the state machine works on: a store as it would be if everything decided so far were written.

Nothing reaches the store until its owner writes `State.changes()`; what a crash before that loses is decided again from
the log.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, Final, Protocol

from metering.account import Account
from metering.book import DEFAULT_LIMITS, Book
from metering.book_fields import UnusableBook
from metering.records import Record
from metering.store import BOOK_KEY, Store, Value

ReadBook = Callable[[str], Book]
"""Reads a price book's YAML; raises ValueError (all mistakes in it). Lives outside: this package reads no YAML."""


class Packing(Protocol):
    """How a store packs its values. They come back equal, tuples as lists."""

    @property
    def pack(self) -> Callable[[Value], bytes]: ...

    @property
    def unpack(self) -> Callable[[bytes], Value]: ...


ACCOUNTS_AT_HAND: Final = 20_000
"""Live accounts kept between two writes."""


class State:
    """State of one partition (or one file): a `Store`, and over it the changes not written yet.

    ``packing``: how the store packs its values; then `changes` gives them packed. Packed as soon as they are put, they
    take no second look and less memory. Not safe after an exception other than those it documents: throw the State
    away and build it anew.
    """

    def __init__(self, store: Store, read_book: ReadBook | None = None, packing: Packing | None = None) -> None:
        self.store = store
        self._read_book = read_book
        self._pack = None if packing is None else packing.pack
        self._unpack = None if packing is None else packing.unpack
        self._changes: dict[bytes, Any] = {}
        self._accounts: dict[str, Account] = {}
        self._touched: set[str] = set()
        # How late an event may come and how far ahead of the log's clock a command's time may be (ms), by the book in
        # force. Plain attributes, since they are asked for with every event.
        self.accept_window, self.future_skew = DEFAULT_LIMITS
        self.book: Book | None = None
        self.book_id: str | None = None
        kept = store.get(BOOK_KEY)
        if kept is not None:
            self._put_in_force(kept["book_id"], self._read_kept_book(kept["yaml"]))

    def get(self, key: bytes) -> Value | None:
        """The value under ``key`` as everything decided so far leaves it."""
        if key not in self._changes:
            return self.store.get(key)
        value = self._changes[key]
        return value if value is None or self._unpack is None else self._unpack(value)

    def put(self, key: bytes, value: Value | None) -> None:
        """Sets the value under ``key``; None deletes."""
        self._changes[key] = value if value is None or self._pack is None else self._pack(value)

    def account(self, account_id: str) -> Account:
        """The live account, to be changed in place only after `touch`."""
        account = self._accounts.get(account_id)
        if account is None:
            account = Account(account_id)
            packed = self.store.get(account.key)
            if packed is not None:
                account = Account(account_id, packed)
            self._accounts[account_id] = account
        return account

    def event(self, account_id: str, event_id: str) -> Value | None:
        """The row of an accepted event, as `metering.store` describes it; None where its id is not remembered."""
        return self.get(self.account(account_id).event_prefix + event_id.encode())

    def touch(self, account_id: str) -> None:
        """Marks the account's row to be written."""
        self._touched.add(account_id)

    @property
    def touched(self) -> set[str]:
        """Accounts changed since the last write."""
        return self._touched

    def is_changed(self, key: bytes) -> bool:
        """Whether ``key`` was put since the last write."""
        return key in self._changes

    def read_book(self, yaml: str) -> Book:
        """Reads a book's text; raises ValueError with every mistake."""
        if self._read_book is None:
            raise RuntimeError("this State was made without a reader of price books")
        return self._read_book(yaml)

    def _read_kept_book(self, yaml: str) -> Book:
        """As `read_book`; a book that an earlier version put in force under wider bounds stays in force."""
        try:
            return self.read_book(yaml)
        except UnusableBook as error:
            if error.book is None:
                raise
            return error.book

    def publish(self, book_id: str, book: Book, record: Record) -> None:
        """Puts a book in force for every command that stands behind it."""
        self._put_in_force(book_id, book)
        kept: dict[str, Any] = {"book_id": book_id, "yaml": record["yaml"], "published_at": record["published_at"]}
        self.put(BOOK_KEY, kept)

    def changes(self) -> dict[bytes, Any]:
        """Everything to be written: rows put, and the rows of accounts touched; packed where the state has a packing.

        None deletes.
        """
        for account_id in self._touched:
            account = self._accounts[account_id]
            self.put(account.key, account.packed())
        return self._changes

    def commit(self) -> None:
        """Forgets the changes, which the caller has written."""
        self._changes = {}
        self._touched.clear()
        if len(self._accounts) > ACCOUNTS_AT_HAND:
            self._accounts.clear()

    def _put_in_force(self, book_id: str, book: Book) -> None:
        self.book_id = book_id
        self.book = book
        self.accept_window, self.future_skew = book.accept_window, book.future_skew


def book_id_of(yaml: str) -> str:
    """A book's id: the SHA-256 of its text, in hex."""
    return hashlib.sha256(yaml.encode()).hexdigest()

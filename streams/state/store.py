"""A partition's state: a store of small values with the last applied offset written together with the changes.

`rocks` holds the implementation on disk; `MemoryState` is its twin for tests and the crash simulation.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

import msgpack

from metering.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from metering.store import Value

RESERVED = b"\x00"
NOTHING_APPLIED = -1


class StateError(Exception):
    """The state on disk cannot be used; the message names the folder and what to do. The input log has everything."""


class LastMessage(NamedTuple):
    """The last input message that a state has applied: by it the state recognises its log."""

    offset: int
    digest: bytes
    """See `streams.state.same_log.digest_of`."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Which log a state was made from.

    `log_id` is the id that Kafka gave the input topic, or None where it is not known (then it is not compared). It
    tells a topic that was deleted and made again, with offsets from 0, from the one that the state was made from.
    """

    topic: str
    partition: int
    log_id: str | None = None


class StateStore(Store, Protocol):
    """A `Store` that remembers how far the log is in it. Used by one thread at a time.

    Keys that begin with a zero byte are the store's own. Values come back equal to what was put, tuples as lists. It is
    the `Packing` of a `State` over it.
    """

    @property
    def pack(self) -> Callable[[Value], bytes]:
        """Packs a value for `commit_packed`."""
        ...

    @property
    def unpack(self) -> Callable[[bytes], Value]:
        """The value again."""
        ...

    @property
    def applied(self) -> int:
        """The last source offset whose changes are in the store; -1 for none."""
        ...

    @property
    def last_message(self) -> LastMessage | None:
        """The last input message whose changes are in the store; None for none, and where an older version wrote it."""
        ...

    def commit(
        self, changes: Mapping[bytes, Value | None], applied: int, last_message: LastMessage | None = None
    ) -> None:
        """Write the changes (None deletes), the offset and the message: all or nothing, whatever happens meanwhile.

        `last_message` None keeps the one before: the applied offsets held no further record. Raises StateError when the
        store cannot be written, ValueError when `applied` would go back or a key is the store's own.
        """
        ...

    def commit_packed(
        self, changes: Mapping[bytes, bytes | None], applied: int, last_message: LastMessage | None = None
    ) -> None:
        """As `commit`, of values that `pack` gave."""
        ...

    def close(self) -> None:
        """End; iterators from `scan` end with it. Closing twice does nothing."""
        ...


def check_key(key: bytes) -> None:
    """Raise ValueError for a key that is the store's own."""
    if key[:1] == RESERVED:
        raise ValueError(f"key {key[:32]!r} begins with a zero byte: such keys are the store's own")


def check_order(before: int, applied: int) -> None:
    """Raise ValueError where the applied offset would go back."""
    if applied < before:
        raise ValueError(f"offset {applied} cannot be applied after {before}")


def prefix_end(prefix: bytes) -> bytes | None:
    """The first key after all keys that begin with `prefix`; None where there is none."""
    stem = prefix.rstrip(b"\xff")
    return stem[:-1] + bytes([stem[-1] + 1]) if stem else None


def new_packer() -> Callable[[Value], bytes]:
    """Packs values as every state keeps them. For one thread at a time."""
    pack: Callable[[Value], bytes] = msgpack.Packer(use_bin_type=True).pack
    return pack


def unpack_value(packed: bytes) -> Value:
    """The value of a row; what was a tuple is a list."""
    return msgpack.unpackb(packed, strict_map_key=False)


class MemoryState:
    """The twin of `RocksState`. Keeps packed values, so that what is lost in packing is lost here too.

    `fault(moment)` is called with "before" and "after" every write and may raise, as a process may end there.
    """

    UNDO = 10_000

    def __init__(self, fault: Callable[[str], None] | None = None) -> None:
        self._data: dict[bytes, bytes] = {}
        self._keys: list[bytes] = []
        self._applied = NOTHING_APPLIED
        self._last: LastMessage | None = None
        self._undo: deque[tuple[dict[bytes, bytes | None], int, LastMessage | None]] = deque(maxlen=self.UNDO)
        self._closed = False
        self.fault = fault
        self.pack = new_packer()
        self.unpack = unpack_value

    @property
    def applied(self) -> int:
        return self._applied

    @property
    def last_message(self) -> LastMessage | None:
        return self._last

    def get(self, key: bytes) -> Value | None:
        self._check_open()
        data = self._data.get(key)
        return None if data is None else unpack_value(data)

    def scan(self, prefix: bytes, after: bytes = b"") -> Iterator[tuple[bytes, Value]]:
        self._check_open()
        start = bisect_right(self._keys, after) if after >= prefix else bisect_left(self._keys, prefix)
        end = prefix_end(prefix)
        stop = len(self._keys) if end is None else bisect_left(self._keys, end)
        return self._values(self._keys[start:stop])

    def _values(self, keys: list[bytes]) -> Iterator[tuple[bytes, Value]]:
        for key in keys:
            self._check_open()
            yield key, unpack_value(self._data[key])

    def write(self, changes: Mapping[bytes, Value | None]) -> None:
        self.commit(changes, self._applied)

    def commit(
        self, changes: Mapping[bytes, Value | None], applied: int, last_message: LastMessage | None = None
    ) -> None:
        self.commit_packed({k: None if v is None else self.pack(v) for k, v in changes.items()}, applied, last_message)

    def commit_packed(
        self, changes: Mapping[bytes, bytes | None], applied: int, last_message: LastMessage | None = None
    ) -> None:
        self._check_open()
        check_order(self._applied, applied)
        for key in changes:
            check_key(key)
        self._strike("before")
        self._undo.append(({key: self._data.get(key) for key in changes}, self._applied, self._last))
        self._put(changes, applied, last_message or self._last)
        self._strike("after")

    def lose(self, commits: int) -> int:
        """Forget the last writes, as power loss may: whole writes, latest first. Returns how many there were."""
        count = min(commits, len(self._undo))
        for _ in range(count):
            self._put(*self._undo.pop())
        return count

    def reopen(self) -> MemoryState:
        """The same data as the next process finds it; this one is closed."""
        again = MemoryState(self.fault)
        again._data, again._keys, again._applied, again._undo = self._data, self._keys, self._applied, self._undo
        again._last = self._last
        self._closed = True
        return again

    def copy(self) -> MemoryState:
        """A copy of the data as it is now, with a life of its own, as a checkpoint on disk has."""
        other = MemoryState(self.fault)
        other._data, other._keys, other._applied = dict(self._data), list(self._keys), self._applied
        other._last = self._last
        return other

    def contents(self) -> dict[bytes, bytes]:
        """Every key with its packed value, to compare whole states."""
        return dict(self._data)

    def close(self) -> None:
        self._closed = True

    def _put(self, packed: Mapping[bytes, bytes | None], applied: int, last_message: LastMessage | None) -> None:
        for key, data in packed.items():
            if data is not None:
                if key not in self._data:
                    insort(self._keys, key)
                self._data[key] = data
            elif self._data.pop(key, None) is not None:
                del self._keys[bisect_left(self._keys, key)]
        self._applied = applied
        self._last = last_message

    def _strike(self, moment: str) -> None:
        if self.fault is not None:
            self.fault(moment)

    def _check_open(self) -> None:
        if self._closed:
            raise StateError("the state is closed")

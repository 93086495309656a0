"""A worker's state on this machine, read without touching it, while the worker may run on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import msgpack
from rocksdict import AccessType, BlockBasedOptions, Cache, Options, Rdict, ReadOptions

from metering.store import Value
from streams import clock
from streams.state.rocks import (
    APPLIED_KEY,
    FORMAT_KEY,
    IDENTITY_KEY,
    LAST_MESSAGE_KEY,
    READABLE_FORMATS,
    explain,
    open_database,
)
from streams.state.store import NOTHING_APPLIED, Identity, LastMessage, StateError, prefix_end

_CACHE_BYTES = 64 << 20
_TRIES = 10
_PAUSE = 0.1


class StateView:
    """A worker's RocksDB as it is when this is made: a `Store` that refuses writes.

    `identity` is the log that it was made from, as the folder says; None where the folder says nothing readable.
    """

    def __init__(self, path: Path) -> None:
        """Raises StateError."""
        self._path = path
        self._db = _opened(path)
        packed = self._db.get(APPLIED_KEY)
        self.applied: int = NOTHING_APPLIED if packed is None else msgpack.unpackb(packed)
        last = self._db.get(LAST_MESSAGE_KEY)
        self.last_message: LastMessage | None = None if last is None else LastMessage(*msgpack.unpackb(last))
        self.identity = self._identity()

    def get(self, key: bytes) -> Value | None:
        try:
            data = self._db.get(key)
        except Exception as error:
            raise explain(self._path, "cannot be read", error) from error
        return None if data is None else msgpack.unpackb(data, strict_map_key=False)

    def scan(self, prefix: bytes, after: bytes = b"") -> Iterator[tuple[bytes, Value]]:
        bounds = ReadOptions()
        end = prefix_end(prefix)
        if end is not None:
            bounds.set_iterate_upper_bound(end)
        try:
            rows = self._db.iter(bounds)
            rows.seek(max(prefix, after))
            while rows.valid():
                if rows.key() != after:
                    yield rows.key(), msgpack.unpackb(rows.value(), strict_map_key=False)
                rows.next()
            rows.status()
        except Exception as error:
            raise explain(self._path, "cannot be read", error) from error

    def write(self, changes: Mapping[bytes, Value | None]) -> None:
        """Raises StateError: it belongs to the worker."""
        raise StateError(f"{self._path}: the worker's state is only read here; {len(changes)} changes have no place")

    def close(self) -> None:
        with suppress(Exception):  # it was only read
            self._db.close()

    def _identity(self) -> Identity | None:
        written, owner = self._db.get(FORMAT_KEY), self._db.get(IDENTITY_KEY)
        if written is None or owner is None or msgpack.unpackb(written) not in READABLE_FORMATS:
            return None
        return Identity(*msgpack.unpackb(owner))


def _opened(path: Path) -> Rdict:
    """Tries again for a moment: a running worker may remove a file between the listing and the opening of it.

    A write-ahead log that went meanwhile would not be missed by RocksDB, and its changes would be neither in a table
    that is listed nor in a log that is read. So the logs that were there before must still be there afterwards.
    """
    for left in reversed(range(_TRIES)):
        before = _logs(path)
        try:
            db = open_database(path, _options(), AccessType.read_only())
        except Exception as error:
            if not left:
                raise explain(path, "cannot be opened", error) from error
        else:
            if before <= _logs(path):
                return db
            db.close()
        clock.sleep(_PAUSE)
    raise StateError(f"{path}: the state changes too quickly to be read; try again, or stop its worker for a moment")


def _logs(path: Path) -> set[str]:
    return {file.name for file in path.glob("*.log")}


def _options() -> Options:
    table = BlockBasedOptions()
    table.set_block_cache(Cache(_CACHE_BYTES))
    table.set_bloom_filter(10, block_based=False)  # as the worker writes them: most ids asked for are absent
    table.set_cache_index_and_filter_blocks(True)  # else memory grows with history
    options = Options(raw_mode=True)
    options.set_block_based_table_factory(table)
    return options

"""State on disk: one RocksDB folder for a partition.

Writes go through RocksDB's write-ahead log without an fsync each. A process that is killed loses nothing (the operating
system has the bytes). After power loss RocksDB comes back with a *prefix* of the commits, each whole, because changes
and applied offset are one WriteBatch and recovery stops at the first torn record: the state is then merely behind, and
is caught up from the input log, which is the truth. `sync=True` pays an fsync for each commit instead and saves that
catching up.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import msgpack
from rocksdict import AccessType, Checkpoint, Options, Rdict, ReadOptions, WriteBatch, WriteOptions

from streams.state.store import (
    NOTHING_APPLIED,
    RESERVED,
    Identity,
    LastMessage,
    StateError,
    check_key,
    check_order,
    new_packer,
    prefix_end,
    unpack_value,
)

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping

    from metering.store import Value

FORMAT = 2
READABLE_FORMATS = (1, FORMAT)
"""Format 1 has no open holds, and no place and digest beside the ids of commands: `metering.store` says how rows of
both are told apart. Nor does it know its last message, which is then not compared with the log. It is written on in
format 2, which a worker of the version before refuses."""
FORMAT_KEY = RESERVED + b"format"
IDENTITY_KEY = RESERVED + b"identity"
APPLIED_KEY = RESERVED + b"applied"
LAST_MESSAGE_KEY = RESERVED + b"last message"
_FIRST_KEY = b"\x01"


class RocksState:
    """A `StateStore` in one RocksDB folder. Opened by `RocksFolder`, which owns the options and the memory."""

    def __init__(self, db: Rdict, path: Path, identity: Identity, *, sync: bool) -> None:
        self.path = path
        self._applied = NOTHING_APPLIED
        self._last: LastMessage | None = None
        self._scans: WeakSet[Generator[tuple[bytes, Value], None, None]] = WeakSet()
        self.pack = new_packer()
        self.unpack = unpack_value
        self._write_options = WriteOptions()
        self._write_options.sync = sync
        self._db = db
        self._closed = False
        self._get = self._db.get
        try:
            self._identify(identity)
        except BaseException:
            self.close()
            raise

    @property
    def applied(self) -> int:
        return self._applied

    @property
    def last_message(self) -> LastMessage | None:
        return self._last

    def get(self, key: bytes) -> Value | None:
        try:
            data = self._get(key)
        except Exception as error:
            raise self._error("cannot be read", error) from error
        return None if data is None else unpack_value(data)

    def scan(self, prefix: bytes, after: bytes = b"") -> Iterator[tuple[bytes, Value]]:
        scan = self._scan(prefix, after)
        self._scans.add(scan)  # an iterator that is left open would keep the folder locked after close
        return scan

    def _scan(self, prefix: bytes, after: bytes) -> Generator[tuple[bytes, Value], None, None]:
        bounds = ReadOptions()
        end = prefix_end(prefix)
        if end is not None:
            bounds.set_iterate_upper_bound(end)  # else deleted rows beyond the prefix are stepped over one by one
        try:
            rows = self._db.iter(bounds)
            rows.seek(max(prefix, after, _FIRST_KEY))
            if rows.valid() and rows.key() == after:
                rows.next()
            while rows.valid():
                yield rows.key(), unpack_value(rows.value())
                rows.next()
            rows.status()
        except Exception as error:
            raise self._error("cannot be read", error) from error

    def write(self, changes: Mapping[bytes, Value | None]) -> None:
        self.commit(changes, self._applied)

    def commit(
        self, changes: Mapping[bytes, Value | None], applied: int, last_message: LastMessage | None = None
    ) -> None:
        self.commit_packed({k: None if v is None else self.pack(v) for k, v in changes.items()}, applied, last_message)

    def commit_packed(
        self, changes: Mapping[bytes, bytes | None], applied: int, last_message: LastMessage | None = None
    ) -> None:
        check_order(self._applied, applied)
        batch = WriteBatch(raw_mode=True)
        for key in sorted(changes):  # each finds its place in the write buffer near the one before: half the time
            packed = changes[key]
            if key < _FIRST_KEY:
                check_key(key)
            if packed is None:
                batch.delete(key)
            else:
                batch.put(key, packed)
        if applied != self._applied:
            batch.put(APPLIED_KEY, self.pack(applied))
        if last_message is not None:
            batch.put(LAST_MESSAGE_KEY, self.pack(last_message))
        try:
            self._db.write(batch, self._write_options)
        except Exception as error:
            raise self._error("cannot be written", error) from error
        self._applied = applied
        self._last = last_message or self._last

    def size(self) -> int:
        """Bytes on disk and in write buffers, about."""
        names = ("rocksdb.total-sst-files-size", "rocksdb.cur-size-all-mem-tables")
        return 0 if self._closed else sum(self._db.property_int_value(name) or 0 for name in names)

    @property
    def is_closed(self) -> bool:
        return self._closed

    def flush(self) -> None:
        """Puts buffered writes into table files; another thread may write meanwhile. Raises StateError."""
        try:
            self._db.flush(wait=True)
        except Exception as error:
            raise self._error("cannot be written", error) from error

    def checkpoint(self, path: str | Path) -> None:
        """A consistent copy in a new folder, made of hard links where the file system can. Raises StateError."""
        try:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Checkpoint(self._db).create_checkpoint(str(path))
        except Exception as error:
            raise self._error(f"cannot be copied to {path}", error) from error

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        for scan in list(self._scans):
            scan.close()
        with suppress(Exception):  # nothing depends on what closing writes: it is caught up from the log
            self._db.flush_wal(sync=True)
        with suppress(Exception):  # a full disk fails here once more, and would hide what it failed at first
            self._db.close()

    def _identify(self, identity: Identity) -> None:
        """Hold a new folder to this identity, or check that an old one has it; read the applied offset."""
        actual_format, owner = self._meta(FORMAT_KEY), self._meta(IDENTITY_KEY)
        if actual_format is None and owner is None:
            if next(iter(self._db.keys()), None) is not None:
                raise StateError(f"{self.path}: not a state folder of creditmeter; configure another folder")
            owner = [identity.topic, identity.partition, identity.log_id]
            self._set_meta({FORMAT_KEY: FORMAT, IDENTITY_KEY: owner})
        elif actual_format not in READABLE_FORMATS:
            raise StateError(
                f"{self.path}: the state has format {actual_format}, this version reads {FORMAT}; "
                "use the version that wrote it, or remove the folder: the state is made anew from the input log"
            )
        self._compare(owner, identity)
        if actual_format is not None and actual_format != FORMAT:
            self._set_meta({FORMAT_KEY: FORMAT})
        applied, last = self._meta(APPLIED_KEY), self._meta(LAST_MESSAGE_KEY)
        self._applied = NOTHING_APPLIED if applied is None else applied
        self._last = None if last is None else LastMessage(*last)

    def _compare(self, owner: list[Any], identity: Identity) -> None:
        topic, partition, log_id = owner
        if (topic, partition) != (identity.topic, identity.partition):
            raise StateError(
                f"{self.path}: the state belongs to {topic}[{partition}], "
                f"not to {identity.topic}[{identity.partition}]; configure another folder"
            )
        if log_id is None and identity.log_id is not None:
            self._set_meta({IDENTITY_KEY: [topic, partition, identity.log_id]})
        elif identity.log_id not in {None, log_id}:
            raise StateError(
                f"{self.path}: the state was made from an earlier topic {topic} (id {log_id}, now {identity.log_id}); "
                "the topic was deleted and made again: to begin anew, remove the folder and delete the output topics, "
                "or choose another topic_prefix"
            )

    def _meta(self, key: bytes) -> Any:
        data = self._db.get(key)
        return None if data is None else msgpack.unpackb(data)

    def _set_meta(self, values: Mapping[bytes, Any]) -> None:
        batch = WriteBatch(raw_mode=True)
        for key, value in values.items():
            batch.put(key, self.pack(value))
        forced = WriteOptions()
        forced.sync = True
        self._db.write(batch, forced)

    def _error(self, what: str, error: Exception) -> StateError:
        return explain(self.path, what, error)


def open_database(path: Path, options: Options, access: AccessType | None = None) -> Rdict:
    """RocksDB with these options, for reading and writing where nothing else is said; raises what rocksdict raises.

    They are given for the only column family, too: rocksdict takes that one's from the folder otherwise, where one is,
    and RocksDB keeps neither filters nor a shared cache there. A state that was opened again would have none.
    """
    return Rdict(str(path), options, {"default": options}, access or AccessType.read_write())


def explain(path: Path, what: str, error: Exception) -> StateError:
    """An error of RocksDB, with its remedy."""
    text = str(error)
    lowered = text.lower()
    if "no space left" in lowered or "file too large" in lowered or "quota" in lowered:
        advice = "make room on the disk and start again; nothing is lost"
    elif "permission denied" in lowered or "read-only" in lowered:
        advice = "let this process write to the folder, or configure another one"
    elif "corruption" in lowered or "checksum" in lowered:
        advice = "remove the folder: the state is made anew from the input log"
    else:
        advice = "see that the folder is a healthy one, or remove it: the state is made anew from the input log"
    return StateError(f"{path}: the state {what}: {text}; {advice}")

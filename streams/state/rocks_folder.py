"""Opens a process's states: one folder for each partition, one bound on memory for all of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rocksdict import BlockBasedOptions, Cache, DBCompressionType, DBRecoveryMode, Options, Rdict, WriteBufferManager

from streams import clock
from streams.state.rocks import RocksState, explain, open_database
from streams.state.store import Identity, StateError

_MIB = 1 << 20
_LOCKED = ("While lock file", "lock hold by current process")
_LOCK_PAUSE = 0.05


def state_folder(root: Path, identity: Identity) -> Path:
    """Where a partition's state is below a process's folder."""
    return root / identity.topic / str(identity.partition)


@dataclass(frozen=True, slots=True)
class RocksLimits:
    """Memory and waiting of one process, whatever number of partitions it has. Bytes and seconds."""

    cache_bytes: int = 96 * _MIB  # blocks, indexes and filters of all partitions
    buffer_bytes: int = 64 * _MIB  # writes of all partitions that are not yet in table files
    sync: bool = False
    lock_timeout: float = 30.0


class RocksFolder:
    """Where a process keeps its states: `<root>/<topic>/<partition>`, with memory shared between the partitions."""

    def __init__(self, root: str | Path, limits: RocksLimits | None = None) -> None:
        self._root = Path(root)
        self._limits = limits or RocksLimits()
        self._cache = Cache(self._limits.cache_bytes)
        self._buffers = WriteBufferManager(self._limits.buffer_bytes, allow_stall=False)

    def path(self, identity: Identity) -> Path:
        return state_folder(self._root, identity)

    def open(self, identity: Identity) -> RocksState:
        """The partition's state, made where there is none.

        Waits while another process holds it. Raises StateError: still held, not readable, of another log, too new.
        """
        path = self.path(identity)
        db = _open(path, self._options(), self._limits.lock_timeout)
        return RocksState(db, path, identity, sync=self._limits.sync)

    def _options(self) -> Options:
        table = BlockBasedOptions()
        table.set_block_cache(self._cache)
        table.set_bloom_filter(10, block_based=False)  # most reads are of new ids, which are absent
        table.set_cache_index_and_filter_blocks(True)  # else memory grows with history
        table.set_pin_l0_filter_and_index_blocks_in_cache(True)
        options = Options(raw_mode=True)
        options.create_if_missing(True)
        options.set_block_based_table_factory(table)
        options.set_compression_type(DBCompressionType.lz4())
        options.set_write_buffer_manager(self._buffers)
        options.set_write_buffer_size(8 * _MIB)
        options.set_max_write_buffer_number(3)
        options.set_memtable_prefix_bloom_ratio(0.05)
        options.set_memtable_whole_key_filtering(True)
        options.set_target_file_size_base(32 * _MIB)
        options.set_level_compaction_dynamic_level_bytes(True)
        options.set_max_total_wal_size(64 * _MIB)  # what opening may have to replay
        options.set_wal_recovery_mode(DBRecoveryMode.point_in_time())
        options.set_max_open_files(256)
        options.set_skip_stats_update_on_db_open(True)  # opening does not grow with history
        options.set_max_background_jobs(2)
        options.set_bytes_per_sync(_MIB)
        options.set_keep_log_file_num(2)
        options.set_max_log_file_size(4 * _MIB)
        options.set_stats_dump_period_sec(0)
        return options


def _open(path: Path, options: Options, lock_timeout: float) -> Rdict:
    deadline = clock.monotonic() + lock_timeout
    while True:
        try:
            path.mkdir(parents=True, exist_ok=True)
            return open_database(path, options)
        except Exception as error:
            if not any(sign in str(error) for sign in _LOCKED):
                raise explain(path, "cannot be opened", error) from error
            if clock.monotonic() >= deadline:
                raise StateError(
                    f"{path}: another process still holds this state after {lock_timeout:g} s; "
                    "stop it, or give each worker on this machine its own folder"
                ) from error
        clock.sleep(_LOCK_PAUSE)

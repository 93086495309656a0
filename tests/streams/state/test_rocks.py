"""State on disk: the contract, identity, locks, damage, and what a killed process leaves."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rocksdict import Options, Rdict

from streams.state.read_only import StateView
from streams.state.rocks import RocksState
from streams.state.rocks_folder import RocksFolder, RocksLimits
from streams.state.store import Identity, LastMessage, MemoryState, StateError, StateStore
from tests.streams.state.contract_state import StateContract

pytestmark = pytest.mark.slow

HERE = Identity("credits.requests", 3)
QUICK = RocksLimits(cache_bytes=8 << 20, buffer_bytes=8 << 20, lock_timeout=0.2)


@pytest.fixture
def folder(tmp_path: Path) -> RocksFolder:
    return RocksFolder(tmp_path, QUICK)


class TestRocksState(StateContract):
    @pytest.fixture
    def reopen(self, folder: RocksFolder) -> Iterator[Callable[[], StateStore]]:
        opened: list[RocksState] = []

        def again() -> StateStore:
            for state in opened:
                state.close()
            opened.append(folder.open(HERE))
            return opened[-1]

        yield again
        for state in opened:
            state.close()


class TestRocksStateSynced(TestRocksState):
    @pytest.fixture
    def folder(self, tmp_path: Path) -> RocksFolder:
        return RocksFolder(tmp_path, RocksLimits(sync=True, lock_timeout=0.2))


changes = st.dictionaries(
    st.binary(min_size=1, max_size=3).filter(lambda key: key[0] != 0),
    st.none() | st.integers(-5, 5) | st.binary(max_size=3),
)


@settings(max_examples=30)
@given(st.lists(changes, max_size=8), st.binary(max_size=2), st.binary(max_size=2))
def test_rocks_and_its_twin_agree(
    tmp_path_factory: pytest.TempPathFactory, commits: list[dict[bytes, object]], prefix: bytes, after: bytes
) -> None:
    twin, rocks = MemoryState(), RocksFolder(tmp_path_factory.mktemp("state"), QUICK).open(HERE)
    for applied, commit in enumerate(commits):
        twin.commit(commit, applied)
        rocks.commit(commit, applied)
    assert list(rocks.scan(prefix, after)) == list(twin.scan(prefix, after))
    assert all(rocks.get(key) == twin.get(key) for commit in commits for key in commit)
    rocks.close()


def test_a_state_of_another_partition_or_topic_is_refused(tmp_path: Path) -> None:
    folder = RocksFolder(tmp_path, QUICK)
    folder.open(HERE).close()
    folder.path(HERE).rename(folder.path(Identity("credits.requests", 4)))
    with pytest.raises(StateError, match=r"belongs to credits\.requests\[3\], not to credits\.requests\[4\]"):
        folder.open(Identity("credits.requests", 4))


def test_a_topic_made_again_is_not_taken_for_the_old_one(folder: RocksFolder) -> None:
    folder.open(HERE).close()  # not known at first
    folder.open(Identity(HERE.topic, 3, "first")).close()
    folder.open(HERE).close()  # not known: not compared
    with pytest.raises(StateError, match="deleted and made again"):
        folder.open(Identity(HERE.topic, 3, "second"))


def test_a_state_that_is_opened_again_has_the_same_options_and_the_shared_cache(folder: RocksFolder) -> None:
    """RocksDB says itself what it works with: from the folder's own options it would have no filters."""

    def options() -> str:
        return max(folder.path(HERE).glob("OPTIONS-*")).read_text()

    folder.open(HERE).close()
    first = options()
    again, beside = folder.open(HERE), folder.open(Identity(HERE.topic, 4))
    assert options() == first
    assert "filter_policy=bloomfilter" in first
    assert again._db.property_int_value("rocksdb.block-cache-capacity") == QUICK.cache_bytes
    again.commit({b"row-%d" % number: b"x" * 1000 for number in range(100)}, 1)
    again.flush()
    assert again.get(b"row-7") == b"x" * 1000
    used = [state._db.property_int_value("rocksdb.block-cache-usage") for state in (again, beside)]
    assert used[0] == used[1] > 0
    again.close()
    beside.close()


def test_a_newer_format_is_refused(folder: RocksFolder) -> None:
    folder.open(HERE).close()
    db = Rdict(str(folder.path(HERE)), options=Options(raw_mode=True))
    db[b"\x00format"] = msgpack.packb(99)
    db.close()
    with pytest.raises(StateError, match="format 99, this version reads 2"):
        folder.open(HERE)


def test_a_state_of_the_first_format_is_read_and_written_on_in_this_one(folder: RocksFolder) -> None:
    folder.open(HERE).close()
    db = Rdict(str(folder.path(HERE)), options=Options(raw_mode=True))
    db[b"\x00format"] = msgpack.packb(1)
    db.close()
    folder.open(HERE).close()
    db = Rdict(str(folder.path(HERE)), options=Options(raw_mode=True))
    assert msgpack.unpackb(db[b"\x00format"]) == 2  # a worker of the version before would not know holds
    db.close()


def test_a_folder_with_other_data_is_refused(folder: RocksFolder) -> None:
    folder.path(HERE).parent.mkdir(parents=True)
    db = Rdict(str(folder.path(HERE)), options=Options(raw_mode=True))
    db[b"other"] = b"data"
    db.close()
    with pytest.raises(StateError, match="not a state folder"):
        folder.open(HERE)


def test_a_held_lock_is_waited_for_and_then_named(folder: RocksFolder) -> None:
    held = folder.open(HERE)
    with pytest.raises(StateError, match=rf"{folder.path(HERE)}: another process still holds this state after 0.2 s"):
        folder.open(HERE)
    held.close()
    folder.open(HERE).close()


HOLDER = """
import sys, time
from streams.state.rocks_folder import RocksFolder
from streams.state.store import Identity
state = RocksFolder(sys.argv[1]).open(Identity("credits.requests", 3))
for n in range(10**9):
    state.commit({b"count": n, b"row-%d" % n: b"x" * 1000}, n)
    if n == 200:
        print("going", flush=True)
"""


def test_kill_leaves_every_commit_whole_and_frees_the_lock(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"going\n"
        with pytest.raises(StateError, match="another process still holds"):
            RocksFolder(tmp_path, QUICK).open(HERE)
        os.kill(process.pid, signal.SIGKILL)
    state = RocksFolder(tmp_path, RocksLimits(lock_timeout=5)).open(HERE)
    assert state.applied >= 200
    assert state.get(b"count") == state.applied
    assert len(list(state.scan(b"row-"))) == state.applied + 1
    state.close()


FILLER = """
import resource, signal, sys
from streams.state.rocks_folder import RocksFolder
from streams.state.store import Identity, StateError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
state = RocksFolder(sys.argv[1]).open(Identity("credits.requests", 3))
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
try:
    for n in range(1000):
        state.commit({b"row-%d" % n: b"x" * 5000}, n)
except StateError as error:
    print(state.applied, error)
"""


def test_a_full_disk_is_an_error_with_advice_and_leaves_what_was_committed(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", FILLER, str(tmp_path)], capture_output=True, text=True, check=True)
    applied, _, text = done.stdout.partition(" ")
    assert "cannot be written" in text
    assert "make room on the disk" in text
    state = RocksFolder(tmp_path, QUICK).open(HERE)
    assert state.applied == int(applied)
    state.close()


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StateError, match="cannot be opened"):
        RocksFolder(tmp_path / "file", QUICK).open(HERE)


def test_damaged_files_are_an_error_with_advice(folder: RocksFolder) -> None:
    state = folder.open(HERE)
    state.commit({b"a": 1}, 0)
    state.close()
    manifest = next(folder.path(HERE).glob("MANIFEST-*"))
    manifest.write_bytes(b"\xff" * manifest.stat().st_size)
    with pytest.raises(StateError, match="remove the folder"):
        folder.open(HERE)


def test_a_torn_log_loses_whole_commits_only(tmp_path: Path, folder: RocksFolder) -> None:
    state = folder.open(HERE)
    for n in range(100):
        state.commit({b"count": n, b"row-%03d" % n: n}, n)
    after = RocksFolder(tmp_path / "after", QUICK)
    shutil.copytree(folder.path(HERE), after.path(HERE))  # what the disk holds when the power fails
    state.close()
    log = max(after.path(HERE).glob("*.log"), key=lambda path: path.name)
    with log.open("r+b") as file:
        file.truncate(log.stat().st_size // 2)
    state = after.open(HERE)
    assert 0 < state.applied < 99
    assert state.get(b"count") == state.applied
    assert len(list(state.scan(b"row-"))) == state.applied + 1
    state.close()


def test_a_checkpoint_opens_elsewhere(tmp_path: Path, folder: RocksFolder) -> None:
    state = folder.open(HERE)
    state.commit({b"a": 1}, 5)
    other = RocksFolder(tmp_path / "other", QUICK)
    state.checkpoint(other.path(HERE))
    state.commit({b"a": 2}, 6)
    with pytest.raises(StateError, match="cannot be copied"):
        state.checkpoint(other.path(HERE))
    state.close()
    copy = other.open(HERE)
    assert (copy.applied, copy.get(b"a")) == (5, 1)
    copy.close()


def test_a_closed_state_answers_nothing_and_its_size_is_nothing(folder: RocksFolder) -> None:
    state = folder.open(HERE)
    state.commit({b"a": b"x" * 100_000}, 0)
    assert state.size() > 50_000
    state.close()
    assert state.size() == 0
    with pytest.raises(StateError, match="cannot be read"):
        state.get(b"a")
    with pytest.raises(StateError, match="cannot be written"):
        state.commit({}, 1)


def test_a_state_of_the_version_before_is_read_as_one_that_does_not_know_its_last_message(folder: RocksFolder) -> None:
    state = folder.open(HERE)
    state.commit({b"a": 1}, 5, LastMessage(5, bytes(16)))
    state.close()
    db = Rdict(str(folder.path(HERE)), options=Options(raw_mode=True))
    db[b"\x00format"] = msgpack.packb(1)
    del db[b"\x00last message"]
    db.close()
    assert StateView(folder.path(HERE)).last_message is None
    state = folder.open(HERE)
    assert (state.applied, state.last_message, state.get(b"a")) == (5, None, 1)
    state.commit({}, 6, LastMessage(6, bytes(16)))
    state.close()
    view = StateView(folder.path(HERE))
    assert (view.identity, view.last_message) == (HERE, LastMessage(6, bytes(16)))
    view.close()

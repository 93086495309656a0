"""Checkpoints in a folder and in an object store (fsspec's memory://): one contract; damage and crashes besides."""

from __future__ import annotations

import fnmatch
import itertools
import shutil
from collections.abc import Callable
from pathlib import Path

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from streams.checkpoints.checkpoints import Checkpoints
from streams.checkpoints.manifest import Checkpoint, CheckpointDamaged, Condition
from streams.checkpoints.object_store import DriverMissing, StoreUnavailable, problem_of
from streams.checkpoints.sealed import MANIFEST, SEAL, CheckpointError
from streams.state.rocks_folder import RocksFolder, RocksLimits
from streams.state.store import Identity

TOPIC, LOG_ID = "credits.requests", "log-1"
HERE = Identity(TOPIC, 3, LOG_ID)
QUICK = RocksLimits(cache_bytes=8 << 20, buffer_bytes=8 << 20, lock_timeout=0.2)
numbers = itertools.count()


class Disk:
    """A state on one machine that grows, and is copied between two groups."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = RocksFolder(folder / "state", QUICK).open(HERE)

    def grow_to(self, applied: int) -> Path:
        """The state at that offset as a folder that nobody writes to."""
        rows = {b"row-%d" % n: b"x" * 50 for n in range(self.state.applied + 1, applied + 1)}
        self.state.commit({b"count": applied, **rows}, applied)
        copy = self.folder / f"copy-{next(numbers)}"
        self.state.checkpoint(copy)
        return copy


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path / "disk")


@pytest.fixture(params=["folder", "memory"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "kept") if request.param == "folder" else f"memory://kept-{next(numbers)}/below"


@pytest.fixture
def kept(url: str) -> Checkpoints:
    return Checkpoints(url, TOPIC, LOG_ID)


def saved(kept: Checkpoints, disk: Disk, *offsets: int) -> list[Checkpoint]:
    return [kept.save(3, offset, 1_000 + offset, disk.grow_to(offset)) for offset in offsets]


def opened(folder: Path, tmp_path: Path) -> tuple[int, object]:
    """What a state fetched to that folder holds, opened as a worker does."""
    root = RocksFolder(tmp_path / f"opened-{next(numbers)}", QUICK)
    root.path(HERE).parent.mkdir(parents=True)
    folder.rename(root.path(HERE))
    state = root.open(HERE)
    kept = state.applied, state.get(b"count")
    state.close()
    return kept


def alter(url: str, checkpoint: Checkpoint, name: str, change: Callable[[bytes], bytes | None]) -> None:
    """Changes a stored file behind everybody's back; None removes it."""
    store = fsspec.url_to_fs(url)[0]
    path = fsspec.core.strip_protocol(f"{checkpoint.place}/{name}")
    content = change(store.cat_file(path))
    if content is None:
        store.rm_file(path)
    else:
        store.pipe_file(path, content)


def test_nothing_is_there_at_first(kept: Checkpoints) -> None:
    assert kept.partitions() == []
    assert kept.newest(3) is None
    assert kept.prune(3, 1) == []


def test_what_was_saved_comes_back(kept: Checkpoints, disk: Disk, tmp_path: Path) -> None:
    first, second = saved(kept, disk, 10, 25)
    assert kept.partitions() == [3]
    assert kept.newest(3) == second
    assert (second.applied, second.recorded_at, second.partition) == (25, 1_025, 3)
    assert second.size == sum(file.size for file in second.files.values()) > 0
    assert kept.newest(3, before=25) == first
    assert kept.newest(3, before=10) is None
    assert kept.newest(4) is None
    for checkpoint in (first, second):
        into = tmp_path / "a" / "b" / str(checkpoint.applied)
        kept.fetch(checkpoint, into)
        assert opened(into, tmp_path) == (checkpoint.applied, checkpoint.applied)


def test_the_same_offset_is_written_once(kept: Checkpoints, disk: Disk) -> None:
    (first,) = saved(kept, disk, 10)
    assert kept.save(3, 10, None, disk.grow_to(10)) == first
    assert len(list(kept.listed(3))) == 1


def test_another_log_sees_nothing(kept: Checkpoints, url: str, disk: Disk) -> None:
    saved(kept, disk, 10)
    assert Checkpoints(url, TOPIC, "log-2").newest(3) is None
    assert Checkpoints(url, "other.requests", LOG_ID).newest(3) is None


def test_prune_keeps_the_newest_whole_ones(kept: Checkpoints, url: str, disk: Disk) -> None:
    one, two, three, four = saved(kept, disk, 1, 2, 3, 4)
    alter(url, three, SEAL, lambda _: None)
    assert kept.prune(3, 2) == [one.place]
    assert [(checkpoint.applied, checkpoint.condition) for checkpoint in kept.listed(3)] == [
        (4, Condition.WHOLE), (3, Condition.INCOMPLETE), (2, Condition.WHOLE),
    ]  # fmt: skip
    assert kept.prune(3, 2) == []
    assert kept.prune(3, 1) == [three.place, two.place]
    assert [checkpoint.place for checkpoint in kept.listed(3)] == [four.place]


KINDS = ("CURRENT", "MANIFEST-*", "OPTIONS-*", "*.sst", MANIFEST, SEAL)
DAMAGES: dict[str, Callable[[bytes], bytes | None]] = {
    "another byte": lambda content: bytes([content[0] ^ 1]) + content[1:],
    "cut short": lambda content: content[:-1],
    "gone": lambda _: None,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_to_any_file_is_found_and_the_one_before_is_untouched(
    kept: Checkpoints, url: str, disk: Disk, tmp_path: Path, damage: str
) -> None:
    (before,) = saved(kept, disk, 100)
    (tmp_path / "scratch").mkdir()
    for offset, kind in enumerate(KINDS, 101):
        (newest,) = saved(kept, disk, offset)
        (name, *_) = fnmatch.filter([*newest.files, MANIFEST, SEAL], kind)
        alter(url, newest, name, DAMAGES[damage])
        (shown, *_) = kept.listed(3)
        if shown.condition is Condition.WHOLE:  # a look at sizes does not see it
            assert damage == "another byte"
            with pytest.raises(CheckpointDamaged, match=name):
                kept.fetch(newest, tmp_path / "into")
            assert not (tmp_path / "into").exists()
            with pytest.raises(CheckpointDamaged, match=name):
                kept.verify(newest, tmp_path / "scratch")
        else:
            no_seal = name == SEAL and damage == "gone"
            assert shown.condition is (Condition.INCOMPLETE if no_seal else Condition.DAMAGED)
            assert kept.newest(3) == before
        assert kept.newest(3, before=newest.applied) == before
        kept.verify(before, tmp_path / "scratch")
        kept._remove(3, newest.name)


def test_a_manifest_of_another_partition_or_with_paths_is_refused(
    kept: Checkpoints, url: str, disk: Disk, tmp_path: Path
) -> None:
    (there,) = saved(kept, disk, 5)
    store = fsspec.url_to_fs(url, **({} if "memory" in url else {"auto_mkdir": True}))[0]
    path = fsspec.core.strip_protocol(there.place)
    elsewhere = path.replace(f"{LOG_ID}/3", f"{LOG_ID}/4")
    for name in [*there.files, MANIFEST, SEAL]:
        store.pipe_file(f"{elsewhere}/{name}", store.cat_file(f"{path}/{name}"))
    (listed,) = kept.listed(4)
    assert (listed.condition, listed.detail) == (Condition.DAMAGED, "it is of credits.requests[3] (log log-1)")
    assert kept.newest(4) is None


class FailingStore(MemoryFileSystem):
    """An object store that fails, or whose writer ends, at the n-th thing asked of it."""

    protocol = "failing"
    left: int | None = None
    error: type[BaseException] = OSError

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return MemoryFileSystem._strip_protocol(str(path).replace("failing://", "memory://"))

    @classmethod
    def strike(cls) -> None:
        if cls.left is not None:
            cls.left -= 1
            if cls.left < 0:
                raise cls.error("simulated")

    def ls(self, path: str, detail: bool = True, **kwargs: object) -> object:
        self.strike()
        return super().ls(path, detail, **kwargs)

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **kwargs: object) -> object:
        self.strike()
        super().pipe_file(path, value[: len(value) // 2], mode, **kwargs)  # an end in the middle leaves half of it
        self.strike()
        return super().pipe_file(path, value, mode, **kwargs)

    def put_file(
        self, lpath: str, rpath: str, callback: object = None, mode: str = "overwrite", **kwargs: object
    ) -> None:
        self.strike()
        self.pipe_file(rpath, Path(lpath).read_bytes())

    def get_file(
        self, rpath: str, lpath: str, callback: object = None, outfile: object = None, **kwargs: object
    ) -> None:
        self.strike()
        Path(lpath).write_bytes(self.cat_file(rpath))


fsspec.register_implementation("failing", FailingStore, clobber=True)


class Ended(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("error", [OSError, Ended])
def test_an_upload_that_ends_anywhere_leaves_the_one_before(
    disk: Disk, tmp_path: Path, error: type[BaseException]
) -> None:
    kept = Checkpoints(f"failing://bucket-{next(numbers)}", TOPIC, LOG_ID)
    (before,) = saved(kept, disk, 10)
    copy = disk.grow_to(20)
    FailingStore.error = error
    for step in itertools.count():
        FailingStore.left = step
        try:
            whole = kept.save(3, 20, None, copy)
        except (StoreUnavailable, Ended):
            FailingStore.left = None
            assert kept.newest(3) == before, step
            left_behind = {
                checkpoint.name: checkpoint.condition for checkpoint in kept.listed(3) if checkpoint.applied == 20
            }
            assert set(left_behind.values()) <= {Condition.INCOMPLETE, Condition.DAMAGED}
            for name in left_behind:  # else each makes the next try longer
                kept._remove(3, name)
        else:
            break
        finally:
            FailingStore.left = None
    assert step > 10
    assert kept.newest(3) == whole
    kept.fetch(whole, tmp_path / "into")
    assert opened(tmp_path / "into", tmp_path) == (20, 20)
    kept.prune(3, 1)
    assert kept.newest(3) == whole
    assert before.place not in {checkpoint.place for checkpoint in kept.listed(3)}


def test_a_fetch_that_ends_anywhere_leaves_nothing(disk: Disk, tmp_path: Path) -> None:
    kept = Checkpoints(f"failing://bucket-{next(numbers)}", TOPIC, LOG_ID)
    (whole,) = saved(kept, disk, 10)
    FailingStore.error = OSError
    for step in range(len(whole.files)):
        FailingStore.left = step
        with pytest.raises(StoreUnavailable, match="simulated"):
            kept.fetch(whole, tmp_path / "into")
        assert not (tmp_path / "into").exists()
    FailingStore.left = None


def test_a_copy_that_cannot_be_read_and_a_place_that_cannot_be_written(
    kept: Checkpoints, disk: Disk, tmp_path: Path
) -> None:
    copy = disk.grow_to(3)
    next(copy.glob("*.sst")).unlink()
    (copy / "000099.sst").symlink_to(tmp_path / "nowhere")
    shutil.rmtree(copy)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreUnavailable, match="file/kept"):
        Checkpoints(str(tmp_path / "file" / "kept"), TOPIC, LOG_ID).save(3, 4, None, disk.grow_to(4))
    (whole,) = saved(kept, disk, 5)
    with pytest.raises(CheckpointError, match="cannot be made"):
        kept.fetch(whole, tmp_path / "file" / "into")


def test_urls() -> None:
    with pytest.raises(DriverMissing, match="pip install s3fs"):
        Checkpoints("s3://bucket/path", TOPIC, LOG_ID)
    with pytest.raises(DriverMissing, match="pip install gcsfs"):
        Checkpoints("gs://bucket/path", TOPIC, LOG_ID)
    with pytest.raises(DriverMissing, match="Protocol not known: nowhere"):
        Checkpoints("nowhere://bucket", TOPIC, LOG_ID)
    assert problem_of("s3://bucket/path") is problem_of("backup/states") is problem_of("/mnt/states") is None
    assert "no store that fsspec knows" in str(problem_of("s4://bucket"))
    assert "holds a password" in str(problem_of("sftp://me:secret@host/path"))
    assert "secret" not in str(problem_of("sftp://me:secret@host/path"))
    assert "names no folder" in str(problem_of("s3://"))
    assert Checkpoints("memory://a/b/", TOPIC, LOG_ID).place == f"memory://a/b/{TOPIC}/{LOG_ID}"

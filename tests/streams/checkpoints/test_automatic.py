"""A worker's automatic checkpoints, and the start from one: the real rating loop on RocksDB, in-memory logs."""

from __future__ import annotations

import itertools
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from replay.audit.findings import Difference
from replay.audit.state import compare_states
from schemas.batches import read_position
from schemas.codec import Codec
from schemas.price_book import read_book
from streams.checkpoints.automatic import Checkpointer, CheckpointSettings, Turns
from streams.checkpoints.checkpoints import Checkpoints
from streams.checkpoints.restoring import Restorer, has_state
from streams.checkpoints.scratch import Scratch
from streams.log.memory import MemoryBroker, MemoryInputLog, MemoryOutputLog
from streams.log.protocols import LostPrefix, Message
from streams.log.topics import TopicNames
from streams.metrics import Metrics
from streams.rating.loop import RatingLoop
from streams.rating.partition import Wiring
from streams.state.rocks_folder import RocksFolder, RocksLimits
from streams.state.store import Identity
from tests.streams.traffic import Traffic

pytestmark = pytest.mark.slow

NAMES = TopicNames("sim")
HERE = Identity(NAMES.requests, 0, "log-1")
QUICK = RocksLimits(cache_bytes=8 << 20, buffer_bytes=8 << 20, lock_timeout=0.2)
numbers = itertools.count()


class Log:
    """One partition's input and outputs, with a broker's memory."""

    def __init__(self, messages: int = 120) -> None:
        self.codec = Codec()
        self.broker = MemoryBroker()
        for _, timestamp, value in Traffic(1, 1, self.codec).messages(messages):
            self.broker.append(NAMES.requests, 0, value, timestamp)

    @property
    def end(self) -> int:
        return self.broker.bounds(NAMES.requests, 0)[1]

    def outputs(self) -> list[list[bytes]]:
        return [[message.value for message in self.broker.records(topic, 0)] for topic in NAMES.outputs]


class Machine:
    """A worker with a disk, and checkpoints in a store that outlives it. Due checkpoints are made when it looks."""

    def __init__(self, log: Log, disk: Path, url: str, *, every: float = 0.0, kept: int = 3) -> None:
        self.log = log
        self.metrics = Metrics()
        self.folder = RocksFolder(disk, QUICK)
        self.checkpoints = Checkpoints(url, HERE.topic, str(HERE.log_id))
        self.scratch = Scratch(disk)
        input_log = MemoryInputLog(log.broker, NAMES.requests)
        output = MemoryOutputLog(log.broker, read_position)
        wiring = Wiring(NAMES, 1, log.codec, read_book, input_log, output)
        restorer = Restorer(self.checkpoints, self.folder, self.scratch, input_log, self.metrics)
        self.loop = RatingLoop(wiring, lambda _: restorer.open(HERE))
        settings = CheckpointSettings(url, every, kept)
        self.checkpointer = Checkpointer(self.checkpoints, settings, self.scratch, self.metrics, Turns())

    def rate(self, first: int, stop: int) -> None:
        records = self.log.broker.records(NAMES.requests, 0)
        self.loop.process([record for record in records if first <= record.offset < stop])

    def look(self) -> None:
        self.checkpointer.look(self.loop.raters)

    def applied(self) -> list[int]:
        return [checkpoint.applied for checkpoint in self.checkpoints.whole(0)]

    def metric(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(f"creditmeter_{name}", labels) or 0.0

    def differences(self, other: Machine) -> list[Difference]:
        """What the two states do not have in common, but for what clean-up takes away sooner or later."""
        differences: list[Difference] = []
        compare_states(other.loop.raters[0].store, self.loop.raters[0].store, "state", differences.append)
        return differences


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def url(tmp_path: Path) -> str:
    return str(tmp_path / "kept")


@pytest.fixture
def undisturbed(log: Log, tmp_path: Path) -> Iterator[Machine]:
    """The same log through a worker that nothing happens to."""
    other = Log()
    machine = Machine(other, tmp_path / "undisturbed", f"memory://none-{next(numbers)}")
    machine.rate(0, other.end)
    yield machine
    machine.loop.close()


def make_three(log: Log, tmp_path: Path, url: str) -> Machine:
    """A machine that made checkpoints at offsets 29, 59 and 89, and rated the whole log."""
    machine = Machine(log, tmp_path / "one", url)
    for first in (0, 30, 60):
        machine.rate(first, first + 30)
        machine.look()
    machine.rate(90, log.end)
    machine.loop.close()
    assert machine.applied() == [89, 59, 29]
    return machine


def rewritten(log: Log, kept: Callable[[Message], bool], late: Callable[[Message], int] = lambda _: 0) -> Log:
    """A log of those of its messages, each so many ms later."""
    other = Log(0)
    other.broker = MemoryBroker()
    for message in filter(kept, log.broker.records(NAMES.requests, 0)):
        other.broker.append(NAMES.requests, 0, message.value, message.timestamp + late(message))
    return other


def lose_disk(machine: Machine) -> None:
    shutil.rmtree(machine.folder.path(HERE))


def test_checkpoints_are_made_when_due_and_pruned(log: Log, tmp_path: Path, url: str) -> None:
    machine = Machine(log, tmp_path / "one", url, kept=2)
    for first in range(0, 120, 30):
        machine.rate(first, first + 30)
        machine.look()
        machine.look()  # nothing was applied since
    assert machine.applied() == [119, 89]
    newest = machine.checkpoints.newest(0)
    assert newest is not None
    assert newest.recorded_at == log.broker.records(NAMES.requests, 0)[119].timestamp
    assert machine.metric("checkpoints_total", result="kept") == 4
    assert machine.metric("checkpoint_offset", partition="0") == 119
    assert machine.metric("checkpoint_pause_seconds_count") == 4
    assert not list((tmp_path / "one" / "scratch").rglob("*.sst")), "the local copy is removed"
    machine.checkpointer.stop()
    assert not (tmp_path / "one" / "scratch").exists()


def test_the_first_is_made_at_once_and_the_next_when_that_is_old(log: Log, tmp_path: Path, url: str) -> None:
    machine = Machine(log, tmp_path / "one", url, every=3_600)
    machine.rate(0, 30)
    machine.look()
    machine.rate(30, 60)
    machine.look()
    assert machine.applied() == [29]
    machine.loop.close()
    again = Machine(log, tmp_path / "one", url, every=3_600)  # a start does not put it off, nor bring it forward
    again.rate(60, 90)
    again.look()
    assert again.applied() == [29]
    again.loop.close()


def test_a_store_that_is_away_is_reported_and_tried_again(
    log: Log, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1_000.0]
    monkeypatch.setattr("streams.clock.monotonic", lambda: now[0])
    (tmp_path / "kept").write_text("in the way")
    machine = Machine(log, tmp_path / "one", str(tmp_path / "kept" / "below"))
    machine.rate(0, 60)
    for _ in range(3):  # the second look comes before it is time
        machine.look()
    assert machine.metric("checkpoints_total", result="failed") == 1
    assert "no checkpoint of partition 0 now" in caplog.text
    assert "tried again in 10 s" in caplog.text
    now[0] += 11
    machine.look()
    assert "tried again in 20 s" in caplog.text
    (tmp_path / "kept").unlink()
    now[0] += 21
    machine.rate(60, 90)
    machine.look()
    assert machine.applied() == [89]
    machine.loop.close()


def test_copies_are_made_between_groups_while_a_worker_rates(log: Log, tmp_path: Path, url: str) -> None:
    """Rating and copying in two threads: every checkpoint is the state at exactly the offset that it names."""
    machine = Machine(log, tmp_path / "one", url, kept=100)
    turns = machine.checkpointer._turns
    done = threading.Event()

    def copy() -> None:
        while not done.is_set():
            machine.look()

    thread = threading.Thread(target=copy)
    thread.start()
    for offset in range(log.end):
        with turns.rating():
            machine.rate(offset, offset + 1)
        time.sleep(0.004)  # else the log is at its end before the first copy
    done.set()
    thread.join()
    with turns.open:
        machine.loop.close()
    machine.look()  # of a state that was let go of: nothing
    assert machine.metric("checkpoints_total", result="failed") == 0
    wholes = list(machine.checkpoints.whole(0))
    assert len(wholes) > 1
    for checkpoint in wholes:
        folder = RocksFolder(tmp_path / f"at-{checkpoint.applied}", QUICK)
        machine.checkpoints.fetch(checkpoint, folder.path(HERE))
        state = folder.open(HERE)
        assert state.applied == checkpoint.applied
        state.close()


@pytest.mark.parametrize("trimmed", [False, True])
def test_a_machine_without_a_disk_goes_on_from_the_newest(
    log: Log, tmp_path: Path, url: str, undisturbed: Machine, trimmed: bool
) -> None:
    lose_disk(make_three(log, tmp_path, url))
    if trimmed:
        log.broker.expire(NAMES.requests, 0, 90)
    machine = Machine(log, tmp_path / "two", url)
    machine.rate(110, log.end)
    assert machine.loop.raters[0].counts.messages == 0
    assert machine.metric("restores_total", result="done") == 1
    assert machine.loop.raters[0].caught_up == 20, "only what came after the checkpoint"
    assert not machine.differences(undisturbed)
    assert log.outputs() == undisturbed.log.outputs(), "nothing was sent again"
    machine.loop.close()


def damage(url: str, machine: Machine, applied: int, pattern: str) -> None:
    (there,) = [checkpoint for checkpoint in machine.checkpoints.whole(0) if checkpoint.applied == applied]
    path = next(Path(there.place).glob(pattern))
    path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:])


@pytest.mark.parametrize("pattern", ["CURRENT", "MANIFEST-*", "OPTIONS-*", "*.sst", "manifest.json", "manifest.sha256"])
def test_a_damaged_one_is_reported_and_the_one_before_is_used(
    log: Log, tmp_path: Path, url: str, undisturbed: Machine, caplog: pytest.LogCaptureFixture, pattern: str
) -> None:
    first = make_three(log, tmp_path, url)
    damage(url, first, 89, pattern)
    machine = Machine(log, tmp_path / "two", url)
    machine.rate(110, log.end)
    assert machine.loop.raters[0].caught_up == 50
    assert not machine.differences(undisturbed)
    assert log.outputs() == undisturbed.log.outputs()
    if not pattern.startswith("manifest."):
        assert "damaged: missing, or not what was written; the checkpoint before it is tried" in caplog.text
        assert machine.metric("restores_total", result="damaged") == 1
    machine.loop.close()


def test_none_usable(
    log: Log, tmp_path: Path, url: str, undisturbed: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    """The log's beginning does where it is kept; else it is an error, and never a gap."""
    first = make_three(log, tmp_path, url)
    for applied in (89, 59, 29):
        damage(url, first, applied, "*.sst")
    machine = Machine(log, tmp_path / "two", url)
    machine.rate(110, log.end)
    assert machine.loop.raters[0].caught_up == 110
    assert not machine.differences(undisturbed)
    machine.loop.close()
    log.broker.expire(NAMES.requests, 0, 90)
    with pytest.raises(LostPrefix, match="Restore a state that reaches at least offset 89"):
        Machine(log, tmp_path / "three", url).rate(110, log.end)
    assert caplog.text.count("the checkpoint before it is tried") == 4, "only one of them would do for a log from 90 on"


def test_an_unreachable_store_is_no_end_while_the_log_has_everything(
    log: Log, tmp_path: Path, undisturbed: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    machine = Machine(log, tmp_path / "two", str(tmp_path / "file" / "kept"))
    machine.rate(110, log.end)
    assert "no checkpoint for sim.requests[0]" in caplog.text
    assert not machine.differences(undisturbed)
    machine.loop.close()


def test_a_local_state_is_replaced_only_where_the_log_has_left_it_behind(
    log: Log, tmp_path: Path, url: str, undisturbed: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_three(log, tmp_path, url)
    old = Machine(log, tmp_path / "two", f"memory://none-{next(numbers)}")
    old.rate(0, 10)
    old.loop.close()
    shutil.copytree(tmp_path / "two", tmp_path / "three")
    kept = Machine(log, tmp_path / "two", url)
    kept.rate(110, log.end)
    assert kept.loop.raters[0].caught_up == 100, "the log has everything: the own state is good"
    kept.loop.close()
    monkeypatch.setattr(
        "streams.checkpoints.restoring.FAR_BEHIND", 50
    )  # and it is quick to read: unless it is very much
    far = Machine(log, tmp_path / "three", url)
    far.rate(110, log.end)
    assert far.loop.raters[0].caught_up == 20
    assert not far.differences(undisturbed)
    far.loop.close()
    monkeypatch.undo()
    log.broker.expire(NAMES.requests, 0, 80)
    shutil.rmtree(tmp_path / "three")
    old = Machine(Log(), tmp_path / "three", f"memory://none-{next(numbers)}")
    old.rate(0, 10)
    old.loop.close()
    behind = Machine(log, tmp_path / "three", url)
    behind.rate(110, log.end)
    assert behind.loop.raters[0].caught_up == 20
    assert not behind.differences(undisturbed)
    behind.loop.close()
    newer = Machine(log, tmp_path / "three", url)
    newer.rate(119, log.end)
    assert newer.loop.raters[0].caught_up == 0
    assert newer.loop.raters[0].applied == log.end - 1
    newer.loop.close()
    assert not list((tmp_path / "three" / "scratch").rglob("*.sst"))


def test_a_checkpoint_beyond_the_log_or_of_another_log_is_not_used(
    log: Log, tmp_path: Path, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    make_three(log, tmp_path, url)
    cut = rewritten(log, lambda message: message.offset < 50)
    machine = Machine(cut, tmp_path / "two", url)
    machine.rate(40, cut.end)
    assert caplog.text.count("reaches beyond the log") == 2
    assert machine.loop.raters[0].caught_up == 10
    machine.loop.close()


def test_an_end_in_the_middle_of_a_restore_leaves_no_half_state(
    log: Log, tmp_path: Path, url: str, undisturbed: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_three(log, tmp_path, url)

    class Ended(BaseException):
        pass

    for step in range(40):
        left = [step]
        real = fsspec.implementations.local.LocalFileSystem.get_file

        def counted(self: Any, *args: Any, left: list[int] = left, real: Any = real, **kwargs: Any) -> Any:
            left[0] -= 1
            if left[0] < 0:
                raise Ended
            return real(self, *args, **kwargs)

        monkeypatch.setattr(fsspec.implementations.local.LocalFileSystem, "get_file", counted)
        machine = Machine(log, tmp_path / "two", url)
        try:
            machine.rate(110, log.end)
        except Ended:
            assert not has_state(machine.folder.path(HERE))
            continue
        finally:
            monkeypatch.undo()
        break
    assert step > 2
    assert not machine.differences(undisturbed)
    machine.loop.close()


def test_scratch_of_ended_processes_is_removed(tmp_path: Path) -> None:
    for name in ("999999999", "no-pid", "1"):
        (tmp_path / "scratch" / name / "upload-0").mkdir(parents=True)
    mine = Scratch(tmp_path)
    assert sorted(entry.name for entry in (tmp_path / "scratch").iterdir()) == sorted(["1", mine._own.name])
    mine.close()
    assert [entry.name for entry in (tmp_path / "scratch").iterdir()] == ["1"]


def test_scratch_of_a_running_command_in_the_same_folder_is_left_alone(tmp_path: Path) -> None:
    theirs = tmp_path / "scratch" / "1-command"
    theirs.mkdir(parents=True)
    Scratch(tmp_path).close()
    assert theirs.is_dir()


def test_checkpoints_newer_than_a_restored_log_are_passed_over(
    log: Log, tmp_path: Path, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Kafka was put back to its copy of offset 70 and others were sent since: 59 is the newest that is of this log."""
    machine = make_three(log, tmp_path, url)
    lose_disk(machine)
    restored = rewritten(log, lambda _: True, lambda message: message.offset >= 70)
    again = Machine(restored, tmp_path / "one", url)
    again.loop.assign([0])
    assert again.loop.raters[0].applied == 59
    assert "another record there" in caplog.text
    assert "is tried" in caplog.text
    again.rate(60, restored.end)
    fresh = rewritten(restored, lambda _: True)
    whole = Machine(fresh, tmp_path / "two", f"memory://none-{next(numbers)}")
    whole.rate(0, fresh.end)
    assert not again.differences(whole)
    again.loop.close()
    whole.loop.close()

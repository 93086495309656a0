"""Which state a replay begins with: the worker's where it surely is of this log, else the log's beginning."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from replay.bases import BasePlaces, base_for
from streams.checkpoints.checkpoints import Checkpoints
from streams.checkpoints.manifest import Checkpoint
from streams.log.memory import MemoryBroker, MemoryInputLog
from streams.state.rocks import RocksState
from streams.state.rocks_folder import RocksFolder, state_folder
from streams.state.store import Identity

TOPIC, PARTITION, END = "sim.requests", 1, 10
WANTED = Identity(TOPIC, PARTITION, "id")


@pytest.fixture
def broker() -> MemoryBroker:
    made = MemoryBroker()
    for number in range(END):
        made.append(TOPIC, PARTITION, b"%d" % number)
    return made


@pytest.fixture
def said() -> list[str]:
    return []


def state(root: Path, applied: int, identity: Identity = WANTED) -> RocksState:
    made = RocksFolder(root).open(identity)
    made.commit({b"row": 1}, applied)
    return made


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[RocksState]:
    """The state of a worker that runs."""
    made = state(tmp_path, 6)
    yield made
    made.close()


def found(
    broker: MemoryBroker, root: Path | None, said: list[str], before: int | None = None, url: Path | None = None
) -> tuple[str, int]:
    scratch = (root or Path()) / "scratch"
    checkpoints = None if url is None else Checkpoints(str(url), TOPIC, "id")
    base = base_for(BasePlaces(WANTED, MemoryInputLog(broker, TOPIC), scratch, root, checkpoints), said.append, before)
    assert (base.store.get(b"row") == 1) == (base.applied >= 0)
    base.close()
    assert not list(scratch.glob("*")), "what was fetched is removed"
    return base.name, base.applied


BEGINNING = ("the log's beginning", -1)


@pytest.mark.usefixtures("workers")
def test_the_workers_state_while_it_runs(broker: MemoryBroker, tmp_path: Path, said: list[str]) -> None:
    assert found(broker, tmp_path, said) == ("the worker's state", 6)
    assert found(broker, tmp_path, said, before=7) == ("the worker's state", 6)
    assert not said


@pytest.mark.usefixtures("workers")
def test_a_state_that_is_beyond_what_is_asked_for(broker: MemoryBroker, tmp_path: Path, said: list[str]) -> None:
    assert found(broker, tmp_path, said, before=6) == BEGINNING
    assert not said


def test_none_is_looked_for(broker: MemoryBroker, said: list[str]) -> None:
    assert found(broker, None, said) == BEGINNING
    assert not said


def test_none_is_there(broker: MemoryBroker, tmp_path: Path, said: list[str]) -> None:
    assert found(broker, tmp_path, said) == BEGINNING
    assert said == [f"the worker's state of sim.requests[1] is not on this machine ({state_folder(tmp_path, WANTED)})"]


@pytest.mark.parametrize(
    ("identity", "why"),
    [
        (Identity(TOPIC, PARTITION, "earlier"), "was made from an earlier topic"),
        (Identity(TOPIC, PARTITION), "does not say which log"),
        (Identity(TOPIC, 2, "id"), "belongs to sim.requests[2]"),
        (Identity("other.requests", PARTITION, "id"), "belongs to other.requests[1]"),
    ],
)
def test_a_foreign_state(broker: MemoryBroker, tmp_path: Path, said: list[str], identity: Identity, why: str) -> None:
    state(tmp_path / "real", 6, identity).close()
    place = state_folder(tmp_path, WANTED)
    place.parent.mkdir(parents=True)
    state_folder(tmp_path / "real", identity).rename(place)
    assert found(broker, tmp_path, said) == BEGINNING
    assert len(said) == 1
    assert why in said[0]


def test_a_state_that_is_ahead_of_the_log(broker: MemoryBroker, tmp_path: Path, said: list[str]) -> None:
    state(tmp_path, END).close()
    assert found(broker, tmp_path, said) == BEGINNING
    assert "goes up to offset 10, and the log ends at 10" in said[0]


def test_a_state_at_the_logs_end(broker: MemoryBroker, tmp_path: Path, said: list[str]) -> None:
    state(tmp_path, END - 1).close()
    assert found(broker, tmp_path, said) == ("the worker's state", END - 1)


def test_a_state_that_the_log_no_longer_continues(broker: MemoryBroker, tmp_path: Path, said: list[str]) -> None:
    state(tmp_path, 6).close()
    broker.expire(TOPIC, PARTITION, 7)
    assert found(broker, tmp_path, said) == ("the worker's state", 6)
    broker.expire(TOPIC, PARTITION, 8)
    assert found(broker, tmp_path, said) == BEGINNING
    assert "goes up to offset 6, and the log begins at 8" in said[0]


def test_a_folder_that_cannot_be_read(broker: MemoryBroker, tmp_path: Path, said: list[str]) -> None:
    place = state_folder(tmp_path, WANTED)
    place.mkdir(parents=True)
    assert found(broker, tmp_path, said) == BEGINNING
    (place / "CURRENT").write_bytes(b"\x00nothing\n")
    assert found(broker, tmp_path, said) == BEGINNING
    assert len(said) == 2
    assert all("is not used: " in line for line in said)


@pytest.fixture
def kept(tmp_path: Path) -> dict[int, Checkpoint]:
    """Checkpoints by the offset that they go to, below `kept`; no worker is on this machine."""
    checkpoints, made = Checkpoints(str(tmp_path / "kept"), TOPIC, "id"), {}
    for applied in (2, 5, 7):
        source = state(tmp_path / f"machine-{applied}", applied)
        source.checkpoint(tmp_path / f"copy-{applied}")
        source.close()
        made[applied] = checkpoints.save(PARTITION, applied, None, tmp_path / f"copy-{applied}")
    return made


def name(checkpoint: Checkpoint) -> str:
    return f"the checkpoint {checkpoint.place}"


@pytest.mark.parametrize(("before", "applied"), [(None, 7), (8, 7), (7, 5), (5, 2)])
def test_the_newest_checkpoint(
    broker: MemoryBroker, tmp_path: Path, said: list[str], kept: dict[int, Checkpoint], before: int | None, applied: int
) -> None:
    assert found(broker, tmp_path, said, before, tmp_path / "kept") == (name(kept[applied]), applied)
    assert found(broker, tmp_path, said, 2, tmp_path / "kept") == BEGINNING


@pytest.mark.usefixtures("workers", "kept")
def test_the_workers_state_comes_before_a_checkpoint(broker: MemoryBroker, tmp_path: Path, said: list[str]) -> None:
    assert found(broker, tmp_path, said, None, tmp_path / "kept") == ("the worker's state", 6)


def test_a_damaged_checkpoint_gives_way_to_the_one_before(
    broker: MemoryBroker, tmp_path: Path, said: list[str], kept: dict[int, Checkpoint]
) -> None:
    folder = Path(kept[7].place.removeprefix("file://"))
    table = max((folder / file for file in kept[7].files), key=lambda path: path.stat().st_size)
    data = bytearray(table.read_bytes())
    data[len(data) // 2] ^= 1
    table.write_bytes(data)
    assert found(broker, tmp_path, said, None, tmp_path / "kept") == (name(kept[5]), 5)
    assert any("a checkpoint is not used: " in line and table.name in line for line in said)


@pytest.mark.usefixtures("kept")
def test_checkpoints_that_the_log_no_longer_continues(broker: MemoryBroker, tmp_path: Path, said: list[str]) -> None:
    broker.expire(TOPIC, PARTITION, 9)
    assert found(broker, tmp_path, said, None, tmp_path / "kept") == BEGINNING
    assert "it goes up to offset 7, the log begins at 9" in said[-1]

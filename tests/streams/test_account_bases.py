"""Which state a replay begins with: the worker's where it surely is of this log, else the log's beginning."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.account_bases import BasePlaces, base_for
from streams.memory_log import MemoryBroker, MemoryInputLog
from streams.rocks import RocksState
from streams.rocks_folder import RocksFolder, state_folder
from streams.state import Identity

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


def found(broker: MemoryBroker, root: Path | None, said: list[str], before: int | None = None) -> tuple[str, int]:
    base = base_for(BasePlaces(WANTED, MemoryInputLog(broker, TOPIC), root), said.append, before)
    assert (base.store.get(b"row") == 1) == (base.applied >= 0)
    base.close()
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
    assert all("is not used: " in each for each in said)

"""A look at a running worker's state: whole, of one instant, and without touching it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rocksdict import Rdict

from streams.state import read_only
from streams.state.read_only import StateView
from streams.state.rocks import RocksState, open_database
from streams.state.rocks_folder import RocksFolder
from streams.state.store import Identity, StateError

IDENTITY = Identity("t.requests", 3, "id")


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[RocksState]:
    made = RocksFolder(tmp_path).open(IDENTITY)
    made.commit({b"e1": 1, b"e2": 2, b"f1": 3}, 4)
    yield made
    made.close()


def test_it_is_of_one_instant(worker: RocksState) -> None:
    view = StateView(worker.path)
    worker.commit({b"e3": 3, b"e1": None}, 5)
    assert (view.applied, view.identity) == (4, IDENTITY)
    assert (view.get(b"e1"), view.get(b"e3")) == (1, None)
    assert list(view.scan(b"e")) == [(b"e1", 1), (b"e2", 2)]
    assert list(view.scan(b"e", b"e1")) == [(b"e2", 2)]
    view.close()
    assert list(worker.scan(b"e")) == [(b"e2", 2), (b"e3", 3)]


def test_it_refuses_to_be_written_to(worker: RocksState) -> None:
    view = StateView(worker.path)
    with pytest.raises(StateError, match="only read"):
        view.write({b"e1": 9})
    view.close()
    assert worker.get(b"e1") == 1


def test_a_log_that_goes_while_it_is_opened_makes_it_look_again(
    worker: RocksState, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What stood in that log might be in no table that was listed yet: without another look it could be missing."""
    opened: list[Rdict] = []

    def open_slowly(*arguments: Any) -> Rdict:
        db = open_database(*arguments)
        if not opened:
            worker.commit({b"e3": 3}, 5)
            worker._db.flush()
        opened.append(db)
        return db

    monkeypatch.setattr(read_only, "open_database", open_slowly)
    view = StateView(worker.path)
    assert len(opened) == 2
    assert (view.applied, [key for key, _ in view.scan(b"e")]) == (5, [b"e1", b"e2", b"e3"])
    view.close()


def test_it_reads_with_the_filters_that_the_worker_wrote_and_its_own_cache(worker: RocksState) -> None:
    worker.commit({b"row-%d" % number: b"x" * 1000 for number in range(100)}, 5)  # in many blocks
    worker.flush()
    view = StateView(worker.path)
    assert view._db.property_int_value("rocksdb.block-cache-capacity") == read_only._CACHE_BYTES
    assert not any(view.get(b"row-%dx" % number) for number in range(100))  # the filter says so: hardly a block is read
    used = view._db.property_int_value("rocksdb.block-cache-usage")
    assert all(view.get(b"row-%d" % number) == b"x" * 1000 for number in range(100))
    assert view._db.property_int_value("rocksdb.block-cache-usage") > 2 * used > 0
    view.close()


def test_a_folder_without_a_state_is_named(tmp_path: Path) -> None:
    with pytest.raises(StateError, match=f"{tmp_path}: the state cannot be opened"):
        StateView(tmp_path)

"""What every `StateStore` does. The suites in test_store.py and test_rocks.py run it over the twin and over RocksDB."""

from collections.abc import Callable
from typing import Any

import pytest

from streams.state.store import NOTHING_APPLIED, LastMessage, StateStore

VALUES: list[Any] = [
    0,
    -1,
    2**63 - 1,
    -(2**63),
    "",
    "ä\u2028\U0001f600",
    b"",
    b"\x00\xff",
    [],
    [1, [None, "x"]],
    {},
    {"b": 1, "a": {"nested": [b"x", None]}},
    {1: "a key that is no text"},
    True,
]


class StateContract:
    """A subclass gives the fixture `reopen`: close what is open (if anything) and open the same state (again)."""

    @pytest.fixture
    def reopen(self) -> Callable[[], StateStore]:
        raise NotImplementedError

    @pytest.fixture
    def store(self, reopen: Callable[[], StateStore]) -> StateStore:
        return reopen()

    def test_a_new_store_is_empty(self, store: StateStore) -> None:
        assert store.applied == NOTHING_APPLIED == -1
        assert store.get(b"a") is None
        assert list(store.scan(b"")) == []

    @pytest.mark.parametrize("value", VALUES, ids=repr)
    def test_values_come_back_equal(self, reopen: Callable[[], StateStore], value: Any) -> None:
        reopen().commit({b"k": value}, 0)
        store = reopen()
        assert store.get(b"k") == value
        assert type(store.get(b"k")) is type(value)
        assert list(store.scan(b"k")) == [(b"k", value)]

    def test_changes_and_offset_are_kept_over_a_restart(self, reopen: Callable[[], StateStore]) -> None:
        reopen().commit({b"a": 1, b"b": 2}, 7)
        store = reopen()
        assert (store.applied, store.get(b"a"), store.get(b"b")) == (7, 1, 2)
        store.commit({b"a": None, b"absent": None, b"c": 3}, 9)
        again = reopen()
        assert (again.applied, list(again.scan(b""))) == (9, [(b"b", 2), (b"c", 3)])

    def test_the_last_message_is_kept_with_the_changes(self, reopen: Callable[[], StateStore]) -> None:
        store = reopen()
        assert store.last_message is None
        store.commit({b"a": 1}, 7, LastMessage(6, b"\x00" * 16))
        assert store.last_message == reopen().last_message == LastMessage(6, b"\x00" * 16)
        store = reopen()
        store.commit({b"a": 2}, 9)
        store.write({b"a": 3})
        assert (store.applied, store.last_message) == (9, LastMessage(6, b"\x00" * 16))
        store.commit({}, 12, LastMessage(11, b"\xff" * 16))
        assert reopen().last_message == LastMessage(11, b"\xff" * 16)

    def test_write_leaves_the_offset(self, reopen: Callable[[], StateStore]) -> None:
        store = reopen()
        store.commit({}, 3)
        store.write({b"a": 1})
        assert (store.applied, store.get(b"a")) == (3, 1)
        assert reopen().applied == 3

    def test_an_offset_never_goes_back(self, store: StateStore) -> None:
        store.commit({b"a": 1}, 5)
        with pytest.raises(ValueError, match="4 cannot be applied after 5"):
            store.commit({b"a": 2}, 4)
        assert (store.applied, store.get(b"a")) == (5, 1)

    def test_keys_of_the_store_are_refused_and_never_seen(self, store: StateStore) -> None:
        store.commit({b"a": 1}, 0)
        with pytest.raises(ValueError, match="zero byte"):
            store.commit({b"b": 1, b"\x00applied": 9}, 1)
        assert (store.applied, list(store.scan(b""))) == (0, [(b"a", 1)])

    def test_a_value_that_cannot_be_packed_changes_nothing(self, store: StateStore) -> None:
        with pytest.raises((OverflowError, TypeError)):
            store.commit({b"a": 1, b"b": 2**64}, 0)
        assert (store.applied, list(store.scan(b""))) == (-1, [])

    def test_scan_gives_a_prefix_in_byte_order(self, store: StateStore) -> None:
        keys = [
            b"a",
            b"b",
            b"b\x00",
            b"b\x00\x01",
            b"b\x7f",
            b"b\xff",
            b"b\xff\xff",
            b"c",
            b"\xff",
            b"\xff\xff",
            b"\xff\xff\x01",
        ]
        store.commit({key: n for n, key in enumerate(reversed(keys))}, 0)
        assert [key for key, _ in store.scan(b"b")] == keys[1:7]
        assert [key for key, _ in store.scan(b"b\xff")] == keys[5:7]
        assert [key for key, _ in store.scan(b"\xff")] == keys[8:]
        assert [key for key, _ in store.scan(b"")] == keys
        assert list(store.scan(b"bb")) == []

    @pytest.mark.parametrize(
        ("after", "expected"),
        [
            (b"", [b"b1", b"b2", b"b3"]),
            (b"a", [b"b1", b"b2", b"b3"]),
            (b"b", [b"b1", b"b2", b"b3"]),
            (b"b1", [b"b2", b"b3"]),
            (b"b1\x00", [b"b2", b"b3"]),
            (b"b3", []),
            (b"c", []),
            (b"\xff", []),
        ],
    )
    def test_scan_after_a_key(self, store: StateStore, after: bytes, expected: list[bytes]) -> None:
        store.commit({b"a1": 0, b"b1": 1, b"b2": 2, b"b3": 3, b"c1": 4}, 0)
        assert [key for key, _ in store.scan(b"b", after)] == expected

    def test_scan_passes_over_what_was_deleted(self, store: StateStore) -> None:
        store.commit({b"b%03d" % n: n for n in range(500)}, 0)
        store.commit({b"b%03d" % n: None for n in range(400)}, 1)
        assert next(store.scan(b"b")) == (b"b400", 400)
        assert len(list(store.scan(b"b"))) == 100

    def test_a_scan_that_was_left_does_not_hold_the_store(self, reopen: Callable[[], StateStore]) -> None:
        store = reopen()
        store.commit({b"a": 1, b"b": 2}, 0)
        scan = store.scan(b"")
        assert next(scan) == (b"a", 1)
        store.close()
        assert reopen().get(b"b") == 2

    def test_close_twice(self, store: StateStore) -> None:
        store.close()
        store.close()

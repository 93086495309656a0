"""The in-memory state: the contract, and what only the twin can do."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.state.store import MemoryState, StateError, StateStore, prefix_end
from tests.streams.state.contract_state import StateContract


class TestMemoryState(StateContract):
    @pytest.fixture
    def reopen(self) -> Callable[[], StateStore]:
        opened = [MemoryState()]

        def again() -> StateStore:
            opened.append(opened[-1].reopen())
            return opened[-1]

        return again


def test_power_loss_forgets_whole_commits_latest_first() -> None:
    state = MemoryState()
    state.commit({b"a": 1, b"b": 1}, 0)
    state.commit({b"a": 2, b"c": 2}, 1)
    state.commit({b"a": None, b"b": 3}, 2)
    assert state.lose(1) == 1
    assert (state.applied, list(state.scan(b""))) == (1, [(b"a", 2), (b"b", 1), (b"c", 2)])
    state = state.reopen()
    assert state.lose(9) == 2
    assert (state.applied, state.contents()) == (-1, {})


def test_a_copy_has_a_life_of_its_own() -> None:
    state = MemoryState()
    state.commit({b"a": 1}, 0)
    copy = state.copy()
    state.commit({b"a": 2}, 1)
    assert (copy.applied, copy.get(b"a")) == (0, 1)


@pytest.mark.parametrize(("moment", "applied"), [("before", -1), ("after", 0)])
def test_a_fault_strikes_before_or_after_the_write(moment: str, applied: int) -> None:
    def fault(at: str) -> None:
        if at == moment:
            raise KeyboardInterrupt

    state = MemoryState(fault)
    with pytest.raises(KeyboardInterrupt):
        state.commit({b"a": 1}, 0)
    assert (state.applied, state.get(b"a")) == (applied, None if moment == "before" else 1)


def test_a_closed_state_answers_nothing() -> None:
    state = MemoryState()
    state.close()
    with pytest.raises(StateError, match="closed"):
        state.get(b"a")


@given(st.binary(max_size=4), st.binary(max_size=5))
def test_prefix_end_is_the_first_key_after_the_prefix(prefix: bytes, key: bytes) -> None:
    end = prefix_end(prefix)
    assert (key >= prefix and (end is None or key < end)) == key.startswith(prefix)

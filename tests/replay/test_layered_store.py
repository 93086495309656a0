"""A layered store is what one store would be that took the same writes, and leaves the lower one as it was."""

from hypothesis import given, settings
from hypothesis import strategies as st

from metering import MemoryStore
from metering.store import Store
from replay.layered_store import LayeredStore
from streams.state.store import MemoryState
from tests.sizes import examples

KEYS = st.sampled_from(
    [table + account + tail for table in (b"a", b"c") for account in (b"\0\1x", b"\0\1y") for tail in (b"", b"1", b"2")]
)
CHANGES = st.dictionaries(KEYS, st.none() | st.integers(0, 9) | st.lists(st.integers(0, 9), max_size=2), max_size=6)
PREFIXES = (b"a\0\1x", b"c\0\1x", b"c\0\1y")


def contents(store: Store) -> dict[bytes, object]:
    return {key: value for prefix in PREFIXES for key, value in store.scan(prefix)}


@settings(max_examples=examples(60))
@given(CHANGES, st.lists(CHANGES, max_size=4), KEYS)
def test_it_is_like_one_store(lower: dict[bytes, object], writes: list[dict[bytes, object]], after: bytes) -> None:
    below, single = MemoryState(), MemoryState()
    below.write(lower)
    single.write(lower)
    before = below.contents()
    for upper in (MemoryStore(), MemoryState()):
        layered = LayeredStore(below, upper)
        for changes in writes:
            layered.write(changes)
            single.write(changes)
        assert contents(layered) == contents(single)
        for prefix in PREFIXES:
            assert list(layered.scan(prefix)) == list(single.scan(prefix))
            if after.startswith(prefix):
                assert list(layered.scan(prefix, after)) == list(single.scan(prefix, after))
            for key in (prefix, prefix + b"1"):
                assert layered.get(key) == single.get(key)
    assert below.contents() == before

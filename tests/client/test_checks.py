"""The quick look at a command and the thorough one agree."""

from typing import Any

import pytest
from creditmeter_client import checks
from creditmeter_client.usage import Event
from hypothesis import given
from hypothesis import strategies as st

from tests.client.scripted import NOW

PLAIN: dict[str, Any] = {
    "event_id": "e", "account_id": "a", "occurred_at": NOW, "endpoint": "/x", "channel": "api", "outcome": "processed",
}  # fmt: skip
odd = st.one_of(
    st.text(max_size=3), st.sampled_from(["x" * 128, "x" * 129, "x" * 257, "ä", "\ud800", ""]), st.integers(-1, 2),
    st.sampled_from([NOW, 0, 10**18, True, None, 1.5, b"x", {}, {"a": "b"}, {"a": 1}, {"a": 10**10}, {"": 1}, {1: "x"},
                     {"k": "v" * 1_025}, {"k": "v" * 300}, {str(n): 1 for n in range(33)}]),
)  # fmt: skip


@given(changed=st.dictionaries(st.sampled_from([*PLAIN, "ip", "quantities", "attributes", "hold_id"]), odd, max_size=3))
def test_what_is_plain_has_no_mistake(changed: dict[str, Any]) -> None:
    event = Event("e", "a", {**PLAIN, **changed})
    is_plain = checks._is_plain(event.fields, ("event_id", "account_id", "endpoint", "channel"))
    if is_plain:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(checks, "_is_plain", lambda *_: False)
            assert checks.check(event) == ()


def test_the_usual_event_is_plain() -> None:
    usual = {**PLAIN, "ip": "192.0.2.1", "quantities": {"results": 25}, "attributes": {"mode": "deep"}}
    assert checks._is_plain(usual, ("event_id", "account_id", "endpoint", "channel"))

"""A reused id with other content is not "the same event"."""

import pytest

from application.explaining.repeats import differing_fields, repeat_sentence

EVENT = {
    "event_id": "bulk-1", "account_id": "sid", "occurred_at": 1_770_000_000_000, "endpoint": "/v1/search",
    "ip": None, "quantities": {"results": 1}, "attributes": {},
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "differences"),
    [
        ({}, []),
        ({"quantities": {"results": 1000}}, ["quantities.results 1000 instead of 1"]),
        ({"quantities": {}}, ["quantities.results nothing instead of 1"]),
        ({"ip": "203.0.113.7"}, ["ip 203.0.113.7 instead of nothing"]),
        ({"attributes": {"a": "x" * 99}}, [f"attributes.a {'x' * 60}… instead of nothing"]),
        (
            {"endpoint": "/v1/other", "quantities": {"results": 2}},
            ["endpoint /v1/other instead of /v1/search", "quantities.results 2 instead of 1"],
        ),
    ],
)
def test_differences_are_named(changes: dict[str, object], differences: list[str]) -> None:
    assert differing_fields(EVENT | changes, EVENT) == differences


def test_only_the_same_event_is_called_the_same() -> None:
    assert repeat_sentence("t[0]@5", EVENT, EVENT).startswith("The same event came again at t[0]@5")
    other = repeat_sentence("t[0]@5", EVENT | {"quantities": {"results": 1000}}, EVENT)
    assert other.startswith("Another event under the same id came at t[0]@5, with quantities.results 1000 instead of 1")
    assert "same event" not in other
    assert repeat_sentence("t[0]@5", EVENT, None).startswith("An event of this id came again")
    many = {"endpoint": "/b", "ip": "192.0.2.1", "quantities": {"results": 9, "emails": 3}, "attributes": {"a": "b"}}
    assert "and 1 more fields" in repeat_sentence("t[0]@5", EVENT | many, EVENT)

"""A reused id with other content is not "the same event"."""

from application.explaining.repeats import repeat_sentence

EVENT = {
    "event_id": "bulk-1", "account_id": "sid", "occurred_at": 1_770_000_000_000, "endpoint": "/v1/search",
    "ip": None, "quantities": {"results": 1}, "attributes": {},
}  # fmt: skip


def test_only_the_same_event_is_called_the_same() -> None:
    assert repeat_sentence("t[0]@5", EVENT, EVENT).startswith("The same event came again at t[0]@5")
    other = repeat_sentence("t[0]@5", EVENT | {"quantities": {"results": 1000}}, EVENT)
    assert other.startswith("Another event under the same id came at t[0]@5, with quantities.results 1000 instead of 1")
    assert "same event" not in other
    assert repeat_sentence("t[0]@5", EVENT, None).startswith("An event of this id came again")
    many = {"endpoint": "/b", "ip": "192.0.2.1", "quantities": {"results": 9, "emails": 3}, "attributes": {"a": "b"}}
    assert "and 1 more fields" in repeat_sentence("t[0]@5", EVENT | many, EVENT)

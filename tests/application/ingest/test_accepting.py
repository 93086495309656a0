"""Events of a request, encoded: which of them contradict each other."""

from application.ingest.accepting import Encoded, other_contents
from streams.log.event_sender import Outgoing


def event(event_id: str, content: bytes, account_id: str = "acme") -> Encoded:
    return Encoded(event_id, account_id, Outgoing(0, content))


def test_the_same_id_with_another_content_points_to_the_first() -> None:
    events = [
        event("a", b"1"), None, event("a", b"1"), event("a", b"2"), event("a", b"2", "other"), event("b", b"2"),
        event("a", b"3"),
    ]  # fmt: skip
    assert other_contents(events) == {3: 0, 6: 0}
    assert other_contents([]) == {}

"""Which webhooks are told, by what id, in what words."""

import json

from hypothesis import given
from hypothesis import strategies as st

from application.webhooks.events import EventSequence, EventType, Happening
from application.webhooks.messages import body, deliveries, message_id, wants
from tests.application.webhooks.examples import NOW, a_webhook

PLACES = st.builds(EventSequence, *[st.integers(0, 2**63 - 1)] * 4)
SOURCES = st.tuples(st.text(), st.sampled_from(EventType), PLACES, st.text())


def happening(account_id: str | None = "acct-7", event: EventType = EventType.REFUND_MADE) -> Happening:
    return Happening(
        event, account_id, NOW, EventSequence(3, 7, 0, 1), {"account_id": account_id, "reason": "für Ö\u202e"}
    )


@given(SOURCES, SOURCES)
def test_a_message_id_stands_for_its_source_and_webhook(
    one: tuple[str, EventType, EventSequence, str], other: tuple[str, EventType, EventSequence, str]
) -> None:
    assert (message_id(*one) == message_id(*other)) == (one == other)


def test_a_message_id_never_changes() -> None:
    """It is how receivers know a double, whatever version sends it."""
    made = message_id("log-1", EventType.BALANCE_BELOW, EventSequence(3, 7, 0, 1), "wh_1")
    assert made == "msg_b25afbff0dca866e0d22bcafc811eaa5"


def test_an_account_s_webhook_hears_of_that_account_alone_and_an_operator_s_of_all() -> None:
    mine, theirs, operators = a_webhook(), a_webhook(account_id="other"), a_webhook(account_id=None)
    assert [wants(webhook, happening(), NOW) for webhook in (mine, theirs, operators)] == [True, False, True]
    assert [wants(webhook, happening(None), NOW) for webhook in (mine, operators)] == [False, True]


def test_only_what_it_asked_for_while_it_is_on_and_not_from_before_it_was_there() -> None:
    assert not wants(a_webhook(events=["refund.rejected"]), happening(), NOW)
    assert not wants(a_webhook(disabled_at=NOW), happening(), NOW)
    assert not wants(a_webhook(removed_at=NOW), happening(), NOW)
    assert not wants(a_webhook(created_at=NOW + 1), happening(), NOW)
    assert wants(a_webhook(created_at=NOW), happening(), NOW)


def test_each_webhook_has_its_own_message_of_the_same_words() -> None:
    one, two = deliveries(
        happening(), [a_webhook("wh_1"), a_webhook("wh_2"), a_webhook("wh_3", "other")], "log", 1, NOW
    )
    assert one.payload == two.payload
    assert one.delivery_id != two.delivery_id
    assert (one.webhook_id, one.account_id, one.event, one.next_at) == ("wh_1", "acct-7", "refund.made", NOW)
    (again,) = deliveries(happening(), [a_webhook("wh_1")], "log", 1, NOW + 1)  # after a crash, later
    assert (again.delivery_id, again.created_at, again.payload) == (one.delivery_id, one.created_at, one.payload)


def test_a_body_says_what_when_and_where_in_the_log() -> None:
    text = body(EventType.REFUND_MADE, NOW, EventSequence(3, 7, 0, 1), happening().data)
    assert json.loads(text) == {
        "type": "refund.made",
        "timestamp": "2027-01-15T08:00:00Z",
        "data": {"account_id": "acct-7", "reason": "für Ö\u202e"},
        "sequence": {"partition": 3, "offset": 7, "part": 0, "index": 1},
    }

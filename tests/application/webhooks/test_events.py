"""What outputs tell webhooks, and what they keep to themselves."""

import json
from typing import Any

import pytest

from application.access.webhooks import EVENTS
from application.webhooks.events import EventSequence, EventType, Happening, happenings
from schemas.catalog import BATCHES
from tests.schemas.records import EXAMPLES

BATCH_OF = {name: EXAMPLES[name] for name in BATCHES}


def told(name: str, **changes: Any) -> list[Happening]:
    batch = BATCH_OF[name]
    items = [item | changes for item in batch[BATCHES[name]]]
    return list(happenings(name, batch | {BATCHES[name]: items}))


def test_what_a_webhook_can_ask_for_is_what_can_happen() -> None:
    assert {*EVENTS} == {*EventType} - {EventType.TEST}


@pytest.mark.parametrize(
    ("name", "changes", "event"),
    [
        ("AlertBatch", {"kind": "below"}, EventType.BALANCE_BELOW),
        ("AlertBatch", {"kind": "empty", "mark": None}, EventType.BALANCE_EMPTY),
        ("GrantBatch", {"status": "applied"}, EventType.GRANT_APPLIED),
        ("GrantBatch", {"status": "expired"}, EventType.GRANT_EXPIRED),
        ("RefundBatch", {"status": "refunded"}, EventType.REFUND_MADE),
        ("RefundBatch", {"status": "rejected", "reject_reason": "unknown_charge"}, EventType.REFUND_REJECTED),
        ("HoldBatch", {"status": "expired"}, EventType.HOLD_EXPIRED),
        ("DeadLetterBatch", {"command": "request"}, EventType.EVENT_SET_ASIDE),
        ("DeadLetterBatch", {"command": None, "account_id": None}, EventType.EVENT_SET_ASIDE),
    ],
)
def test_each_output_tells_its_event_with_its_place(name: str, changes: dict[str, Any], event: EventType) -> None:
    (happening,) = told(name, **changes)
    assert (happening.event, happening.sequence) == (event, EventSequence(3, 70_000, 0, 0))
    assert happening.account_id == ("acct-7" if "account_id" not in changes else None)
    assert json.loads(json.dumps(happening.data))["account_id"] == happening.account_id
    times = [value for field, value in happening.data.items() if field == "at" or field.endswith("_at")]
    assert times
    assert all(value is None or value.endswith("Z") for value in times)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("AlertBatch", {"kind": "unknown"}),
        ("GrantBatch", {"status": "unknown"}),
        *[("HoldBatch", {"status": status}) for status in ("held", "rejected", "drawn", "settled", "released")],
        *[("DeadLetterBatch", {"command": command}) for command in ("grant", "refund", "hold", "account")],
        ("BilledBatch", {}),
        ("AccountBatch", {}),
    ],
)
def test_what_is_nobodys_business_is_told_to_nobody(name: str, changes: dict[str, Any]) -> None:
    assert told(name, **changes) == []


def test_a_dead_letter_says_why_and_not_what_was_sent_or_by_whom() -> None:
    (happening,) = told("DeadLetterBatch")
    assert {"original", "producer"} & happening.data.keys() == set()
    assert (happening.data["reason"], happening.data["field"]) == ("invalid_event", "ip")


def test_items_are_counted_within_their_part() -> None:
    batch = EXAMPLES["AlertBatch"]
    (alert,) = batch["alerts"]
    held = {**batch, "part": 2, "alerts": [alert, alert | {"kind": "unknown"}, alert]}
    assert [happening.sequence for happening in happenings("AlertBatch", held)] == [
        EventSequence(3, 70_000, 2, 0), EventSequence(3, 70_000, 2, 2),
    ]  # fmt: skip

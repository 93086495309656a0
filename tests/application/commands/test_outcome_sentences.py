"""The sentences in which people read the outputs of a command."""

from typing import Any

import pytest

from application.commands.outcome_sentences import REJECTED, in_words, would_be
from metering.records import RejectReason

AT = 1_767_225_600_000


GRANT = {
    "type": "grant", "grant_id": "g", "account_id": "acme", "credit_type": "credit", "status": "applied",
    "credits": 5_000, "expires_at": None, "balance_after": 4_990, "reason": "", "changed_at": AT,
}  # fmt: skip


REFUND = {
    "type": "refund", "refund_id": "r", "account_id": "acme", "event_id": "e", "line": 0, "charge": "ip-lookup",
    "status": "refunded", "reject_reason": None, "credits": 20, "forfeited": 0, "credit_type": "credit",
    "remaining_charge": 0, "balance_after": 60, "reason": "", "requested_at": AT,
}  # fmt: skip


@pytest.mark.parametrize(
    ("output", "words"),
    [
        (GRANT, "granted: 5,000 credits to acme (never expires); balance 4,990 credits"),
        (
            GRANT | {"expires_at": AT},
            "granted: 5,000 credits to acme (expires 2026-01-01T00:00:00Z); balance 4,990 credits",
        ),
        (GRANT | {"status": "expired", "credits": 7}, "expired: 7 credits of grant g forfeited; balance 4,990 credits"),
        (REFUND, "refunded: event e, ip-lookup: 20 credits (the whole charge); balance 60 credits"),
        (
            REFUND | {"credits": 5, "forfeited": 2, "remaining_charge": 9},
            ("refunded: event e, ip-lookup: 5 credits, 2 of them forfeited with their grants (9 of the charge left); "
             "balance 60 credits"),
        ),
        (
            {"type": "alert", "kind": "below", "credit_type": "credit", "mark": 100, "balance": 90},
            "alert: the balance of credit has fallen below 100: 90",
        ),
        (
            {"type": "alert", "kind": "empty", "credit_type": "credit", "mark": None, "balance": -3},
            "alert: the balance of credit is used up: -3",
        ),
        (
            {"type": "dead_letter", "reason": "invalid_event", "field": "credits", "detail": "a field is wrong"},
            "set aside: invalid_event, field credits: a field is wrong",
        ),
    ],
)  # fmt: skip
def test_outputs(output: dict[str, Any], words: str) -> None:
    assert in_words(output) == words


@pytest.mark.parametrize("reason", RejectReason)
def test_every_rejection_has_its_words(reason: RejectReason) -> None:
    said = in_words(REFUND | {"status": "rejected", "reject_reason": reason, "credit_type": None})
    assert said == f"rejected: event e: {REJECTED[reason]} ({reason})"


def test_a_dry_run_speaks_of_what_would_be() -> None:
    alert = {"type": "alert", "credit_type": "credit", "mark": None, "balance": 0}
    assert would_be(alert) == "would alert: the balance of credit is used up: 0"
    assert would_be(REFUND) == f"would be {in_words(REFUND)}"

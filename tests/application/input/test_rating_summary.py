"""The summary of a run: counts, credits, and the first line of everything that went wrong."""

from __future__ import annotations

from typing import Any

import pytest

from application.input.ndjson import BadLine, InputCommand
from application.input.rating_summary import Summary
from metering import Kind, Output
from metering.records import Command, DeadLetterReason, Decision

JANUARY_2 = 1_767_312_000_000
DAY = 86_400_000


def command(number: int, at: int = JANUARY_2, **fields: Any) -> InputCommand:
    record = {"event_id": f"e{number}", "account_id": "a", "occurred_at": at} | fields
    return InputCommand(number, Command.REQUEST, record, at)


def billed(decision: Decision, credits_: int = 0, **fields: Any) -> Output:
    plain = {"decision": decision, "credits": credits_, "credit_type": "credit", "charge": "c", "endpoint": "/x"}
    return Output(Kind.BILLED, plain | fields)


def dead(reason: DeadLetterReason, field: str | None = None) -> Output:
    return Output(Kind.DEAD_LETTER, {"reason": reason, "field": field})


def test_nothing_is_said_as_nothing() -> None:
    assert Summary().sentences() == ["no commands"]


def test_a_whole_summary_in_its_order() -> None:
    summary = Summary()
    summary.count(command(1), [billed(Decision.CHARGED, 1_200), billed(Decision.CHARGED, 3, credit_type="email")])
    summary.count(command(2), [billed(Decision.DUPLICATE)])
    summary.count(command(3), [Output(Kind.REPEATED, {"same_content": True})])
    summary.count(command(4), [Output(Kind.REPEATED, {"same_content": False})])
    summary.count(command(5), [Output(Kind.REFUND, {"status": "refunded", "credit_type": "credit", "credits": 7})])
    summary.count(command(6), [Output(Kind.REFUND, {"status": "rejected", "credit_type": "credit", "credits": 0})])
    summary.count(command(7), [Output(Kind.HOLD, {"status": "held"})])
    summary.count_bad(BadLine(8, "undecodable", None, "is not a JSON object"))
    summary.unfinished = 9
    assert summary.sentences() == [
        "7 request, 1 unreadable",
        "repeated, no effect: 2",
        "repeated with other content: 1",
        "lines by decision: 2 charged, 1 duplicate",
        "charged: 1,200 credit",
        "charged: 3 email",
        "refunded: 7 credit",
        "holds: 1 held",
        "dead letters: 1 undecodable",
        "  1 undecodable: first at line 8, which is not a JSON object",
        "line 9 has no end yet and is no whole object: it was left out",
    ]


def test_where_no_line_is_a_command_it_may_be_an_access_log() -> None:
    summary = Summary()
    summary.count_bad(BadLine(1, "undecodable", None))
    assert "creditmeter emit --dry-run" in summary.sentences()[-1]
    summary.count(command(2), [])
    assert "creditmeter emit --dry-run" not in " ".join(summary.sentences())


def test_too_late_names_the_command_that_moved_the_accounts_time() -> None:
    summary = Summary()
    summary.count(command(1), [])
    summary.count(command(2, JANUARY_2 + DAY), [])
    summary.count(command(3, JANUARY_2 + DAY), [])
    summary.count(command(4, JANUARY_2 + 40 * DAY, account_id="other"), [])
    summary.count(command(5), [dead(DeadLetterReason.TOO_LATE)])
    summary.count(command(6), [dead(DeadLetterReason.TOO_LATE)])
    line = (
        "  2 too_late: first at line 5, account a (2026-01-02T00:00:00Z): too late since line 2 (2026-01-03T00:00:00Z)"
    )
    assert line in summary.sentences()


@pytest.mark.parametrize("output", [dead(DeadLetterReason.IN_FUTURE), Output(Kind.REPEATED, {"same_content": True})])
def test_a_command_without_effect_moves_no_time(output: Output) -> None:
    summary = Summary()
    summary.count(command(1), [])
    summary.count(command(2, JANUARY_2 + DAY), [output])
    summary.count(command(3, JANUARY_2 - DAY), [dead(DeadLetterReason.TOO_LATE)])
    assert any("too late since line 1 " in sentence for sentence in summary.sentences())


def test_dead_letters_are_told_apart_by_reason_and_field_up_to_a_bound() -> None:
    summary = Summary()
    for number in range(1, 26):
        summary.count(command(number), [dead(DeadLetterReason.INVALID_EVENT, f"field{number}")])
    summary.count(command(26), [dead(DeadLetterReason.INVALID_EVENT, "field1")])
    sentences = summary.sentences()
    assert "  2 invalid_event (field1): first at line 1, account a" in sentences
    assert len([sentence for sentence in sentences if sentence.startswith("  1 ")]) == 19
    assert sentences[-1] == "  … and 5 more kinds"


def test_an_account_or_a_time_that_is_wrong_is_named_as_it_is_or_not_at_all() -> None:
    summary = Summary()
    summary.count(command(1, account_id=7), [dead(DeadLetterReason.INVALID_EVENT, "account_id")])
    wrong = InputCommand(2, Command.REQUEST, {"account_id": "a", "occurred_at": True}, JANUARY_2)
    summary.count(wrong, [dead(DeadLetterReason.IN_FUTURE)])
    assert summary.sentences()[-2:] == [
        "  1 invalid_event (account_id): first at line 1",
        "  1 in_future: first at line 2, account a (True), recorded at 2026-01-02T00:00:00Z",
    ]


def test_what_nothing_prices_names_its_first_line_once() -> None:
    summary = Summary()
    summary.count(command(1), [billed(Decision.UNPRICED, charge="")])
    summary.count(command(2), [billed(Decision.UNPRICED, charge="", endpoint="/other")])
    summary.count(command(3), [billed(Decision.MISSING_SUBJECT), billed(Decision.FREE)])
    assert [sentence for sentence in summary.sentences() if sentence.startswith("  ")] == [
        "  unpriced (no charge applies): first at line 1, endpoint /x",
        "  missing_subject (a unique subject is missing): first at line 3, endpoint /x, charge c",
    ]

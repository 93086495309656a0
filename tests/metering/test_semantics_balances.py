"""Balances: grants and the order they are used in, debt, what expires, an empty balance, and the limits of a long."""

from __future__ import annotations

from typing import Any

import pytest

from metering.machine import MAX_OPEN_GRANTS
from metering.records import MAX_LONG
from tests.metering.meter import (
    DAY,
    HOUR,
    ME,
    NOON,
    MachineMeter,
    NewMeter,
    book,
    charge,
    grant,
    refund,
    refusal,
    short,
)

TWENTY = book(charge("lookup", 20))
PER_RESULT = book(charge("record", 1, per="results"))


def uses(line: Any) -> Any:
    return [(use["grant_id"], use["credits"]) for use in line["grants_used"]]


# -- grants and charges -----------------------------------------------------------------------------------------------


def test_a_grant_raises_the_balance_and_a_charge_lowers_it(meter: NewMeter) -> None:
    mine = meter(TWENTY)
    (applied,) = mine.grant("g1", 50, at=NOON, expires_at=NOON + DAY, reason="welcome")
    names = ("status", "credits", "credit_type", "expires_at", "balance_after", "reason", "account_id")
    assert [applied[name] for name in names] == ["applied", 50, "credit", NOON + DAY, 50, "welcome", "acme"]
    line = mine.line("e1", at=NOON)
    assert (line["balance_after"], uses(line)) == (30, [("g1", 20)])


def test_soonest_to_expire_is_used_first_then_arrival_and_never_expiring_last(meter: NewMeter) -> None:
    mine = meter(PER_RESULT)
    mine.grant("for-ever", 10, at=NOON)
    mine.grant("late", 10, at=NOON, expires_at=NOON + 3 * DAY)
    mine.grant("soon", 10, at=NOON, expires_at=NOON + DAY)
    mine.grant("soon-too", 10, at=NOON, expires_at=NOON + DAY)
    mine.grant("for-ever-too", 10, at=NOON)
    line = mine.line("e1", at=NOON, quantities={"results": 45})
    assert uses(line) == [("soon", 10), ("soon-too", 10), ("late", 10), ("for-ever", 10), ("for-ever-too", 5)]
    assert line["balance_after"] == 5


def test_a_grant_used_up_is_not_named(meter: NewMeter) -> None:
    mine = meter(PER_RESULT)
    mine.grant("g1", 10, at=NOON, expires_at=NOON + DAY)
    mine.grant("g2", 10, at=NOON)
    assert uses(mine.line("e1", at=NOON, quantities={"results": 10})) == [("g1", 10)]
    assert uses(mine.line("e2", at=NOON, quantities={"results": 3})) == [("g2", 3)]


def test_credit_types_are_separate_balances(meter: NewMeter) -> None:
    mine = meter(book(charge("mail", 2, credit_type="email"), charge("phone", 5, credit_type="mobile")))
    mine.grant("g1", 10, at=NOON, credit_type="email")
    mail, phone = mine.lines("e1", at=NOON)
    assert (mail["balance_after"], uses(mail)) == (8, [("g1", 2)])
    assert (phone["balance_after"], uses(phone)) == (-5, [])


def test_each_line_says_the_balance_as_it_is_after_that_line(meter: NewMeter) -> None:
    mine = meter(book(charge("a", 1), charge("b", 0), charge("c", 5, unique=(["ip"], "24h")), charge("d", 7)))
    lines = mine.lines("e1", at=NOON)
    assert [(line["decision"], line["balance_after"]) for line in lines] == [
        ("charged", -1),
        ("free", -1),
        ("missing_subject", -1),
        ("charged", -8),
    ]


def test_a_grant_may_have_been_granted_after_the_event_that_uses_it(meter: NewMeter) -> None:
    """Credits are used as the log stands: a late event finds the grants of now."""
    mine = meter(TWENTY)
    mine.grant("g1", 50, at=NOON + HOUR)
    assert uses(mine.line("e1", at=NOON)) == [("g1", 20)]


# -- debt -------------------------------------------------------------------------------------------------------------


def test_what_no_grant_covers_is_debt(meter: NewMeter) -> None:
    mine = meter(TWENTY)
    mine.grant("g1", 15, at=NOON)
    line = mine.line("e1", at=NOON)
    assert (line["decision"], line["credits"], uses(line), line["balance_after"]) == ("charged", 20, [("g1", 15)], -5)


def test_a_grant_fills_debt_first(meter: NewMeter) -> None:
    mine = meter(TWENTY)
    mine.line("e1", at=NOON)
    (applied,) = mine.grant("g1", 50, at=NOON, expires_at=NOON + DAY)
    assert (applied["credits"], applied["balance_after"]) == (50, 30)
    (expired, _) = mine.grant("g2", 1, at=NOON + DAY)
    assert (expired["status"], expired["credits"]) == ("expired", 30)  # what debt took is not forfeited


def test_a_grant_smaller_than_the_debt(meter: NewMeter) -> None:
    mine = meter(TWENTY)
    mine.line("e1", at=NOON)
    assert mine.grant("g1", 5, at=NOON)[0]["balance_after"] == -15
    line = mine.line("e2", at=NOON)
    assert (line["balance_after"], uses(line)) == (-35, [])


# -- expiry, by the account's own time --------------------------------------------------------------------------------


@pytest.mark.parametrize(("after", "decision_uses"), [(DAY - 1, [("g1", 20)]), (DAY, [])])
def test_a_grant_is_open_until_its_expires_at(meter: NewMeter, after: Any, decision_uses: Any) -> None:
    mine = meter(TWENTY)
    mine.grant("g1", 50, at=NOON, expires_at=NOON + DAY)
    assert uses(mine.line("e1", at=NOON + after)) == decision_uses


def test_what_expires_is_put_out_before_the_command_that_moved_time(meter: NewMeter) -> None:
    mine = meter(TWENTY)
    mine.grant("g1", 50, at=NOON, expires_at=NOON + DAY, reason="trial")
    outputs = mine.event("e1", at=NOON + DAY)
    assert short(outputs)[:2] == [
        ("grant", "expired", "g1", 50, 0),
        ("billed", "charged", "lookup", 20, -20),
    ]
    expired = outputs[0][1]
    names = ("credit_type", "expires_at", "reason", "account_id")
    assert [expired[name] for name in names] == ["credit", NOON + DAY, "trial", "acme"]


def test_grants_expire_in_order_of_expires_at_then_arrival(meter: NewMeter) -> None:
    mine = meter(TWENTY)
    mine.grant("third", 3, at=NOON, expires_at=NOON + 2 * DAY)
    mine.grant("first", 1, at=NOON, expires_at=NOON + DAY, credit_type="zebra")
    mine.grant("second", 2, at=NOON, expires_at=NOON + DAY, credit_type="apple")
    expired = mine.account("u1", at=NOON + 9 * DAY)
    assert [(record["grant_id"], record["credits"]) for _, record in expired[:3]] == [
        ("first", 1),
        ("second", 2),
        ("third", 3),
    ]


def test_arrival_counts_across_credit_types(meter: NewMeter) -> None:
    """Whatever credit type the account has known longest."""
    mine = meter(TWENTY)
    mine.grant("stays", 9, at=NOON, credit_type="apple")
    mine.grant("first", 1, at=NOON, expires_at=NOON + DAY, credit_type="zebra")
    mine.grant("second", 2, at=NOON, expires_at=NOON + DAY, credit_type="apple")
    mine.grant("third", 3, at=NOON, expires_at=NOON + DAY, credit_type="zebra")
    expired = mine.account("u1", at=NOON + DAY)
    assert [record["grant_id"] for kind, record in expired if kind == "grant"] == ["first", "second", "third"]


def test_nothing_is_put_out_for_a_grant_used_up(meter: NewMeter) -> None:
    mine = meter(TWENTY)
    mine.grant("g1", 20, at=NOON, expires_at=NOON + DAY)
    mine.line("e1", at=NOON)
    assert [kind for kind, _ in mine.account("u1", at=NOON + DAY)] == ["account"]


def test_expiry_touches_its_own_credit_type_only(meter: NewMeter) -> None:
    mine = meter(book(charge("mail", 2, credit_type="email"), charge("call", 30)))
    mine.grant("g1", 10, at=NOON, credit_type="email", expires_at=NOON + DAY)
    mine.lines("e1", at=NOON)
    assert short(mine.event("e2", at=NOON + DAY))[:3] == [
        ("grant", "expired", "g1", 8, 0),
        ("billed", "charged", "mail", 2, -2),
        ("billed", "charged", "call", 30, -60),
    ]


def test_a_late_event_does_not_bring_back_what_time_has_taken(meter: NewMeter) -> None:
    mine = meter(TWENTY)
    mine.grant("g1", 50, at=NOON, expires_at=NOON + DAY)
    mine.account("u1", at=NOON + DAY)
    line = mine.line("e1", at=NOON + HOUR)
    assert (uses(line), line["balance_after"]) == ([], -20)


def test_time_is_each_accounts_own(meter: NewMeter) -> None:
    mine = meter(TWENTY)
    mine.grant("g1", 50, at=NOON, expires_at=NOON + DAY)
    mine.line("clock", at=NOON + 9 * DAY, account_id="another")
    assert uses(mine.line("e1", at=NOON)) == [("g1", 20)]


def test_a_grant_that_is_over_on_arrival_is_applied_and_then_forfeited(meter: NewMeter) -> None:
    mine = meter(TWENTY)
    mine.account("u1", at=NOON + 2 * DAY)
    outputs = mine.grant("g1", 50, at=NOON, expires_at=NOON + DAY)
    assert [(record["status"], record["credits"], record["balance_after"]) for record in outputs] == [
        ("applied", 50, 50),
        ("expired", 50, 0),
    ]


def test_a_grant_that_is_over_on_arrival_still_fills_debt(meter: NewMeter) -> None:
    mine = meter(TWENTY)
    mine.line("e1", at=NOON + 2 * DAY)
    outputs = mine.grant("g1", 50, at=NOON, expires_at=NOON + DAY)
    assert [(record["status"], record["credits"], record["balance_after"]) for record in outputs] == [
        ("applied", 50, 30),
        ("expired", 30, 0),
    ]


# -- an empty balance, with on_empty: reject --------------------------------------------------------------------------


def test_before_the_first_update_an_empty_balance_is_allowed(meter: NewMeter) -> None:
    assert meter(TWENTY).decision("e1", at=NOON) == "charged"


@pytest.mark.parametrize(("credits_", "decision"), [(19, "insufficient_credits"), (20, "charged")])
def test_reject_allows_exactly_what_the_balance_covers(meter: NewMeter, credits_: Any, decision: Any) -> None:
    mine = meter(TWENTY)
    mine.account("u1", at=NOON, on_empty="reject")
    mine.grant("g1", credits_, at=NOON)
    assert mine.decision("e1", at=NOON) == decision


def test_an_insufficient_line_explains_itself_and_takes_nothing(meter: NewMeter) -> None:
    mine = meter(book(charge("lookup", 20, unique=(["ip"], "24h"))))
    mine.account("u1", at=NOON, on_empty="reject")
    mine.grant("g1", 5, at=NOON)
    line = mine.line("e1", at=NOON, ip="10.0.0.1")
    names = ("decision", "units", "unit_credits", "credits", "balance_after", "owner_event_id", "window_ends_at")
    assert [line[name] for name in names] == ["insufficient_credits", 1, 20, 0, 5, None, None]
    assert uses(line) == []


def test_insufficient_makes_no_claim(meter: NewMeter) -> None:
    mine = meter(book(charge("lookup", 20, unique=(["ip"], "24h"))))
    mine.account("u1", at=NOON, on_empty="reject")
    mine.line("e1", at=NOON, ip="10.0.0.1")
    mine.grant("g1", 20, at=NOON)
    assert mine.decision("e2", at=NOON, ip="10.0.0.1") == "charged"


def test_reject_decides_a_whole_event(meter: NewMeter) -> None:
    """One credit type too short, and no line is charged: not those of other types, nor those that would have fitted."""
    mine = meter(
        book(charge("small", 1), charge("gratis", 0), charge("big", 20), charge("mail", 2, credit_type="email"))
    )
    mine.account("u1", at=NOON, on_empty="reject")
    mine.grant("g1", 20, at=NOON)
    mine.grant("g2", 50, at=NOON, credit_type="email")
    refused = ["insufficient_credits", "free", "insufficient_credits", "insufficient_credits"]
    assert mine.decisions("e1", at=NOON) == refused
    mine.grant("g3", 1, at=NOON)
    assert mine.decisions("e2", at=NOON) == ["charged", "free", "charged", "charged"]


def test_a_duplicate_is_not_a_cost(meter: NewMeter) -> None:
    mine = meter(book(charge("lookup", 20, unique=(["ip"], "24h")), charge("view", 1)))
    mine.account("u1", at=NOON, on_empty="reject")
    mine.grant("g1", 22, at=NOON)
    assert mine.decisions("e1", at=NOON, ip="10.0.0.1") == ["charged", "charged"]
    assert mine.decisions("e2", at=NOON, ip="10.0.0.1") == ["duplicate", "charged"]
    assert mine.decisions("e3", at=NOON, ip="10.0.0.1") == ["duplicate", "insufficient_credits"]


def test_an_expired_grant_is_not_available(meter: NewMeter) -> None:
    mine = meter(TWENTY)
    mine.account("u1", at=NOON, on_empty="reject")
    mine.grant("g1", 20, at=NOON, expires_at=NOON + DAY)
    kinds = [record.get("decision") or record["status"] for _, record in mine.event("e1", at=NOON + DAY)[:2]]
    assert kinds == ["expired", "insufficient_credits"]


def test_debt_made_while_it_was_allowed_counts_against_the_balance(meter: NewMeter) -> None:
    mine = meter(TWENTY)
    mine.line("e1", at=NOON)
    mine.account("u1", at=NOON, on_empty="reject")
    mine.grant("g1", 39, at=NOON)
    assert mine.decision("e2", at=NOON) == "insufficient_credits"
    mine.grant("g2", 1, at=NOON)
    assert mine.decision("e3", at=NOON) == "charged"


# -- the end of a long ------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_balance_never_leaves_a_long(meter: NewMeter) -> None:
    """9,300 prices of 10^6 are 9.3 x 10^18 credits for 10^9 units: more than 2^63, also where nothing was charged yet.

    For 9 x 10^8 units they fit once.
    """
    mine = meter(book(*(charge(f"c{number}", 10**6, per="results") for number in range(9_300))))
    assert refusal(mine.event("e0", at=NOON, quantities={"results": 10**9})) == "invalid_event: quantities"
    assert mine.lines("e1", at=NOON, quantities={"results": 9 * 10**8})[-1]["balance_after"] == -837 * 10**16
    over = mine.event("over", at=NOON + 99 * DAY, quantities={"results": 9 * 10**8})
    assert refusal(over) == "invalid_event: quantities"
    # No state has changed: neither the balance, nor the time, nor the ids.
    after = mine.lines("over", at=NOON - 9 * DAY, quantities={"results": 1})
    assert after[-1]["balance_after"] == -837 * 10**16 - 93 * 10**8


PAIR = book(charge("view", 1), charge("lookup", 20))


@pytest.mark.parametrize(("too_much", "becomes"), [(0, "refund"), (1, "invalid_event: credits")])
def test_a_refund_never_lifts_a_balance_beyond_a_long(too_much: int, becomes: str) -> None:
    """The lines of an event together. Such balances are out of reach of grants of 10^12: one is made by hand."""
    mine = MachineMeter(PAIR)
    mine.lines("e1", at=NOON)
    mine.state.account(ME).open_grant("credit", "by hand", MAX_LONG + too_much, None, "")
    outputs = mine.apply("refund", refund("r1", "e1", NOON))
    assert (refusal(outputs) if too_much else outputs[-1][0]) == becomes
    assert too_much or outputs[-1][1]["balance_after"] == MAX_LONG


@pytest.mark.parametrize(("too_much", "becomes"), [(0, "grant"), (1, "invalid_event: credits")])
def test_a_grant_never_lifts_a_balance_beyond_a_long(too_much: int, becomes: str) -> None:
    mine = MachineMeter(PAIR)
    mine.state.account(ME).open_grant("credit", "by hand", MAX_LONG - 5, None, "")
    outputs = mine.apply("grant", grant("g1", 5 + too_much, NOON))
    assert (refusal(outputs) if too_much else outputs[-1][0]) == becomes


def test_a_credit_type_has_at_most_ten_thousand_open_grants() -> None:
    """A line names every grant that it used, and has to fit a message."""
    mine = MachineMeter(PAIR)
    for number in range(MAX_OPEN_GRANTS - 1):
        mine.state.account(ME).open_grant("credit", f"by hand {number}", 1, None, "")
    assert mine.grant("last", 1, at=NOON, expires_at=NOON + DAY)[0]["balance_after"] == MAX_OPEN_GRANTS
    assert refusal(mine.apply("grant", grant("more", 1, NOON))) == "invalid_event: grant_id"
    assert mine.grant("of another type", 1, at=NOON, credit_type="email")[0]["status"] == "applied"
    mine.account("u1", at=NOON + DAY)
    assert mine.grant("more", 1, at=NOON + DAY)[0]["status"] == "applied"

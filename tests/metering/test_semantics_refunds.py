"""Refunds: what can be refunded and until when, why one is rejected, and the way that credits go back."""

from __future__ import annotations

from typing import Any

import pytest

from tests.metering.meter import DAY, HOUR, NOON, Meter, NewMeter, book, charge, refund, refusal, short

TWENTY = book(charge("lookup", 20))
PER_RESULT = book(charge("record", 1, per="results"))
PIXEL = book(charge("view", 1), charge("lookup", 20), charge("mail", 2, credit_type="email"), charge("gratis", 0))


# -- what is refunded -------------------------------------------------------------------------------------------------


def test_a_refund_of_an_event_gives_back_all_of_it(meter: NewMeter) -> None:
    mine = meter(TWENTY)
    mine.grant("g1", 50, at=NOON)
    mine.line("e1", at=NOON)
    (given,) = mine.refund("r1", "e1", at=NOON + HOUR, reason="the work failed")
    assert given == {
        "refund_id": "r1", "account_id": "acme", "event_id": "e1", "line": 0, "charge": "lookup",
        "status": "refunded", "reject_reason": None, "credits": 20, "forfeited": 0, "credit_type": "credit",
        "remaining_charge": 0, "balance_after": 50, "reason": "the work failed", "requested_at": NOON + HOUR,
        "occurred_at": NOON,
    }  # fmt: skip


def test_a_whole_event_is_one_output_by_charged_line(meter: NewMeter) -> None:
    mine = meter(PIXEL)
    mine.lines("e1", at=NOON)
    given = mine.refund("r1", "e1", at=NOON)
    names = ("line", "charge", "credits", "balance_after")
    assert [tuple(one[name] for name in names) for one in given] == [
        (0, "view", 1, -20),
        (1, "lookup", 20, 0),
        (2, "mail", 2, 0),
    ]


def test_one_charge_of_an_event(meter: NewMeter) -> None:
    mine = meter(PIXEL)
    mine.lines("e1", at=NOON)
    (given,) = mine.refund("r1", "e1", at=NOON, charge="lookup")
    assert (given["line"], given["credits"], given["balance_after"]) == (1, 20, -1)


def test_a_part_of_a_charge_and_then_the_rest(meter: NewMeter) -> None:
    mine = meter(TWENTY)
    mine.line("e1", at=NOON)
    assert [one["remaining_charge"] for one in mine.refund("r1", "e1", at=NOON, credits=5)] == [15]
    (rest,) = mine.refund("r2", "e1", at=NOON)
    assert (rest["credits"], rest["remaining_charge"], rest["balance_after"]) == (15, 0, 0)


def test_a_refund_of_a_whole_event_refunds_what_is_left_of_each_line(meter: NewMeter) -> None:
    mine = meter(PIXEL)
    mine.lines("e1", at=NOON)
    mine.refund("r1", "e1", at=NOON, charge="view")
    mine.refund("r2", "e1", at=NOON, charge="lookup", credits=15)
    given = mine.refund("r3", "e1", at=NOON)
    assert [(one["charge"], one["credits"]) for one in given] == [("lookup", 5), ("mail", 2)]


def test_an_empty_charge_is_null(meter: NewMeter) -> None:
    mine = meter(PIXEL)
    mine.lines("e1", at=NOON)
    assert len(mine.refund("r1", "e1", at=NOON, charge="")) == 3


def test_the_same_refund_again_is_a_repeat(meter: NewMeter) -> None:
    mine = meter(TWENTY)
    mine.line("e1", at=NOON)
    mine.refund("r1", "e1", at=NOON, credits=5)
    assert refusal(mine.apply("refund", refund("r1", "e1", NOON, credits=5))) == "repeated"


# -- rejected: one output, and no credits -----------------------------------------------------------------------------


def test_what_a_rejection_says(meter: NewMeter) -> None:
    (rejection,) = meter(TWENTY).refund("r1", "e1", at=NOON, charge="lookup", credits=5)
    assert rejection == {
        "refund_id": "r1", "account_id": "acme", "event_id": "e1", "line": None, "charge": "lookup",
        "status": "rejected", "reject_reason": "unknown_charge", "credits": 0, "forfeited": 0, "credit_type": None,
        "remaining_charge": None, "balance_after": None, "reason": "asked for", "requested_at": NOON,
        "occurred_at": None,
    }  # fmt: skip


def with_a_pixel(meter: NewMeter) -> Meter:
    """Lines: view 1, lookup 20, mail 2 (charged), gratis 0 (free)."""
    mine = meter(PIXEL)
    mine.lines("e1", at=NOON)
    return mine


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"event_id": "e2"}, "unknown_charge"),
        ({"event_id": "e2", "charge": "no-such", "credits": 10**9}, "unknown_charge"),  # the first reason that holds
        ({"charge": "no-such"}, "nothing_charged"),
        ({"charge": "gratis"}, "nothing_charged"),
        ({"charge": "gratis", "credits": 5}, "nothing_charged"),
        ({"credits": 1}, "charge_required"),
        ({"credits": 10**9}, "charge_required"),
        ({"charge": "lookup", "credits": 21}, "exceeds_charge"),
    ],
)
def test_reject_reasons(meter: NewMeter, asked: Any, reason: Any) -> None:
    mine = with_a_pixel(meter)
    assert mine.reject_reason("r1", at=NOON, **({"event_id": "e1"} | asked)) == reason
    assert mine.refund("r2", "e1", at=NOON)[0]["balance_after"] == -20  # nothing was given before


@pytest.mark.parametrize("outcome", ["failed", "invalid"])
def test_an_event_that_was_not_billable_has_nothing_charged(meter: NewMeter, outcome: Any) -> None:
    mine = meter(TWENTY)
    mine.line("e1", at=NOON, outcome=outcome)
    assert mine.reject_reason("r1", "e1", at=NOON) == "nothing_charged"


def test_an_unpriced_event_has_nothing_charged(meter: NewMeter) -> None:
    mine = meter(None)
    mine.line("e1", at=NOON)
    assert mine.reject_reason("r1", "e1", at=NOON) == "nothing_charged"


def test_a_duplicate_has_nothing_charged(meter: NewMeter) -> None:
    mine = meter(book(charge("lookup", unique=(["ip"], "24h"))))
    mine.line("e1", at=NOON, ip="10.0.0.1")
    mine.line("e2", at=NOON, ip="10.0.0.1")
    assert mine.reject_reason("r1", "e2", at=NOON) == "nothing_charged"


def test_nothing_left_exceeds_the_charge(meter: NewMeter) -> None:
    mine = meter(TWENTY)
    mine.line("e1", at=NOON)
    mine.refund("r1", "e1", at=NOON)
    assert mine.reject_reason("r2", "e1", at=NOON) == "exceeds_charge"
    assert mine.reject_reason("r3", "e1", at=NOON, charge="lookup", credits=1) == "exceeds_charge"


def test_never_partly(meter: NewMeter) -> None:
    mine = meter(TWENTY)
    mine.line("e1", at=NOON)
    mine.refund("r1", "e1", at=NOON, credits=15)
    assert mine.reject_reason("r2", "e1", at=NOON, credits=6) == "exceeds_charge"
    assert mine.refund("r3", "e1", at=NOON, credits=5)[0]["remaining_charge"] == 0


def test_credits_alone_are_enough_where_one_line_was_charged(meter: NewMeter) -> None:
    mine = meter(book(charge("lookup", 20), charge("gratis", 0)))
    mine.lines("e1", at=NOON)
    assert mine.refund("r1", "e1", at=NOON, credits=5)[0]["charge"] == "lookup"


def test_a_charged_line_is_one_still_when_it_was_refunded_in_full(meter: NewMeter) -> None:
    mine = meter(book(charge("view", 1), charge("lookup", 20)))
    mine.lines("e1", at=NOON)
    mine.refund("r1", "e1", at=NOON, charge="view")
    assert mine.reject_reason("r2", "e1", at=NOON, credits=5) == "charge_required"


def test_events_belong_to_their_account(meter: NewMeter) -> None:
    mine = meter(TWENTY)
    mine.line("e1", at=NOON)
    assert mine.reject_reason("r1", "e1", at=NOON, account_id="another") == "unknown_charge"


# -- until when -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("after", "status"), [(2 * DAY, "refunded"), (2 * DAY + 1, "rejected")])
def test_possible_until_exactly_accept_window_after_the_event(meter: NewMeter, after: Any, status: Any) -> None:
    """By the account's own time, which the refund itself moves."""
    mine = meter(book(charge("lookup", 20), accept_window="2d"))
    mine.line("e1", at=NOON)
    (output,) = mine.refund("r1", "e1", at=NOON + after)
    assert output["status"] == status
    assert output["reject_reason"] in (None, "unknown_charge")


@pytest.mark.parametrize(("after", "status"), [(2 * DAY, "refunded"), (2 * DAY + 1, "rejected")])
def test_the_time_that_counts_is_the_greatest_so_far(meter: NewMeter, after: Any, status: Any) -> None:
    mine = meter(book(charge("lookup", 20), accept_window="2d"))
    mine.line("e1", at=NOON)
    mine.account("u1", at=NOON + after)
    assert mine.refund("r1", "e1", at=NOON)[0]["status"] == status


def test_a_late_event_has_less_time_left(meter: NewMeter) -> None:
    mine = meter(book(charge("lookup", 20), accept_window="2d"))
    mine.account("u1", at=NOON)
    mine.line("late", at=NOON - 2 * DAY)
    mine.line("in-time", at=NOON)
    assert mine.reject_reason("r1", "late", at=NOON + 1) == "unknown_charge"
    assert mine.refund("r2", "in-time", at=NOON + 1)[0]["status"] == "refunded"


def test_a_wider_accept_window_does_not_bring_back_what_was_too_old(meter: NewMeter) -> None:
    mine = meter(book(charge("lookup", 20), accept_window="2d"))
    mine.line("e1", at=NOON)
    mine.line("e2", at=NOON + 3 * DAY)
    mine.publish(book(charge("lookup", 20), accept_window="30d"))
    assert mine.reject_reason("r1", "e1", at=NOON + 3 * DAY) == "unknown_charge"
    assert mine.refund("r2", "e2", at=NOON + 30 * DAY)[0]["status"] == "refunded"


def test_an_id_that_came_back_as_a_new_event_is_that_event(meter: NewMeter) -> None:
    mine = meter(book(charge("record", 1, per="results"), accept_window="2d"))
    mine.line("e1", at=NOON, quantities={"results": 5})
    mine.line("clock", at=NOON + 3 * DAY, quantities={"results": 1})
    mine.line("e1", at=NOON + 3 * DAY, quantities={"results": 7})
    assert mine.refund("r1", "e1", at=NOON + 3 * DAY)[0]["credits"] == 7


# -- claims -----------------------------------------------------------------------------------------------------------


def test_a_line_refunded_in_full_releases_its_claim(meter: NewMeter) -> None:
    mine = meter(book(charge("lookup", 20, unique=(["ip"], "24h"))))
    same = {"ip": "10.0.0.1"}
    mine.line("e1", at=NOON, **same)
    mine.refund("r1", "e1", at=NOON, credits=19)
    assert mine.decision("e2", at=NOON, **same) == "duplicate"
    mine.refund("r2", "e1", at=NOON, credits=1)
    line = mine.line("e3", at=NOON + HOUR, **same)
    assert (line["decision"], line["window_ends_at"]) == ("charged", NOON + HOUR + DAY)
    assert mine.line("e4", at=NOON, **same)["owner_event_id"] == "e3"


def test_a_refund_releases_its_own_claim_only(meter: NewMeter) -> None:
    mine = meter(book(charge("lookup", 20, unique=(["ip"], "24h"))))
    same = {"ip": "10.0.0.1"}
    mine.line("e1", at=NOON, **same)
    mine.line("e2", at=NOON + DAY, **same)
    mine.refund("r1", "e2", at=NOON + DAY)
    assert mine.decision("e3", at=NOON + DAY - 1, **same) == "duplicate"
    assert mine.decision("e4", at=NOON + DAY, **same) == "charged"


def test_of_two_claims_of_one_id_the_refunded_one_is_released(meter: NewMeter) -> None:
    """The id came back as a new event while the claim of the first one still counts for late events."""
    mine = meter(book(charge("lookup", 20, unique=(["ip"], "24h")), accept_window="2d"))
    same, later = {"ip": "10.0.0.1"}, NOON + 2 * DAY + 1
    mine.line("e1", at=NOON, **same)
    mine.line("clock", at=later, ip="10.0.0.2")
    assert mine.decision("e1", at=later, **same) == "charged"
    mine.refund("r1", "e1", at=later)
    assert mine.decision("e2", at=NOON + HOUR, **same) == "duplicate"
    assert mine.decision("e3", at=later, **same) == "charged"


def test_a_claim_for_ever_is_released_too(meter: NewMeter) -> None:
    mine = meter(book(charge("lookup", 20, unique=(["domain"], "ever"))))
    mine.line("e1", at=NOON, domain="acme.com")
    mine.refund("r1", "e1", at=NOON)
    assert mine.decision("e2", at=NOON + DAY, domain="acme.com") == "charged"


# -- where the credits go ---------------------------------------------------------------------------------------------


def results(number: int) -> dict[str, dict[str, int]]:
    return {"quantities": {"results": number}}


def left_in_grants(mine: Meter, at: int) -> list[tuple[str, int]]:
    """Draws everything there is, to see which grants hold how much."""
    return [(use["grant_id"], use["credits"]) for use in mine.line("drain", at=at, **results(10**6))["grants_used"]]


def test_last_used_first_and_to_each_at_most_what_was_drawn(meter: NewMeter) -> None:
    mine = meter(PER_RESULT)
    mine.grant("first", 10, at=NOON, expires_at=NOON + DAY)
    mine.grant("second", 10, at=NOON, expires_at=NOON + 2 * DAY)
    mine.grant("third", 10, at=NOON)
    mine.line("e1", at=NOON, **results(24))  # 10, 10 and 4 of the third
    mine.refund("r1", "e1", at=NOON, credits=6)
    assert left_in_grants(mine, NOON) == [("second", 2), ("third", 10)]


def test_earlier_returns_to_a_grant_count(meter: NewMeter) -> None:
    mine = meter(PER_RESULT)
    mine.grant("first", 10, at=NOON, expires_at=NOON + DAY)
    mine.grant("second", 10, at=NOON)
    mine.line("e1", at=NOON, **results(20))
    mine.refund("r1", "e1", at=NOON, credits=4)
    mine.refund("r2", "e1", at=NOON, credits=9)
    assert left_in_grants(mine, NOON) == [("first", 3), ("second", 10)]


def test_debt_is_filled_first_whatever_the_line_had_used(meter: NewMeter) -> None:
    mine = meter(PER_RESULT)
    mine.grant("g1", 10, at=NOON)
    mine.line("e1", at=NOON, **results(10))  # from g1
    mine.line("e2", at=NOON, **results(4))  # debt of another event
    (given,) = mine.refund("r1", "e1", at=NOON)
    assert (given["credits"], given["balance_after"]) == (10, 6)
    assert left_in_grants(mine, NOON) == [("g1", 6)]


def test_credits_of_a_grant_that_is_over_are_forfeited(meter: NewMeter) -> None:
    """A refund does not outlive its credits; `credits` includes the forfeited ones."""
    mine = meter(PER_RESULT)
    mine.grant("over", 10, at=NOON, expires_at=NOON + DAY)
    mine.grant("open", 10, at=NOON)
    mine.line("e1", at=NOON, **results(15))
    (given,) = mine.refund("r1", "e1", at=NOON + DAY)
    names = ("credits", "forfeited", "remaining_charge", "balance_after")
    assert [given[name] for name in names] == [15, 10, 0, 10]
    assert left_in_grants(mine, NOON + DAY) == [("open", 10)]


def test_a_grant_used_up_is_open_until_its_time(meter: NewMeter) -> None:
    mine = meter(PER_RESULT)
    mine.grant("g1", 10, at=NOON, expires_at=NOON + DAY)
    mine.line("e1", at=NOON, **results(10))
    (given,) = mine.refund("r1", "e1", at=NOON + DAY - 1)
    assert (given["forfeited"], given["balance_after"]) == (0, 10)
    assert short(mine.account("u1", at=NOON + DAY))[0] == ("grant", "expired", "g1", 10, 0)


def test_what_was_taken_as_debt_and_since_filled_becomes_a_grant_without_expiry(meter: NewMeter) -> None:
    mine = meter(PER_RESULT)
    mine.line("e1", at=NOON, **results(10))
    mine.grant("g1", 10, at=NOON, expires_at=NOON + DAY)
    assert short(mine.apply("refund", refund("r1", "e1", NOON)))[0] == ("refund", "refunded", "record", 10, 10)
    assert left_in_grants(mine, NOON + 20 * DAY) == [("refund:r1", 10)]


def test_the_grants_of_the_line_come_before_the_grant_of_the_refund(meter: NewMeter) -> None:
    mine = meter(PER_RESULT)
    mine.grant("g1", 6, at=NOON)
    mine.line("e1", at=NOON, **results(10))  # 6 from g1, 4 of debt
    mine.grant("g2", 4, at=NOON)  # fills the debt
    mine.refund("r1", "e1", at=NOON, credits=7)
    assert left_in_grants(mine, NOON) == [("g1", 6), ("refund:r1", 1)]


def test_debt_then_grants_then_the_refunds_own_grant(meter: NewMeter) -> None:
    mine = meter(PER_RESULT)
    mine.grant("g1", 6, at=NOON)
    mine.line("e1", at=NOON, **results(10))
    mine.grant("g2", 3, at=NOON)  # one of debt is left
    (given,) = mine.refund("r1", "e1", at=NOON)
    assert given["balance_after"] == 9
    assert left_in_grants(mine, NOON) == [("g1", 6), ("refund:r1", 3)]


def test_one_grant_for_a_refund_and_credit_type(meter: NewMeter) -> None:
    mine = meter(
        book(
            charge("a", 5, when={"channel": "js"}),
            charge("b", 7, when={"channel": "js"}),
            charge("mail", 2, credit_type="email"),
            charge("large", 12, when={"channel": "api"}),
        )
    )
    mine.lines("e1", at=NOON, channel="js")  # a, b and mail: all of it debt
    mine.grant("g1", 12, at=NOON)
    mine.grant("g2", 2, at=NOON, credit_type="email")
    mine.refund("r1", "e1", at=NOON)
    mail, large = mine.lines("e2", at=NOON, channel="api")
    assert mail["grants_used"] == [{"grant_id": "refund:r1", "credits": 2}]
    assert large["grants_used"] == [{"grant_id": "refund:r1", "credits": 12}]


def test_a_line_paid_by_a_refunds_grant_goes_back_to_it(meter: NewMeter) -> None:
    mine = meter(PER_RESULT)
    mine.line("e1", at=NOON, **results(10))
    mine.grant("g1", 10, at=NOON)
    mine.refund("r1", "e1", at=NOON)
    mine.line("e2", at=NOON, **results(10))
    mine.refund("r2", "e2", at=NOON)
    assert left_in_grants(mine, NOON) == [("refund:r1", 10)]


def test_what_expires_comes_before_the_refund(meter: NewMeter) -> None:
    mine = meter(PER_RESULT)
    mine.grant("g1", 10, at=NOON, expires_at=NOON + DAY)
    mine.line("e1", at=NOON, **results(4))
    outputs = mine.apply("refund", refund("r1", "e1", NOON + DAY))
    assert short(outputs)[:2] == [("grant", "expired", "g1", 6, 0), ("refund", "refunded", "record", 4, 0)]
    assert outputs[1][1]["forfeited"] == 4

"""Re-rating: what would have been charged, line by line, under every rule that a book can change."""

from __future__ import annotations

from typing import Any

import pytest

from metering.records import Kind
from streams.log.protocols import LostPrefix
from tests.metering.meter import DAY, HOUR, MIDNIGHT, MINUTE, NOON, YEAR_BEGIN, Json, book, book_of, charge, version
from tests.replay.rerating.rerated import NAMES, Books

OLD = book(charge("lookup", 20))
IP = {"ip": "10.0.0.1"}


def daily(by: str = "24h", credits_: int = 20) -> Json:
    return book(charge("lookup", credits_, unique=(["ip"], by)))


# -- what is compared --------------------------------------------------------------------------------------------------

# (the book in force, the new one, events as (offset from noon, fields), rows as (charge, type, changed, was, would be))
CASES: dict[str, tuple[Json, Json, list[tuple[int, Json]], list[tuple[str, str, int, int, int]]]] = {
    "lowered": (OLD, book(charge("lookup", 15)), [(0, {}), (1, {})], [("lookup", "credit", 2, 40, 30)]),
    "raised": (OLD, book(charge("lookup", 25)), [(0, {})], [("lookup", "credit", 1, 20, 25)]),
    "now free": (OLD, book(charge("lookup", 0)), [(0, {})], [("lookup", "credit", 1, 20, 0)]),
    "a charge removed": (
        book(charge("lookup", 20), charge("page", 1)), book(charge("page", 1)), [(0, {})],
        [("lookup", "credit", 1, 20, 0)],
    ),
    "a charge added": (
        book(charge("page", 1)), book(charge("page", 1), charge("lookup", 20)), [(0, {})],
        [("lookup", "credit", 1, 0, 20)],
    ),
    "unpriced before": (
        book(charge("lookup", 20, when={"channel": "js"})), OLD, [(0, {})], [("lookup", "credit", 1, 0, 20)],
    ),
    "unpriced now": (
        OLD, book_of(version("v1", NOON + 1, charge("lookup", 20))), [(0, {}), (1, {})],
        [("lookup", "credit", 1, 40, 20)],
    ),
    "another credit type": (
        OLD, book(charge("lookup", 20, credit_type="email")), [(0, {})],
        [("lookup", "credit", 1, 20, 0), ("lookup", "email", 1, 0, 20)],
    ),
    "a longer window": (
        daily("24h"), daily("48h"), [(0, IP), (25 * HOUR, IP), (47 * HOUR, IP)], [("lookup", "credit", 1, 40, 20)],
    ),
    "a shorter window": (
        daily("24h"), daily("1h"), [(0, IP), (2 * HOUR, IP)], [("lookup", "credit", 1, 20, 40)],
    ),
    "the owner moves": (daily("24h"), daily("36h"), [(0, IP), (25 * HOUR, IP), (40 * HOUR, IP)], []),
    "unique by something else": (
        book(charge("lookup", 20, unique=(["ip"], "ever"))), book(charge("lookup", 20, unique=(["user_id"], "ever"))),
        [(0, {**IP, "user_id": "u"}), (1, {"ip": "10.0.0.2", "user_id": "u"})], [("lookup", "credit", 1, 40, 20)],
    ),
    "per quantity": (
        book(charge("record", 3, per="results")), book(charge("record", 2, per="results")),
        [(0, {"quantities": {"results": 7}}), (1, {})], [("record", "credit", 1, 21, 14)],
    ),
    "another quantity": (
        book(charge("record", 3, per="results")), book(charge("record", 3, per="pages")),
        [(0, {"quantities": {"results": 7, "pages": 2}})], [("record", "credit", 1, 21, 6)],
    ),
    "a plan's price": (
        OLD, book(charge("lookup", 20, plans={"big": 5})), [(0, {"plan": "big"}), (1, {})],
        [("lookup", "credit", 1, 40, 25)],
    ),
    "several lines and types": (
        book(charge("lookup", 20), charge("mail", 3, credit_type="email")),
        book(charge("lookup", 10), charge("mail", 4, credit_type="email")), [(0, {}), (1, {})],
        [("lookup", "credit", 2, 40, 20), ("mail", "email", 2, 6, 8)],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_bill_that_would_have_been(case: str) -> None:
    old, new, events, rows = CASES[case]
    books = Books(old)
    for number, (offset, fields) in enumerate(events):
        books.event(f"e{number}", NOON + offset, **fields)
    rerated = books.rerate(new)
    assert rerated.table == rows
    same = books.rerate(old)
    assert (same.rows, same.corrections, same.decisions) == ([], [], {})


def test_only_events_in_the_range_are_decided_anew() -> None:
    books = Books(OLD)
    for number in range(4):
        books.event(f"e{number}", NOON + number)
    rerated = books.rerate(book(charge("lookup", 5)), NOON + 1, NOON + 3)
    assert rerated.refunds == [("e1", "lookup", 15), ("e2", "lookup", 15)]
    assert rerated.table == [("lookup", "credit", 2, 40, 10)]


def test_a_plan_keeps_its_prices_where_the_book_says_so() -> None:
    """The plan began under the first version: with the lock the second one's price is not the account's."""
    versions = (version("v1", YEAR_BEGIN, charge("lookup", 20)), version("v2", MIDNIGHT, charge("lookup", 30)))
    books = Books(book_of(*versions))
    books.account("u", YEAR_BEGIN + DAY, plan={"name": "pro", "started_at": YEAR_BEGIN, "ends_at": None})
    books.event("before", MIDNIGHT - HOUR)
    books.event("after", NOON)
    rerated = books.rerate(book_of(*versions, price_lock="plan_period"))
    assert rerated.table == [("lookup", "credit", 1, 50, 40)]
    assert rerated.refunds == [("after", "lookup", 10)]


def test_named_accounts_alone() -> None:
    books = Books(OLD)
    books.event("e", NOON)
    books.event("e", NOON, account_id="other")
    rerated = books.rerate(book(charge("lookup", 5)), accounts=frozenset(("other",)))
    assert [(row.account_id, row.difference) for row in rerated.rows] == [("other", -15)]
    assert [correction.record["account_id"] for correction in rerated.corrections] == ["other"]
    assert rerated.outcome.tallies.events == 1


def test_decisions_that_change_are_counted() -> None:
    books = Books(daily("24h"))
    for number, at in enumerate((0, 25 * HOUR, 26 * HOUR)):
        books.event(f"e{number}", NOON + at, **IP)
    books.event("fails", NOON + 27 * HOUR, outcome="failed")
    rerated = books.rerate(book(charge("lookup", 20, unique=(["ip"], "ever")), charge("page", 1)))
    assert rerated.decisions == {("lookup", "charged", "duplicate"): 1, ("page", "no line", "charged"): 3}
    assert books.rerate(book(charge("lookup", 20, when={"channel": "js"}))).decisions == {
        ("lookup", "charged", "unpriced"): 2, ("lookup", "duplicate", "unpriced"): 1,
    }  # fmt: skip


def test_claims_that_would_not_have_been_made_show_after_the_range() -> None:
    """Free in the range: no claim is made, so the next day's request would have been charged. It is not corrected."""
    books = Books(daily("48h"))
    books.event("e0", NOON, **IP)
    books.event("e1", NOON + DAY, **IP)
    rerated = books.rerate(daily("48h", 0), end=MIDNIGHT + DAY)
    assert rerated.refunds == [("e0", "lookup", 20)]
    assert rerated.after == {("lookup", "duplicate", "charged"): 1}
    change = rerated.outcome.tallies.after["lookup", "duplicate", "charged"]
    assert (change.was, change.would) == (0, 20)


def test_balances_decide_for_themselves_after_the_range() -> None:
    books = Books(OLD)
    books.account("u", YEAR_BEGIN, on_empty="reject")
    books.grant("g", 30, YEAR_BEGIN)
    books.event("e0", NOON)
    books.event("later", NOON + DAY)
    rerated = books.rerate(book(charge("lookup", 5)), end=MIDNIGHT + DAY)
    assert rerated.table == [("lookup", "credit", 1, 20, 5)]
    assert rerated.after == {("lookup", "insufficient_credits", "charged"): 1}


def test_in_the_range_refusals_stay_and_what_was_served_is_charged() -> None:
    books = Books(OLD)
    books.account("u", YEAR_BEGIN, on_empty="reject")
    books.grant("g", 50, YEAR_BEGIN)
    for number in range(3):
        books.event(f"e{number}", NOON + number)
    cheaper = books.rerate(book(charge("lookup", 5)))
    assert cheaper.table == [("lookup", "credit", 2, 40, 10)]
    assert cheaper.outcome.tallies.kept_refusals == 1
    dearer = books.rerate(book(charge("lookup", 30)))
    assert dearer.table == [("lookup", "credit", 2, 40, 60)]
    assert (dearer.corrections, dearer.not_collected) == ([], {"credit": 20})


def test_an_event_that_a_hold_admitted_stays_admitted() -> None:
    """Neither what a hold would have had to ask at other prices, nor what would have been available, refuses it."""
    books = Books(OLD)
    books.account("u", YEAR_BEGIN, on_empty="reject")
    books.grant("g", 50, YEAR_BEGIN)
    books.hold("h", 40, NOON)
    books.event("held-1", NOON, hold_id="h", keeps_hold=True)
    books.event("refused", NOON + 1)
    books.event("held-2", NOON + 2, hold_id="h")
    assert books.balance() == 10
    dearer = books.rerate(book(charge("lookup", 45)))
    assert dearer.table == [("lookup", "credit", 2, 40, 90)]
    assert dearer.outcome.tallies.kept_refusals == 1
    cheaper = books.rerate(book(charge("lookup", 5)))
    assert cheaper.table == [("lookup", "credit", 2, 40, 10)]
    assert [credits_ for _, _, credits_ in cheaper.refunds] == [15, 15]


def test_a_hold_that_was_held_is_held_at_other_prices_too() -> None:
    """Dearer events before the hold would have left too little for it; the event after the range still draws on it."""
    books = Books(OLD)
    books.account("u", YEAR_BEGIN, on_empty="reject")
    books.grant("g", 60, YEAR_BEGIN)
    books.event("before", NOON)
    books.hold("h", 40, NOON + DAY, expires_at=NOON + 3 * DAY)
    books.event("after", NOON + 2 * DAY, hold_id="h")
    rerated = books.rerate(book(charge("lookup", 50)), end=MIDNIGHT + DAY)
    assert rerated.table == [("lookup", "credit", 1, 20, 50)]
    assert rerated.after == {}, "it is charged on both sides"


def test_limits_of_the_new_book_do_not_count() -> None:
    books = Books(OLD)
    books.event("e0", NOON)
    books.event("late", NOON - 5 * DAY)
    strict = book(charge("lookup", 20), accept_window="1h", future_skew="1s")
    assert books.rerate(strict).rows == []


def test_what_the_log_did_not_accept_is_not_in_it() -> None:
    books = Books(OLD)
    books.event("e0", NOON)
    books.event("e0", NOON + 1)
    books.event("too-late", NOON - 40 * DAY)
    books.add("request", {**_event("soon", NOON), "occurred_at": NOON + HOUR}, NOON)
    books.add("request", _event("", NOON))
    books.broker.append(NAMES.requests, 0, b"poison", NOON)
    rerated = books.rerate(book(charge("lookup", 5)))
    assert (rerated.refunds, rerated.outcome.tallies.events) == ([("e0", "lookup", 15)], 1)


def _event(event_id: str, at: int) -> dict[str, Any]:
    from tests.metering.meter import request

    return request(event_id, at)


def test_an_id_used_again_much_later_is_another_event() -> None:
    books = Books(book(charge("lookup", 20), accept_window="24h"))
    books.event("e", NOON)
    books.event("x", NOON + 3 * DAY)
    books.event("e", NOON + 3 * DAY)
    books.refund("r", "e", NOON + 3 * DAY)
    new = book(charge("lookup", 5))
    assert books.rerate(new, end=NOON + DAY).table == [("lookup", "credit", 1, 20, 5)]
    assert books.rerate(new).table == [("lookup", "credit", 2, 40, 10)]


def test_a_log_that_lost_its_beginning_cannot_be_rerated() -> None:
    books = Books(OLD)
    books.event("e", NOON)
    books.broker.expire(NAMES.requests, 0, 1)
    with pytest.raises(LostPrefix, match=r"rr\.requests\[0\]: the log begins at 1"):
        books.rerate(OLD)


# -- refunds that the log holds ----------------------------------------------------------------------------------------

# (refund requests as fields, credits left of 20, what would be left of 12 under the new book)
REFUNDED = [
    ([{}], 0, 0),
    ([{"credits": 5}], 15, 7),
    ([{"credits": 15}], 5, 0),
    ([{"credits": 5}, {"credits": 15}], 0, 0),
    ([{"credits": 20}], 0, 0),
    ([{"credits": 21}], 20, 12),
    ([{"charge": "lookup"}], 0, 0),
    ([{"charge": "other"}], 20, 12),
]


@pytest.mark.parametrize(("requests", "was", "would_be"), REFUNDED)
def test_refunds_count_on_both_sides(requests: list[Json], was: int, would_be: int) -> None:
    books = Books(OLD)
    books.event("e", NOON)
    for number, fields in enumerate(requests):
        books.refund(f"r{number}", "e", NOON + MINUTE, **fields)
    rerated = books.rerate(book(charge("lookup", 12)))
    assert rerated.table == ([("lookup", "credit", 1, was, would_be)] if was else [])
    assert rerated.refunds == ([("e", "lookup", was - would_be)] if was else [])


def test_some_credits_stay_those_of_their_line_where_there_would_be_more_lines() -> None:
    books = Books(OLD)
    books.event("e", NOON)
    books.refund("r", "e", NOON, credits=5)
    rerated = books.rerate(book(charge("lookup", 20), charge("page", 1)))
    assert rerated.table == [("page", "credit", 1, 0, 1)]


@pytest.mark.parametrize("would", [OLD, book(charge("lookup", 25)), book(charge("lookup", 21), charge("page", 1))])
def test_a_rejected_refund_gives_back_nothing_on_either_side(would: Json) -> None:
    """More was asked for than the line cost: where it would have cost more, that would not have been asked for."""
    books = Books(OLD)
    books.event("e", NOON)
    (output,) = books.refund("r", "e", NOON, credits=21)
    assert output.record["reject_reason"] == "exceeds_charge"
    assert books.rerate(would).corrections == []


def test_a_refund_that_did_not_say_which_line_gives_back_nothing_on_either_side() -> None:
    books = Books(book(charge("lookup", 20), charge("page", 5)))
    books.event("e", NOON)
    (output,) = books.refund("r", "e", NOON, credits=10)
    assert output.record["reject_reason"] == "charge_required"
    assert books.rerate(OLD).refunds == [("e", "page", 5)]


def test_a_refund_of_a_line_that_was_free_counts_on_neither_side() -> None:
    books = Books(daily("24h"))
    books.event("e0", NOON, **IP)
    books.event("e1", NOON + 1, **IP)
    (output,) = books.refund("r", "e1", NOON + 1)
    assert output.record["reject_reason"] == "nothing_charged"
    assert books.rerate(OLD).table == [("lookup", "credit", 1, 20, 40)]


def test_a_refund_after_the_range_counts_too() -> None:
    books = Books(OLD)
    books.event("e", NOON)
    books.refund("r", "e", NOON + 20 * DAY)
    assert books.rerate(book(charge("lookup", 12)), end=NOON + DAY).rows == []


def test_a_refund_in_full_releases_the_claim_on_both_sides() -> None:
    books = Books(daily("ever"))
    books.event("e0", NOON, **IP)
    books.refund("r", "e0", NOON)
    (output,) = books.event("e1", NOON + 1, **IP)
    assert output.record["decision"] == "charged"
    rerated = books.rerate(daily("ever", 15))
    assert rerated.table == [("lookup", "credit", 1, 20, 15)]
    assert output.kind is Kind.BILLED

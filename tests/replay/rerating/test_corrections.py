"""What a re-rating gives back: by which command, how much, linked to which events, and never twice."""

from __future__ import annotations

import pytest

from metering.records import MAX_GRANT, Kind, Output
from metering.validation import check_grant, check_refund
from replay.rerating.corrections import Netting, Overlap
from replay.rerating.ids import PREFIX, parse_grant_id
from tests.metering.meter import DAY, HOUR, MIDNIGHT, NOON, YEAR_BEGIN, book, book_of, charge, version
from tests.replay.rerating.rerated import Books, Rerated

OLD = book(charge("lookup", 20))
CHEAPER = book(charge("lookup", 15))
IP = {"ip": "10.0.0.1"}
MUCH_LATER = NOON + 50 * DAY


def events(books: Books, count: int = 3, apart: int = HOUR) -> None:
    for number in range(count):
        books.event(f"e{number}", NOON + number * apart)


def settled(books: Books, rerated: Rerated) -> list[Output]:
    """Sends the corrections; each must be accepted."""
    outputs = [output for caused in books.apply(rerated) for output in caused]
    assert all(output.kind in (Kind.REFUND, Kind.GRANT) for output in outputs), outputs
    assert all(output.record["status"] in ("refunded", "applied") for output in outputs), outputs
    return outputs


def test_a_refund_for_each_line_while_it_is_possible() -> None:
    books = Books(OLD)
    books.grant("g", 100, YEAR_BEGIN)
    events(books)
    rerated = books.rerate(CHEAPER)
    assert (rerated.refunds, rerated.grants) == ([(f"e{n}", "lookup", 5) for n in range(3)], [])
    assert [output.record["remaining_charge"] for output in settled(books, rerated)] == [15, 15, 15]
    assert books.balance() == 100 - 45
    again = books.rerate(CHEAPER)
    assert (again.rows, again.corrections, again.not_collected) == ([], [], {})
    assert again.outcome.money["credit"].was == 45


def test_sent_twice_it_is_given_once() -> None:
    books = Books(OLD)
    books.event("e", NOON)
    books.event("old", NOON - 8 * DAY)
    rerated = books.rerate(CHEAPER, at=NOON + 30 * DAY)
    assert (rerated.refunds, rerated.grants) == ([("e", "lookup", 5)], [("lookup", 5, ("old",))])
    settled(books, rerated)
    assert [[output.kind for output in caused] for caused in books.apply(rerated)] == [[Kind.REPEATED]] * 2
    assert books.balance() == -30


@pytest.mark.parametrize("reached", range(5))
def test_one_cut_short_is_finished_by_the_next(reached: int) -> None:
    """Two grants and two refunds, of which some were sent: the next run sends the others, under the same ids."""
    books = Books(OLD)
    events(books, 2, DAY)
    books.event("e2", NOON + 20 * DAY)
    books.event("e3", NOON + 21 * DAY)
    whole = books.rerate(CHEAPER, at=NOON + 40 * DAY)
    assert (len(whole.refunds), len(whole.grants)) == (2, 2)
    for correction in whole.corrections[:reached]:
        books.add(str(correction.command), correction.record)
    rest = books.rerate(CHEAPER, at=NOON + 40 * DAY)
    assert [correction.record for correction in rest.corrections] == [
        correction.record for correction in whole.corrections[reached:]
    ]
    settled(books, rest)
    assert books.balance() == -60


def test_grants_by_day_where_no_refund_is_possible_any_more() -> None:
    books = Books(OLD)
    events(books, 5, 12 * HOUR)  # two a day, but for the first
    rerated = books.rerate(CHEAPER, at=MUCH_LATER)
    assert rerated.refunds == []
    assert rerated.grants == [("lookup", 5, ("e0",)), ("lookup", 10, ("e1", "e2")), ("lookup", 10, ("e3", "e4"))]
    first, second, _ = (correction.record for correction in rerated.corrections)
    assert first["reason"].endswith("lookup of 2026-01-10 was charged too much (event e0)")
    assert second["reason"].endswith("lookup of 2026-01-11 was charged too much (2 events)")
    assert [first["expires_at"], first["granted_at"]] == [None, MUCH_LATER]
    settled(books, rerated)
    assert books.balance() == -75
    again = books.rerate(CHEAPER, at=MUCH_LATER + DAY)
    assert (again.corrections, again.not_collected, again.outcome.money["credit"].difference) == ([], {}, 0)


def test_the_boundary_is_the_machines_own() -> None:
    """A refund at exactly accept_window is possible, a millisecond later it is not: and neither is ever rejected."""
    books = Books(OLD)
    books.event("a", NOON)
    books.event("b", NOON + 1)
    rerated = books.rerate(CHEAPER, at=NOON + 35 * DAY + 1)
    assert (rerated.refunds, [correction[2] for correction in rerated.grants]) == ([("b", "lookup", 5)], [("a",)])
    settled(books, rerated)


def test_what_comes_late_is_corrected_later() -> None:
    """Two late events on a day that was settled: one is refunded, what no refund reaches gets another grant."""
    books = Books(book(charge("lookup", 20), accept_window="2d"))
    books.event("e0", NOON)
    books.event("x", NOON + 2 * DAY)
    settled(books, books.rerate(CHEAPER, at=NOON + 2 * DAY + 1))
    books.event("late", NOON + HOUR)
    settled(books, books.rerate(CHEAPER, at=NOON + 2 * DAY + 1))
    books.event("later", NOON + 2 * HOUR)
    third = books.rerate(CHEAPER, at=NOON + 5 * DAY)
    assert third.grants == [("lookup", 5, ("e0", "later"))]
    settled(books, third)
    assert books.rerate(CHEAPER, at=NOON + 5 * DAY).corrections == []


def test_part_refunded_before_the_rerating() -> None:
    books = Books(OLD)
    events(books)
    books.refund("r0", "e0", NOON + DAY)
    books.refund("r1", "e1", NOON + DAY, credits=17)
    rerated = books.rerate(CHEAPER)
    assert rerated.refunds == [("e1", "lookup", 3), ("e2", "lookup", 5)]
    settled(books, rerated)
    assert books.rerate(CHEAPER).rows == []


def test_refunds_after_it_leave_nothing_to_do() -> None:
    books = Books(OLD)
    events(books)
    settled(books, books.rerate(CHEAPER))
    books.refund("r0", "e0", NOON + DAY)
    books.refund("r1", "e1", NOON + DAY, credits=4)
    (rejected,) = books.refund("r2", "e2", NOON + DAY, credits=16)
    assert rejected.record["reject_reason"] == "exceeds_charge"
    assert books.rerate(CHEAPER).rows == []


def test_credits_fill_debt_first() -> None:
    books = Books(OLD)
    events(books)
    assert books.balance() == -60
    settled(books, books.rerate(CHEAPER))
    assert books.balance() == -45


def test_each_credit_type_for_itself() -> None:
    old = book(charge("lookup", 20), charge("mail", 3, credit_type="email"))
    books = Books(old)
    events(books, 2)
    rerated = books.rerate(book(charge("lookup", 15), charge("mail", 1, credit_type="email")))
    assert rerated.refunds == [(f"e{n}", *line) for n in range(2) for line in (("lookup", 5), ("mail", 2))]
    settled(books, rerated)
    assert (books.balance(), books.balance("email")) == (-30, -2)


def test_a_line_given_back_in_full_releases_its_claim() -> None:
    """What docs/finance.md warns of: once the price is nothing, the next request for the subject makes a new claim."""
    books = Books(book(charge("lookup", 20, unique=(["ip"], "ever"))))
    books.event("e0", NOON, **IP)
    (before,) = books.event("e1", NOON + 1, **IP)
    settled(books, books.rerate(book(charge("lookup", 0))))
    (after,) = books.event("e2", NOON + 2, **IP)
    assert (before.record["decision"], after.record["decision"]) == ("duplicate", "charged")


def test_nothing_can_be_taken() -> None:
    books = Books(OLD)
    events(books)
    rerated = books.rerate(book(charge("lookup", 26)))
    assert (rerated.corrections, rerated.not_collected) == ([], {"credit": 18})
    assert rerated.outcome.money["credit"].difference == 18


def test_an_owner_that_moves_gives_nothing_back() -> None:
    """36 h instead of 24 h: another event of the same visitor would have paid, and the bill is the same."""
    books = Books(book(charge("lookup", 20, unique=(["ip"], "24h"))))
    for number, hours in enumerate((0, 25, 40)):
        books.event(f"e{number}", NOON + hours * HOUR, **IP)
    rerated = books.rerate(book(charge("lookup", 20, unique=(["ip"], "36h"))))
    assert (rerated.corrections, rerated.not_collected) == ([], {})


def test_too_little_is_set_off_within_a_charge() -> None:
    """Three charges instead of two for 20 each, but at 12: 40 was charged, 36 is right."""
    books = Books(book(charge("lookup", 20, unique=(["ip"], "24h"))))
    for number, hours in enumerate((0, 13, 26)):
        books.event(f"e{number}", NOON + hours * HOUR, **IP)
    new = book(charge("lookup", 12, unique=(["ip"], "12h")))
    rerated = books.rerate(new)
    assert rerated.table == [("lookup", "credit", 3, 40, 36)]
    assert rerated.refunds == [("e0", "lookup", 4)]
    settled(books, rerated)
    assert books.rerate(new).corrections == []
    assert books.rerate(new).outcome.money["credit"].difference == 0


# (netting, refunds, grants, not collected): one charge 5 too high, the other 2 too low, on two events
NETTED = [
    (Netting.CHARGE, [("e0", "lookup", 5), ("e1", "lookup", 5)], {"credit": 4}),
    (Netting.ACCOUNT, [("e0", "lookup", 5), ("e1", "lookup", 1)], {}),
]


@pytest.mark.parametrize(("netting", "refunds", "not_collected"), NETTED)
def test_what_is_set_off(netting: Netting, refunds: list[tuple[str, str, int]], not_collected: dict[str, int]) -> None:
    books = Books(book(charge("lookup", 20), charge("page", 1)))
    events(books, 2)
    new = book(charge("lookup", 15), charge("page", 3))
    rerated = books.rerate(new, netting=netting)
    assert (rerated.refunds, rerated.not_collected) == (refunds, not_collected)
    settled(books, rerated)
    again = books.rerate(new, netting=netting)
    assert (again.corrections, again.not_collected) == ([], not_collected)


def test_a_charge_that_got_another_name_gives_nothing_back_within_the_account() -> None:
    books = Books(OLD)
    events(books)
    new = book(charge("ip-lookup", 20))
    assert len(books.rerate(new).refunds) == 3
    assert books.rerate(new, netting=Netting.ACCOUNT).corrections == []


def test_two_reratings_one_after_the_other() -> None:
    """The second book is dearer than the first one: what was given back too much is not collected."""
    books = Books(OLD)
    events(books, 2)
    settled(books, books.rerate(CHEAPER))
    dearer = books.rerate(book(charge("lookup", 18)))
    assert (dearer.table, dearer.corrections) == ([("lookup", "credit", 2, 30, 36)], [])
    assert dearer.not_collected == {"credit": 6}
    cheapest = books.rerate(book(charge("lookup", 11)))
    assert cheapest.refunds == [("e0", "lookup", 4), ("e1", "lookup", 4)]


def test_two_reratings_by_grants_count_each_others_days() -> None:
    books = Books(OLD)
    events(books, 4, 8 * HOUR)  # e0, e1 on the 10th, e2, e3 on the 11th
    settled(books, books.rerate(CHEAPER, MIDNIGHT, MIDNIGHT + DAY, at=MUCH_LATER))
    assert books.balance() == -70
    month = books.rerate(CHEAPER, at=MUCH_LATER)
    assert month.grants == [("lookup", 10, ("e2", "e3"))]
    assert month.table == [("lookup", "credit", 4, 70, 60)]
    settled(books, month)
    cheapest = books.rerate(book(charge("lookup", 11)), at=MUCH_LATER)
    assert [credits_ for _, credits_, _ in cheapest.grants] == [8, 8]
    settled(books, cheapest)
    assert books.rerate(book(charge("lookup", 11)), at=MUCH_LATER).corrections == []


def test_days_that_lie_partly_in_the_range_are_told() -> None:
    """What an earlier re-rating gave for a whole day cannot be shared out between its hours."""
    books = Books(OLD)
    events(books, 4, 3 * HOUR)  # from noon
    settled(books, books.rerate(CHEAPER, at=MUCH_LATER))
    half = books.rerate(CHEAPER, NOON + 4 * HOUR, at=MUCH_LATER)
    assert half.outcome.overlaps == {Overlap(MIDNIGHT, MIDNIGHT + DAY)}
    assert books.rerate(CHEAPER, MIDNIGHT + DAY, at=MUCH_LATER).outcome.overlaps == set()


def test_half_days_are_kept_apart() -> None:
    books = Books(OLD)
    events(books, 4, 3 * HOUR)
    middle = NOON + 4 * HOUR
    for start, end in ((YEAR_BEGIN, middle), (middle, MUCH_LATER)):
        settled(books, books.rerate(CHEAPER, start, end, at=MUCH_LATER))
    assert books.balance() == -60
    assert books.rerate(CHEAPER, at=MUCH_LATER).corrections == []


def test_more_than_a_grant_can_hold() -> None:
    most = {"quantities": {"results": 10**9}}
    books = Books(book(charge("record", 10**6, per="results")))
    books.event("e", NOON, **most)
    rerated = books.rerate(book(charge("record", 997_000, per="results")), at=MUCH_LATER)
    assert [credits_ for _, credits_, _ in rerated.grants] == [MAX_GRANT] * 3
    ids = {correction.record["grant_id"] for correction in rerated.corrections}
    assert len(ids) == 3


def test_every_correction_is_a_good_command() -> None:
    """Names and ids as long as they may be."""
    long_charge, long_id = "c" * 128, "e" * 128
    books = Books(book(charge(long_charge, 20)))
    books.event("old", NOON, account_id="a" * 128)
    books.event(long_id, NOON + 34 * DAY, account_id="a" * 128)
    rerated = books.rerate(book(charge(long_charge, 10)), at=NOON + 36 * DAY)
    refund, grant = sorted(rerated.corrections, key=lambda correction: correction.command, reverse=True)
    assert (refund.record["event_id"], grant.events) == (long_id, ("old",))
    assert (check_refund(dict(refund.record)), check_grant(dict(grant.record))) == (None, None)
    assert all(own_id.startswith(PREFIX) for own_id in (refund.record["refund_id"], grant.record["grant_id"]))
    settled(books, rerated)


def test_grants_of_the_same_prefix_that_are_none_of_ours() -> None:
    books = Books(OLD)
    books.grant("rerate:by hand", 5, YEAR_BEGIN)
    books.event("e", NOON)
    assert parse_grant_id("rerate:by hand") is None
    assert books.rerate(CHEAPER).table == [("lookup", "credit", 1, 20, 15)]


def test_a_published_book_decides_the_log_itself() -> None:
    """Published after the re-rating: late events are charged right at once, and need no correction."""
    new = book_of(version("v1", YEAR_BEGIN, charge("lookup", 15)))
    books = Books(OLD)
    books.event("e", NOON)
    books.publish(new, NOON + 1)
    books.event("late", NOON - HOUR)
    assert books.rerate(new).refunds == [("e", "lookup", 5)]

"""Charged once per subject and window: who owns a claim, how long it lasts, and when two subjects are the same."""

from __future__ import annotations

from typing import Any

import pytest

from tests.metering.meter import DAY, HOUR, MIDNIGHT, MINUTE, NOON, NewMeter, book, book_of, charge, version

IP = "198.51.100.7"
BY_IP = book(charge("lookup", 20, unique=(["ip"], "24h")))


# -- a rolling window -------------------------------------------------------------------------------------------------


def test_the_first_is_charged_and_makes_the_claim(meter: NewMeter) -> None:
    line = meter(BY_IP).line("e1", at=NOON, ip=IP)
    assert (line["decision"], line["credits"], line["owner_event_id"]) == ("charged", 20, None)
    assert line["window_ends_at"] == NOON + DAY


def test_within_24_hours_it_is_a_duplicate_that_names_its_owner(meter: NewMeter) -> None:
    mine = meter(BY_IP)
    mine.line("e1", at=NOON, ip=IP)
    line = mine.line("e2", at=NOON + HOUR, ip=IP)
    assert (line["decision"], line["credits"], line["units"], line["unit_credits"]) == ("duplicate", 0, 1, 20)
    assert (line["owner_event_id"], line["window_ends_at"]) == ("e1", NOON + DAY)
    assert (line["balance_after"], line["grants_used"]) == (-20, [])


@pytest.mark.parametrize(
    ("after", "decision"),
    [(0, "duplicate"), (DAY - 1, "duplicate"), (DAY, "charged"), (DAY + 1, "charged")],
)
def test_exactly_24_hours_later_is_charged_and_one_millisecond_less_is_not(
    meter: NewMeter, after: Any, decision: Any
) -> None:
    mine = meter(BY_IP)
    mine.line("e1", at=NOON, ip=IP)
    assert mine.decision("e2", at=NOON + after, ip=IP) == decision


@pytest.mark.parametrize(("before", "decision"), [(1, "duplicate"), (DAY - 1, "duplicate"), (DAY, "charged")])
def test_the_window_works_backwards_so_a_late_event_is_not_charged_again(
    meter: NewMeter, before: Any, decision: Any
) -> None:
    mine = meter(BY_IP)
    mine.line("e1", at=NOON, ip=IP)
    late = mine.line("e2", at=NOON - before, ip=IP)
    assert late["decision"] == decision
    if decision == "duplicate":
        assert (late["owner_event_id"], late["window_ends_at"]) == ("e1", NOON + DAY)


def test_the_window_rolls_from_the_charge_and_not_from_the_last_duplicate(meter: NewMeter) -> None:
    mine = meter(BY_IP)
    mine.line("e1", at=NOON, ip=IP)
    assert mine.decision("e2", at=NOON + 23 * HOUR, ip=IP) == "duplicate"
    assert mine.line("e3", at=NOON + 24 * HOUR, ip=IP)["window_ends_at"] == NOON + 48 * HOUR
    assert mine.line("e4", at=NOON + 25 * HOUR, ip=IP)["owner_event_id"] == "e3"


def test_between_two_owners_the_latest_not_after_the_event_is_named(meter: NewMeter) -> None:
    mine = meter(BY_IP)
    mine.line("early", at=NOON, ip=IP)
    mine.line("late", at=NOON + DAY, ip=IP)
    assert mine.line("e1", at=NOON + 12 * HOUR, ip=IP)["owner_event_id"] == "early"
    assert mine.line("e2", at=NOON + DAY, ip=IP)["owner_event_id"] == "late"
    assert mine.line("e3", at=NOON - HOUR, ip=IP)["owner_event_id"] == "early"  # none before it: the earliest after


def test_a_window_in_hours_days_and_minutes(meter: NewMeter) -> None:
    for text, length in (("90m", 90 * MINUTE), ("7d", 7 * DAY), ("1h", HOUR)):
        mine = meter(book(charge("lookup", unique=(["ip"], text))))
        assert mine.line("e1", at=NOON, ip=IP)["window_ends_at"] == NOON + length
        assert mine.decision("e2", at=NOON + length - 1, ip=IP) == "duplicate"
        assert mine.decision("e3", at=NOON + length, ip=IP) == "charged"


# -- a calendar day, and for ever -------------------------------------------------------------------------------------


def test_a_calendar_day_ends_at_the_next_midnight(meter: NewMeter) -> None:
    mine = meter(book(charge("lookup", unique=(["ip"], "calendar_day"))))
    assert mine.line("e1", at=MIDNIGHT + DAY - 1, ip=IP)["window_ends_at"] == MIDNIGHT + DAY
    assert mine.line("e2", at=MIDNIGHT, ip=IP)["owner_event_id"] == "e1"  # the same day, hours before
    assert mine.line("e3", at=MIDNIGHT + DAY, ip=IP)["window_ends_at"] == MIDNIGHT + 2 * DAY  # one millisecond after
    assert mine.decision("e4", at=MIDNIGHT - 1, ip=IP) == "charged"


def test_ever_has_no_end_in_either_direction(meter: NewMeter) -> None:
    mine = meter(book(charge("lookup", unique=(["domain"], "ever"))))
    assert mine.line("e1", at=NOON, domain="acme.com")["window_ends_at"] is None
    later = mine.line("e2", at=NOON + 3000 * DAY, domain="acme.com")
    assert (later["decision"], later["owner_event_id"], later["window_ends_at"]) == ("duplicate", "e1", None)


def test_ever_covers_what_happened_before_its_owner(meter: NewMeter) -> None:
    mine = meter(book(charge("lookup", unique=(["domain"], "ever"))))
    mine.line("e1", at=NOON, domain="acme.com")
    assert mine.line("e2", at=NOON - 9 * DAY, domain="acme.com")["owner_event_id"] == "e1"


# -- whose claim it is ------------------------------------------------------------------------------------------------


def test_claims_belong_to_account_charge_and_subject(meter: NewMeter) -> None:
    lookup, other = (charge(name, unique=(["ip"], "24h"), when={"endpoint": f"/{name}"}) for name in ("one", "two"))
    mine = meter(book(lookup, other))
    assert mine.decision("e1", at=NOON, ip=IP, endpoint="/one") == "charged"
    assert mine.decision("e2", at=NOON, ip=IP, endpoint="/two") == "charged"  # another charge
    assert mine.decision("e3", at=NOON, ip="198.51.100.8", endpoint="/one") == "charged"  # another address
    assert mine.decision("e4", at=NOON, ip=IP, endpoint="/one", account_id="you") == "charged"  # another account
    assert mine.decision("e5", at=NOON, ip=IP, endpoint="/one") == "duplicate"


def test_a_claim_outlives_a_change_of_price_under_the_charges_stable_id(meter: NewMeter) -> None:
    unique = (["ip"], "24h")
    mine = meter(
        book_of(
            version("v1", MIDNIGHT, charge("lookup", 20, unique=unique)),
            version("v2", NOON + HOUR, charge("lookup", 30, unique=unique)),
        )
    )
    mine.line("e1", at=NOON, ip=IP)
    line = mine.line("e2", at=NOON + 2 * HOUR, ip=IP)
    names = ("decision", "price_version", "unit_credits", "owner_event_id")
    assert [line[name] for name in names] == ["duplicate", "v2", 30, "e1"]


def test_the_names_and_their_order_are_part_of_the_claim(meter: NewMeter) -> None:
    def by(*names: str) -> Any:
        return charge("lookup", unique=(list(names), "24h"))

    mine = meter(
        book_of(
            version("v1", MIDNIGHT, by("ip", "user_id")),
            version("v2", NOON + HOUR, by("user_id", "ip")),
            version("v3", NOON + 2 * HOUR, by("ip")),
        )
    )
    same = {"ip": IP, "user_id": IP}
    assert mine.decision("e1", at=NOON, **same) == "charged"
    assert mine.decision("e2", at=NOON + HOUR, **same) == "charged"
    assert mine.decision("e3", at=NOON + 2 * HOUR, **same) == "charged"
    assert mine.decision("e4", at=NOON, **same) == "duplicate"


def test_two_fields_are_not_confused_with_one_that_looks_like_both(meter: NewMeter) -> None:
    mine = meter(book(charge("lookup", unique=(["user_id", "attributes.c"], "24h"))))
    pairs = [("a", "b|c"), ("a|b", "c"), ("ab", "c"), ("a", "bc"), ("a\x00", "b"), ("a", "\x00b")]
    for number, (user_id, other) in enumerate(pairs):
        assert mine.decision(f"e{number}", at=NOON, user_id=user_id, attributes={"c": other}) == "charged"


def test_of_several_owners_before_the_event_the_latest_is_named(meter: NewMeter) -> None:
    """Only a window that has widened since can see more than one."""
    mine = meter(
        book_of(
            version("v1", MIDNIGHT, charge("lookup", unique=(["ip"], "1h"))),
            version("v2", NOON + 6 * HOUR, charge("lookup", unique=(["ip"], "24h"))),
        )
    )
    for number in range(3):
        assert mine.decision(f"owner-{number}", at=NOON + 2 * number * HOUR, ip=IP) == "charged"
    assert mine.line("e1", at=NOON + 6 * HOUR, ip=IP)["owner_event_id"] == "owner-2"


def test_of_several_owners_after_the_event_the_earliest_is_named(meter: NewMeter) -> None:
    mine = meter(
        book_of(
            version("v1", MIDNIGHT, charge("lookup", unique=(["ip"], "24h"))),
            version("v2", NOON, charge("lookup", unique=(["ip"], "1h"))),
        )
    )
    for number in range(3):
        assert mine.decision(f"owner-{number}", at=NOON + 2 * number * HOUR, ip=IP) == "charged"
    late = mine.line("e1", at=NOON - 1, ip=IP)
    assert (late["owner_event_id"], late["window_ends_at"]) == ("owner-0", NOON + DAY)


def test_a_wider_window_in_a_new_version_looks_further_back(meter: NewMeter) -> None:
    """The window that is compared is the one of the price that applies to the event."""
    mine = meter(
        book_of(
            version("v1", MIDNIGHT, charge("lookup", unique=(["ip"], "1h"))),
            version("v2", NOON + 2 * HOUR, charge("lookup", unique=(["ip"], "24h"))),
        )
    )
    mine.line("e1", at=NOON, ip=IP)
    line = mine.line("e2", at=NOON + 2 * HOUR, ip=IP)
    assert (line["decision"], line["owner_event_id"], line["window_ends_at"]) == ("duplicate", "e1", NOON + DAY)


def test_a_narrower_window_in_a_new_version_charges_sooner(meter: NewMeter) -> None:
    mine = meter(
        book_of(
            version("v1", MIDNIGHT, charge("lookup", unique=(["ip"], "24h"))),
            version("v2", NOON + 2 * HOUR, charge("lookup", unique=(["ip"], "1h"))),
        )
    )
    mine.line("e1", at=NOON, ip=IP)
    assert mine.decision("e2", at=NOON + 2 * HOUR - 1, ip=IP) == "duplicate"
    assert mine.decision("e3", at=NOON + 2 * HOUR, ip=IP) == "charged"


@pytest.mark.parametrize(("after", "decision"), [(3 * DAY, "duplicate"), (3 * DAY + 1, "charged")])
def test_a_claim_is_forgotten_accept_window_and_its_own_window_after_its_owner(
    meter: NewMeter, after: Any, decision: Any
) -> None:
    """Seen only where a later price looks further back than the claim was made to last: 2 d and 24 h, exactly."""
    mine = meter(
        book_of(
            version("v1", MIDNIGHT, charge("lookup", unique=(["ip"], "24h"))),
            version("v2", NOON + HOUR, charge("lookup", unique=(["ip"], "ever"))),
            accept_window="2d",
        )
    )
    mine.line("e1", at=NOON, ip=IP)
    assert mine.decision("e2", at=NOON + after, ip=IP) == decision


@pytest.mark.parametrize(("after", "decision"), [(3 * DAY, "duplicate"), (3 * DAY + 1, "charged")])
def test_a_calendar_day_counts_24_hours_when_it_is_forgotten(meter: NewMeter, after: Any, decision: Any) -> None:
    mine = meter(
        book_of(
            version("v1", MIDNIGHT, charge("lookup", unique=(["ip"], "calendar_day"))),
            version("v2", NOON + HOUR, charge("lookup", unique=(["ip"], "ever"))),
            accept_window="2d",
        )
    )
    mine.line("e1", at=NOON, ip=IP)
    assert mine.decision("e2", at=NOON + after, ip=IP) == decision


def test_a_claim_for_ever_is_never_forgotten(meter: NewMeter) -> None:
    mine = meter(book(charge("lookup", unique=(["ip"], "ever")), accept_window="1h"))
    mine.line("e1", at=NOON, ip=IP)
    assert mine.decision("e2", at=NOON + 4000 * DAY, ip=IP) == "duplicate"


def test_a_free_price_makes_no_claim(meter: NewMeter) -> None:
    mine = meter(
        book_of(
            version("v1", MIDNIGHT, charge("lookup", 0, unique=(["ip"], "24h"))),
            version("v2", NOON + HOUR, charge("lookup", 20, unique=(["ip"], "24h"))),
        )
    )
    assert mine.decision("e1", at=NOON, ip=IP) == "free"
    assert mine.decision("e2", at=NOON + HOUR, ip=IP) == "charged"


# -- a missing subject ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", [{}, {"ip": None}, {"ip": ""}])
def test_no_subject_no_charge(meter: NewMeter, missing: Any) -> None:
    line = meter(BY_IP).line("e1", at=NOON, **missing)
    names = ("decision", "units", "unit_credits", "credits", "window_ends_at", "balance_after")
    assert [line[name] for name in names] == ["missing_subject", 1, 20, 0, None, 0]


@pytest.mark.parametrize("attributes", [{}, {"other": "1"}, {"contact": ""}])
def test_an_absent_or_empty_attribute_is_a_missing_subject(meter: NewMeter, attributes: Any) -> None:
    mine = meter(book(charge("lookup", unique=(["attributes.contact"], "ever"))))
    assert mine.decision("e1", at=NOON, attributes=attributes) == "missing_subject"


def test_every_field_of_a_subject_is_needed(meter: NewMeter) -> None:
    mine = meter(book(charge("lookup", unique=(["user_id", "ip"], "24h"))))
    assert mine.decision("e1", at=NOON, ip=IP) == "missing_subject"
    assert mine.decision("e2", at=NOON, user_id="u1") == "missing_subject"
    assert mine.decision("e3", at=NOON, user_id="u1", ip=IP) == "charged"


# -- one subject in many spellings ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "first", "second", "same"),
    [
        ("ip", "2001:db8::1", "2001:0DB8:0:0:0:0:0:1", True),
        ("ip", "2001:db8::1", "2001:db8:0::0:1", True),
        ("ip", "10.0.0.1", "::ffff:10.0.0.1", True),
        ("ip", "10.0.0.1", "::FFFF:0a00:1", True),
        ("ip", "10.0.0.1", "::10.0.0.1", False),  # IPv4-compatible, which is not IPv4-mapped
        ("ip", "2001:db8::1", "2001:db8::2", False),
        ("domain", "acme.com", "ACME.com", True),
        ("domain", "acme.com", "acme.com.", True),
        ("domain", "acme.com", "www.acme.com", True),
        ("domain", "acme.com", "WWW.Acme.Com.", True),
        ("domain", "acme.com", "www.www.acme.com", False),  # only one leading www.
        ("domain", "www.acme.com", "www.www.acme.com", False),
        ("domain", "acme.com", "app.acme.com", False),
        ("domain", "acme.com", "www2.acme.com", False),
        ("domain", "www.com", "www.www.com", True),  # www. goes only where two labels remain
        ("domain", "münchen.de", "xn--mnchen-3ya.de", True),
        ("domain", "MÜNCHEN.de", "www.xn--mnchen-3ya.de.", True),
        ("domain", "straße.de", "strasse.de", False),  # two registrations since 2010, two companies
        ("domain", "straße.de", "xn--strae-oqa.de", True),
        ("domain", "STRAẞE.de", "XN--STRAE-OQA.DE.", True),
        ("domain", "νίκος.gr", "νίκοσ.gr", False),
        ("domain", "acme\u3002com", "acme.com", True),
        ("domain", "ac\u00adme.com", "acme.com", True),  # a soft hyphen that came along with a pasted text
        ("domain", "münchen.de", "munchen.de", False),
        ("user_id", "Jane", "jane", False),  # a user is compared as it is written
        ("user_id", "jane", "jane ", False),
        ("attributes.c", "A", "a", False),
    ],
)
def test_spellings(meter: NewMeter, field: Any, first: Any, second: Any, same: Any) -> None:
    mine = meter(book(charge("lookup", unique=([field], "24h"))))

    def spelled(text: str) -> Any:
        return {"attributes": {"c": text}} if field == "attributes.c" else {field: text}

    assert mine.decision("e1", at=NOON, **spelled(first)) == "charged"
    assert mine.decision("e2", at=NOON, **spelled(second)) == ("duplicate" if same else "charged")

"""What differs between two price books, as values and in lines: versions, charges, fields, order and limits."""

from __future__ import annotations

from typing import Any

import pytest

from application.prices.differences import BookChange, ChangeKind, book_changes, shown_changes
from metering.prices import Book, parse_book
from schemas.price_book import read_book
from tests.command import BOOK
from tests.metering import meter
from tests.metering.meter import DAY, YEAR_BEGIN, Json

NEXT = BOOK[BOOK.index("  - version") :].replace("2026-01", "2026-02").replace("credits: 20", "credits: 25")


def book(*charges: Json, **fields: Any) -> Book:
    return parse_book(meter.book(*charges) | fields)


def lines(old: Book, new: Book) -> list[str]:
    return list(shown_changes(book_changes(old, new), new, old))


def test_a_new_version_is_compared_with_the_one_before_it() -> None:
    old, new = read_book(BOOK), read_book(BOOK + NEXT)
    assert book_changes(old, new) == [
        BookChange(ChangeKind.ADDED, "2026-02", None, None, "2026-01", None),
        BookChange(ChangeKind.CHANGED, "2026-02", "ip-lookup", "credits", "20", "25"),
    ]
    assert lines(old, new) == [
        "+ version 2026-02, from 2026-02-01T00:00:00Z; against 2026-01:",
        "  ~ charge ip-lookup",
        "      credits: 20 -> 25",
    ]
    assert lines(new, old)[0] == "- version 2026-02, from 2026-02-01T00:00:00Z"


def test_a_version_before_all_others_is_compared_with_nothing() -> None:
    earlier = BOOK.replace("2026-01", "2025-12", 2) + BOOK[BOOK.index("  - version") :]
    first, *charges = lines(read_book(BOOK), read_book(earlier))
    assert first == "+ version 2025-12, from 2025-12-01T00:00:00Z"
    assert charges[0].startswith("  + charge pageview: 1 credit per request")


def test_the_order_of_charges_and_a_start_are_differences() -> None:
    first, second = meter.charge("a"), meter.charge("b")
    old, new = (
        parse_book(meter.book_of(meter.version("v", start, *charges)))
        for start, charges in ((YEAR_BEGIN, (first, second)), (YEAR_BEGIN + DAY, (second, first)))
    )
    assert [(change.field, change.old, change.new) for change in book_changes(old, new)] == [
        ("effective_from", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"), ("order of charges", "a, b", "b, a"),
    ]  # fmt: skip


def test_a_charge_that_is_added_in_front_changes_no_order() -> None:
    old, new = book(meter.charge("b"), meter.charge("c")), book(meter.charge("a"), meter.charge("b"), meter.charge("c"))
    assert [(change.kind, change.charge) for change in book_changes(old, new)] == [(ChangeKind.ADDED, "a")]


def test_versions_that_are_written_in_another_order_mean_the_same() -> None:
    one, two = (
        meter.version("one", YEAR_BEGIN, meter.charge("a")),
        meter.version("two", YEAR_BEGIN + DAY, meter.charge("a")),
    )
    assert book_changes(parse_book(meter.book_of(one, two)), parse_book(meter.book_of(two, one))) == []
    assert lines(read_book(BOOK), read_book("# a comment\n" + BOOK)) == []


def test_a_field_that_goes_is_shown_as_none() -> None:
    old, new = book(meter.charge("a", plans={"big": 1})), book(meter.charge("a"))
    assert lines(old, new)[-1] == "      plans: big 1 -> (none)"
    assert lines(new, old)[-1] == "      plans: (none) -> big 1"


def test_what_belongs_to_no_version_comes_first() -> None:
    limit = {"name": "search", "requests": 60, "per": "1m"}
    old, new = book(meter.charge("a")), book(meter.charge("a", 21), rate_limits=[limit], price_lock="plan_period")
    assert lines(old, new)[:2] == ["~ price_lock: none -> plan_period", "~ rate_limits.search: (none) -> 60 in 1m"]
    other = book(meter.charge("a", 21), rate_limits=[limit | {"requests": 61}], price_lock="plan_period")
    assert lines(new, other) == ["~ rate_limits.search: 60 in 1m -> 61 in 1m"]


@pytest.mark.parametrize("present", [False, True])
def test_an_override_of_the_lock_is_shown_for_a_new_version_and_an_old_one(present: bool) -> None:
    one, two = (
        meter.version("one", YEAR_BEGIN, meter.charge("a")),
        meter.version("two", YEAR_BEGIN + DAY, meter.charge("a")),
    )
    old = parse_book(meter.book_of(one, two) if present else meter.book_of(one))
    new = parse_book(meter.book_of(one, two | {"overrides_lock": True}))
    assert "  ~ overrides_lock: false -> true" in lines(old, new)

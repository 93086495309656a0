"""What a book announces, and to whom it makes a difference."""

from typing import Any

import pytest

from application.prices.price_list import AccountPlan
from application.webhooks.price_changes import announced_versions, changes_for_account, changes_for_everybody
from metering.prices import Book, parse_book
from tests.metering import meter
from tests.metering.meter import DAY, NOON, YEAR_BEGIN, Json

LATER = NOON + 10 * DAY
LOOKUP = meter.charge("lookup", 20, plans={"big": 15}, when={"endpoint": ["/v1/lookup"]})
ONLY_BIG = meter.charge("extra", 5, when={"plan": ["big"]})


def book(*versions: Json, **fields: Any) -> Book:
    return parse_book(meter.book_of(*versions) | fields)


ONE = meter.version("one", YEAR_BEGIN, LOOKUP)


def two(**changes: Any) -> Json:
    return meter.version("two", LATER, LOOKUP | changes)


def differences(
    new: Book, plan: AccountPlan | None, old: Book | None = None, at: int = NOON
) -> list[tuple[str, str | None, str | None]]:
    return [
        (announced.version.version, change.charge, change.new)
        for announced in announced_versions(old, new, at)
        for change in changes_for_account(new, announced, plan)
    ]


BIG = AccountPlan("big", YEAR_BEGIN, None)


def test_only_versions_that_begin_later_and_were_not_announced_before() -> None:
    old, new = book(ONE), book(ONE, two(credits=25))
    (announced,) = announced_versions(old, new, NOON)
    assert (announced.index, announced.version.version) == (1, "two")
    assert [change.new for change in changes_for_everybody(announced)] == ["25"]
    assert list(announced_versions(new, new, NOON)) == []
    assert list(announced_versions(old, new, LATER)) == []
    assert [later.version.version for later in announced_versions(new, book(ONE, two(credits=26)), NOON)] == ["two"]
    assert [later.version.version for later in announced_versions(None, new, NOON)] == ["two"]


def test_an_account_hears_of_what_its_own_plan_pays() -> None:
    assert differences(book(ONE, two(credits=25)), None) == [("two", "lookup", "25")]
    assert differences(book(ONE, two(credits=25)), BIG) == []
    assert differences(book(ONE, two(plans={"big": 16})), BIG) == [("two", "lookup", "16")]
    assert differences(book(ONE, two(plans={"big": 16})), None) == []
    assert differences(book(ONE, two(plans={"big": 15, "small": 1})), BIG) == []


def test_a_charge_of_another_plan_is_none_of_it() -> None:
    new = book(ONE, meter.version("two", LATER, LOOKUP, ONLY_BIG))
    assert differences(new, None) == differences(new, AccountPlan("small", YEAR_BEGIN, None)) == []
    assert differences(new, BIG) == [("two", "extra", "5 credit per request, when plan big")]


@pytest.mark.parametrize(("overrides", "reached"), [(False, []), (True, [("two", "lookup", "16")])])
def test_a_locked_plan_is_reached_by_a_version_that_overrides_the_lock_alone(
    overrides: bool, reached: list[Any]
) -> None:
    new = book(ONE, two(plans={"big": 16}) | {"overrides_lock": overrides}, price_lock="plan_period")
    assert differences(new, BIG) == reached
    assert differences(new, None) == differences(book(ONE, two(plans={"big": 16})), None)


def test_a_plan_that_has_ended_by_then_counts_no_more() -> None:
    new = book(ONE, two(credits=25), price_lock="plan_period")
    assert differences(new, AccountPlan("big", YEAR_BEGIN, LATER)) == [("two", "lookup", "25")]


def test_the_first_version_of_all_begins_everything() -> None:
    new = book(meter.version("one", LATER, LOOKUP))
    assert differences(new, BIG) == [("one", "lookup", "15 credit per request, when endpoint /v1/lookup")]


def test_each_version_is_compared_with_the_one_before_it() -> None:
    three = meter.version("three", LATER + DAY, LOOKUP | {"credits": 30})
    assert differences(book(ONE, two(credits=25), three), None) == [("two", "lookup", "25"), ("three", "lookup", "30")]

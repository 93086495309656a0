"""Prices of an account or of everybody at an instant: locked, announced, free, and rate limits."""

from __future__ import annotations

import json
from typing import Any

import pytest

from application.prices.price_list import AccountPlan, PriceList, price_list, rate_limits
from application.prices.publishing import PublishedBook
from metering.prices import parse_book
from tests.metering import meter
from tests.metering.meter import DAY, NOON, YEAR_BEGIN, Json

LOOKUP = meter.charge("lookup", 20, plans={"big": 15}, when={"endpoint": ["/v1/lookup"]}, unique=(["ip"], "24h"))
PING = meter.charge("ping", 0, when={"endpoint": ["/v1/ping", "/v1/health"]})
LIMIT = {"name": "search", "requests": 60, "per": "1m", "plans": {"big": 600}}
LATER = NOON + 10 * DAY


def published(*versions: Json, **fields: Any) -> PublishedBook:
    book = parse_book(meter.book_of(*versions) | fields)
    return PublishedBook(0, 0, "b" * 64, "", book, YEAR_BEGIN, YEAR_BEGIN)


ONE = meter.version("one", YEAR_BEGIN, LOOKUP, PING)
TWO = meter.version("two", LATER, LOOKUP | {"credits": 25}, PING)


def credits_of(prices: PriceList) -> dict[str, int]:
    return {charge["charge"]: charge["credits"] for charge in prices.as_plain()["charges"]}


def test_everybody_sees_all_plans_and_an_account_its_own_credits() -> None:
    everybody = price_list(published(ONE), NOON)
    assert credits_of(everybody) == {"lookup": 20, "ping": 0}
    assert everybody.as_plain()["charges"][0]["plans"] == {"big": 15}
    big = price_list(published(ONE), NOON, AccountPlan("big", YEAR_BEGIN, None))
    assert credits_of(big) == {"lookup": 15, "ping": 0}
    assert "plans" not in big.as_plain()["charges"][0]
    assert big.as_plain()["free_endpoints"] == ["/v1/health", "/v1/ping"]
    assert json.loads(json.dumps(big.as_plain()))["plan"] == "big"


@pytest.mark.parametrize(("starts", "ends", "counts"), [
    (NOON, None, True), (NOON + 1, None, False), (YEAR_BEGIN, NOON, False), (YEAR_BEGIN, NOON + 1, True),
])  # fmt: skip
def test_a_plan_counts_from_its_beginning_to_before_its_end(starts: int, ends: int | None, counts: bool) -> None:
    prices = price_list(published(ONE), NOON, AccountPlan("big", starts, ends))
    assert (prices.plan == "big", credits_of(prices)["lookup"]) == (counts, 15 if counts else 20)


def test_before_the_first_version_there_are_no_prices_but_an_announcement() -> None:
    prices = price_list(published(ONE), YEAR_BEGIN - 1)
    assert (prices.version, prices.charges()) == (None, [])
    (announced,) = prices.as_plain()["announced"]
    assert (announced["version"], announced["applies"], len(announced["changes"])) == ("one", True, 2)


def test_an_announced_version_says_what_it_changes() -> None:
    (announced,) = price_list(published(ONE, TWO), NOON).as_plain()["announced"]
    assert announced["version"] == "two"
    assert announced["changes"] == [
        {"kind": "changed", "charge": "lookup", "field": "credits", "old": "20", "new": "25"}
    ]
    assert price_list(published(ONE, TWO), LATER).announced == []


@pytest.mark.parametrize(
    ("override", "ends", "applies"),
    [(False, None, False), (True, None, True), (False, LATER, True), (False, LATER + 1, False)],
)
def test_a_plan_that_keeps_its_prices_is_not_reached_by_a_later_version(
    override: bool, ends: int | None, applies: bool
) -> None:
    book = published(ONE, TWO | {"overrides_lock": override}, price_lock="plan_period")
    prices = price_list(book, NOON, AccountPlan("big", YEAR_BEGIN + DAY, ends))
    assert prices.locked_since == YEAR_BEGIN + DAY
    assert [announced.applies for announced in prices.announced] == [applies]
    assert price_list(book, NOON).locked_since is None


def test_charges_for_other_plans_are_not_an_accounts() -> None:
    own = meter.charge("own", when={"plan": ["big*"]})
    book = published(meter.version("one", YEAR_BEGIN, LOOKUP, own))
    assert "own" in credits_of(price_list(book, NOON))
    assert "own" in credits_of(price_list(book, NOON, AccountPlan("bigger", YEAR_BEGIN, None)))
    assert "own" not in credits_of(price_list(book, NOON, AccountPlan("small", YEAR_BEGIN, None)))


def test_rate_limits_have_the_plans_number() -> None:
    book = published(ONE, rate_limits=[LIMIT])
    assert [(limit["requests"], limit["window"], limit["window_ms"]) for limit in rate_limits(book, "big")] == [
        (600, "1m", 60_000)
    ]
    assert [limit["requests"] for limit in rate_limits(book, None)] == [60]
    assert [limit["requests"] for limit in rate_limits(book, "small")] == [60]

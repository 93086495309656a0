"""Which prices apply: matching, units, plans, versions, and the lock that keeps a plan at the prices it began with."""

from __future__ import annotations

from typing import Any

import pytest

from tests.metering.meter import DAY, HOUR, MIDNIGHT, NOON, YEAR_BEGIN, NewMeter, book, book_of, charge, version

# -- matching ---------------------------------------------------------------------------------------------------------


def test_every_matching_charge_makes_a_line_in_the_books_order(meter: NewMeter) -> None:
    """A pixel hit may cost a pageview, a lookup and an enrichment."""
    mine = meter(book(charge("pageview", 1), charge("other", 9, when={"channel": "email"}), charge("lookup", 20)))
    lines = mine.lines("e1", at=NOON)
    assert [(line["line"], line["charge"], line["credits"]) for line in lines] == [
        (0, "pageview", 1),
        (1, "lookup", 20),
    ]


@pytest.mark.parametrize(
    ("when", "matches"),
    [
        ({}, True),
        ({"endpoint": "/v1/lookup"}, True),
        ({"endpoint": "/v1/look"}, False),  # whole, not a prefix
        ({"endpoint": "/V1/lookup"}, False),  # as it is written
        ({"endpoint": "/v1/*"}, True),
        ({"endpoint": "/v1/lookup*"}, True),
        ({"endpoint": "*"}, True),
        ({"endpoint": "/v2/*"}, False),
        ({"endpoint": ["/x", "/v1/*"]}, True),
        ({"endpoint": ["/x", "/y"]}, False),
        ({"endpoint": "/v1/*", "channel": "api"}, True),
        ({"endpoint": "/v1/*", "channel": "js"}, False),  # all of them must match
        ({"channel": ["js", "api"]}, True),
        ({"plan": "pro"}, True),
        ({"plan": "p*"}, True),
        ({"plan": "basic"}, False),
        ({"attributes.kind": "person"}, True),
        ({"attributes.kind": ["company", "per*"]}, True),
        ({"attributes.kind": "company"}, False),
        ({"attributes.absent": "*"}, False),  # what is absent matches nothing
    ],
)
def test_when(meter: NewMeter, when: Any, matches: Any) -> None:
    mine = meter(book(charge("lookup", when=when)))
    decision = mine.decision("e1", at=NOON, plan="pro", attributes={"kind": "person"})
    assert decision == ("charged" if matches else "unpriced")


def test_no_plan_matches_no_plan_condition(meter: NewMeter) -> None:
    assert meter(book(charge("lookup", when={"plan": "*"}))).decision("e1", at=NOON) == "unpriced"


def test_a_line_explains_its_price(meter: NewMeter) -> None:
    item = charge("lookup", 20, feature="Identification", action="IP to company lookup", credit_type="ident")
    line = meter(book(item)).line("e1", at=NOON)
    names = ("charge", "feature", "action", "credit_type", "price_version", "units", "unit_credits", "credits")
    assert [line[name] for name in names] == [
        "lookup",
        "Identification",
        "IP to company lookup",
        "ident",
        "v1",
        1,
        20,
        20,
    ]
    assert (line["balance_after"], line["owner_event_id"], line["window_ends_at"]) == (-20, None, None)


def test_feature_and_action_may_be_absent(meter: NewMeter) -> None:
    line = meter(book(charge("lookup"))).line("e1", at=NOON)
    assert (line["feature"], line["action"]) == (None, None)


# -- units ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("quantities", "decision", "units", "credits_"),
    [
        ({"results": 3}, "charged", 3, 6),
        ({"results": 10**9}, "charged", 10**9, 2 * 10**9),
        ({"results": 0}, "nothing_found", 0, 0),
        ({"emails": 3}, "nothing_found", 0, 0),  # an absent quantity is none
        ({}, "nothing_found", 0, 0),
    ],
)
def test_a_price_per_quantity(meter: NewMeter, quantities: Any, decision: Any, units: Any, credits_: Any) -> None:
    line = meter(book(charge("record", 2, per="results"))).line("e1", at=NOON, quantities=quantities)
    assert (line["decision"], line["units"], line["unit_credits"], line["credits"]) == (decision, units, 2, credits_)


def test_a_price_per_request_does_not_look_at_quantities(meter: NewMeter) -> None:
    line = meter(book(charge("call", 2))).line("e1", at=NOON, quantities={"results": 0})
    assert (line["decision"], line["units"], line["credits"]) == ("charged", 1, 2)


def test_a_price_of_nothing_is_free_and_keeps_its_units(meter: NewMeter) -> None:
    line = meter(book(charge("record", 0, per="results"))).line("e1", at=NOON, quantities={"results": 7})
    assert (line["decision"], line["units"], line["unit_credits"], line["credits"]) == ("free", 7, 0, 0)


def test_nothing_found_comes_before_free_and_free_before_the_subject(meter: NewMeter) -> None:
    none_of_nothing = charge("a", 0, per="results", unique=(["ip"], "24h"))
    free_without_subject = charge("b", 0, unique=(["ip"], "24h"))
    decisions = meter(book(none_of_nothing, free_without_subject)).decisions("e1", at=NOON)
    assert decisions == ["nothing_found", "free"]


def test_nothing_found_comes_before_the_subject(meter: NewMeter) -> None:
    mine = meter(book(charge("a", 5, per="results", unique=(["ip"], "24h"))))
    assert mine.decision("e1", at=NOON, quantities={"results": 0}) == "nothing_found"


# -- plans ------------------------------------------------------------------------------------------------------------

PLAN_BOOK = book(charge("lookup", 20, plans={"enterprise": 15, "gift": 0}))
ENTERPRISE = {"name": "enterprise", "started_at": MIDNIGHT, "ends_at": MIDNIGHT + DAY}


def test_prices_by_plan(meter: NewMeter) -> None:
    mine = meter(PLAN_BOOK)
    assert mine.line("e1", at=NOON)["credits"] == 20
    assert mine.line("e2", at=NOON, plan="enterprise")["credits"] == 15
    assert mine.line("e3", at=NOON, plan="unheard-of")["credits"] == 20
    assert mine.decision("e4", at=NOON, plan="gift") == "free"


@pytest.mark.parametrize(
    ("occurred_at", "counted"),
    [
        (MIDNIGHT - 1, None),
        (MIDNIGHT, "enterprise"),
        (MIDNIGHT + DAY - 1, "enterprise"),
        (MIDNIGHT + DAY, None),
    ],
)
def test_the_accounts_plan_counts_from_its_start_to_just_before_its_end(
    meter: NewMeter, occurred_at: Any, counted: Any
) -> None:
    mine = meter(PLAN_BOOK)
    mine.account("u1", at=MIDNIGHT, plan=ENTERPRISE)
    line = mine.line("e1", at=occurred_at)
    assert (line["plan"], line["credits"]) == (counted, 15 if counted else 20)


def test_a_plan_without_end_counts_for_ever(meter: NewMeter) -> None:
    mine = meter(PLAN_BOOK)
    mine.account("u1", at=MIDNIGHT, plan=ENTERPRISE | {"ends_at": None})
    assert mine.line("e1", at=MIDNIGHT + 900 * DAY)["plan"] == "enterprise"


def test_the_settings_in_force_are_those_when_the_event_is_decided(meter: NewMeter) -> None:
    """Not those at the event's time: an update counts from its place in the log, whatever its `at`."""
    mine = meter(PLAN_BOOK)
    assert mine.line("e1", at=NOON)["plan"] is None
    mine.account("u1", at=NOON + 5 * HOUR, plan=ENTERPRISE)
    assert mine.line("e2", at=NOON)["plan"] == "enterprise"
    mine.account("u2", at=MIDNIGHT - DAY)  # older by its `at`, later in the log: the whole of the settings, no plan
    assert mine.line("e3", at=NOON)["plan"] is None


def test_an_events_own_plan_overrides_the_name(meter: NewMeter) -> None:
    mine = meter(PLAN_BOOK)
    mine.account("u1", at=MIDNIGHT, plan=ENTERPRISE)
    line = mine.line("e1", at=NOON, plan="basic")
    assert (line["plan"], line["credits"]) == ("basic", 20)
    assert mine.line("e2", at=NOON, plan="")["plan"] == "enterprise"  # an empty one is null


@pytest.mark.parametrize("how", [{"outcome": "failed"}, {"endpoint": "/none"}])
def test_a_line_that_is_not_priced_names_the_plan_too(meter: NewMeter, how: Any) -> None:
    mine = meter(book(charge("lookup", when={"endpoint": "/v1/*"})))
    mine.account("u1", at=MIDNIGHT, plan=ENTERPRISE)
    assert mine.line("e1", at=NOON, **how)["plan"] == "enterprise"


# -- versions ---------------------------------------------------------------------------------------------------------

TWO_VERSIONS = (version("v1", MIDNIGHT, charge("lookup", 20)), version("v2", MIDNIGHT + DAY, charge("lookup", 30)))


@pytest.mark.parametrize(
    ("occurred_at", "priced_by"),
    [
        (MIDNIGHT - 1, None),
        (MIDNIGHT, ("v1", 20)),
        (MIDNIGHT + DAY - 1, ("v1", 20)),
        (MIDNIGHT + DAY, ("v2", 30)),
        (MIDNIGHT + 90 * DAY, ("v2", 30)),
    ],
)
def test_the_last_version_in_force_when_it_happened_prices_an_event(
    meter: NewMeter, occurred_at: Any, priced_by: Any
) -> None:
    line = meter(book_of(*TWO_VERSIONS)).line("e1", at=occurred_at)
    if priced_by is None:
        assert line["decision"] == "unpriced"
    else:
        assert (line["price_version"], line["credits"]) == priced_by


def test_a_late_event_is_priced_by_its_own_time(meter: NewMeter) -> None:
    mine = meter(book_of(*TWO_VERSIONS))
    assert mine.line("e1", at=MIDNIGHT + DAY)["price_version"] == "v2"
    assert mine.line("e2", at=MIDNIGHT + DAY - 1)["price_version"] == "v1"


def test_the_order_of_versions_in_the_book_does_not_matter(meter: NewMeter) -> None:
    assert meter(book_of(*reversed(TWO_VERSIONS))).line("e1", at=MIDNIGHT + 2 * DAY)["price_version"] == "v2"


def test_times_in_a_book_may_be_written_out(meter: NewMeter) -> None:
    mine = meter(book_of(version("v1", "2026-01-10T00:00:00Z", charge("lookup"))))
    assert mine.decision("e1", at=MIDNIGHT - 1) == "unpriced"
    assert mine.decision("e2", at=MIDNIGHT) == "charged"


def test_a_new_book_prices_what_stands_behind_it_in_the_log(meter: NewMeter) -> None:
    mine = meter(book(charge("lookup", 20)))
    assert mine.line("e1", at=NOON)["credits"] == 20
    mine.publish(book_of(version("v1", YEAR_BEGIN, charge("lookup", 20)), version("v2", NOON, charge("lookup", 25))))
    assert mine.line("e2", at=NOON - 1)["credits"] == 20
    assert mine.line("e3", at=NOON)["credits"] == 25


# -- the lock: with `plan_period` a plan keeps the prices in force when it began --------------------------------------

LOCKED = book_of(*TWO_VERSIONS, price_lock="plan_period")
LATER = MIDNIGHT + 2 * DAY


def plan(started_at: int, ends_at: int | None = None) -> dict[str, Any]:
    return {"name": "pro", "started_at": started_at, "ends_at": ends_at}


@pytest.mark.parametrize(
    ("settings", "own_plan", "priced_by"),
    [
        pytest.param(plan(MIDNIGHT), None, "v1", id="a plan keeps the prices of its start"),
        pytest.param(plan(MIDNIGHT + DAY - 1), None, "v1", id="to the last millisecond of a version"),
        pytest.param(plan(MIDNIGHT + DAY), None, "v2", id="a plan that began with the new prices has them"),
        pytest.param(plan(YEAR_BEGIN), None, "v1", id="begun before all prices: the first version"),
        pytest.param(None, None, "v2", id="no plan, no lock"),
        pytest.param(plan(MIDNIGHT, LATER), None, "v2", id="a plan that is over locks nothing"),
        pytest.param(plan(LATER + 1), None, "v2", id="a plan that has not begun locks nothing"),
        pytest.param(plan(MIDNIGHT), "other", "v2", id="overridden by another name: no lock"),
        pytest.param(plan(MIDNIGHT), "pro", "v1", id="overridden by the same name: still the account's plan"),
        pytest.param(None, "pro", "v2", id="an event's own plan alone has no start to lock to"),
    ],
)
def test_price_lock(meter: NewMeter, settings: Any, own_plan: Any, priced_by: Any) -> None:
    mine = meter(LOCKED)
    mine.account("u1", at=MIDNIGHT, plan=settings)
    assert mine.line("e1", at=LATER, plan=own_plan)["price_version"] == priced_by


def test_without_the_lock_a_plan_keeps_nothing(meter: NewMeter) -> None:
    mine = meter(book_of(*TWO_VERSIONS, price_lock="none"))
    mine.account("u1", at=MIDNIGHT, plan=plan(MIDNIGHT))
    assert mine.line("e1", at=LATER)["price_version"] == "v2"


def test_the_lock_prices_nothing_that_happened_before_all_prices(meter: NewMeter) -> None:
    mine = meter(LOCKED)
    mine.account("u1", at=MIDNIGHT, plan=plan(YEAR_BEGIN))
    assert mine.decision("e1", at=MIDNIGHT - 1) == "unpriced"


# -- versions that override the lock ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("overriding", "started_at", "occurred_at", "priced_by"),
    [
        pytest.param([2], MIDNIGHT, MIDNIGHT + 3 * DAY - 1, "v1", id="not before it begins"),
        pytest.param([2], MIDNIGHT, MIDNIGHT + 3 * DAY, "v3", id="from its beginning"),
        pytest.param([1], MIDNIGHT, MIDNIGHT + 3 * DAY, "v2", id="later versions are locked out as before"),
        pytest.param([1, 2], MIDNIGHT, MIDNIGHT + 3 * DAY, "v3", id="the last of several"),
        pytest.param([1], MIDNIGHT + 3 * DAY, MIDNIGHT + 4 * DAY, "v3", id="a plan that began after it keeps its own"),
        pytest.param([0], YEAR_BEGIN, MIDNIGHT + 3 * DAY, "v1", id="the first version for a plan before all prices"),
        pytest.param([], MIDNIGHT, MIDNIGHT + 3 * DAY, "v1", id="none"),
    ],
)
def test_overrides_lock(
    meter: NewMeter, overriding: list[int], started_at: int, occurred_at: int, priced_by: str
) -> None:
    starts = (MIDNIGHT, MIDNIGHT + 2 * DAY, MIDNIGHT + 3 * DAY)
    versions = [version(f"v{n + 1}", start, charge("lookup", n + 1)) for n, start in enumerate(starts)]
    for number in overriding:
        versions[number]["overrides_lock"] = True
    mine = meter(book_of(*versions, price_lock="plan_period"))
    mine.account("u1", at=MIDNIGHT, plan=plan(started_at))
    assert mine.line("e1", at=occurred_at)["price_version"] == priced_by

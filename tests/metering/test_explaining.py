"""Explanations, by hand: for every decision and every reason, what is said about it, besides the machine's own lines.

Each case tells its commands to the machine, and explains the last event just before it is applied.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest

from metering.explaining import explain_event
from metering.explanation import Claimant, Condition, Explanation, LineStory, LockReason, PlanSource, VersionReason
from metering.records import YEAR_2000
from tests.metering import meter
from tests.metering.meter import DAY, HOUR, MIDNIGHT, MINUTE, NOON, YEAR_BEGIN, Json, MachineMeter

LOOKUP = meter.charge("lookup", 20, when={"endpoint": "/v1/*"}, plans={"big": 15}, unique=(["ip"], "24h"))
JOB = meter.charge("job", 2, unique=(["attributes.contact"], "ever"))
BOOK = meter.book(LOOKUP)
Told = Callable[[MachineMeter], Any]


def explained(
    mine: MachineMeter, event_id: str, at: int, *, recorded_at: int | None = None, **fields: Any
) -> Explanation:
    """Explains an event, applies it, and holds the explanation against what it came to."""
    event = meter.request(event_id, at, **fields)
    before = mine.state.changes().copy()
    story = explain_event(mine.state, event, at if recorded_at is None else recorded_at)
    assert mine.state.changes() == before, "an explanation changes nothing"
    outputs = mine.apply("request", event, recorded_at)
    assert [line.line for line in story.lines] == [record for kind, record in outputs if kind == "billed"]
    assert [*story.alerts] == [record for kind, record in outputs if kind == "alert"]
    assert [*story.expired] == [record for kind, record in outputs if kind == "grant"]
    assert (story.refusal is not None) == (outputs[0][0] == "dead_letter")
    assert (story.repeat_of is not None) == (outputs[0][0] == "repeated")
    assert asdict(story)["event"]["event_id"] == event_id
    return story


def one_line(story: Explanation) -> LineStory:
    (line,) = story.lines
    return line


def with_plan(mine: MachineMeter, started_at: int, ends_at: int | None = None, name: str = "big") -> None:
    mine.account("u", NOON - HOUR, plan={"name": name, "started_at": started_at, "ends_at": ends_at})


# -- what became of it -------------------------------------------------------------------------------------------------


def test_charged() -> None:
    line = one_line(explained(MachineMeter(BOOK), "e1", NOON, ip="::ffff:192.0.2.1"))
    assert line.line["decision"] == "charged"
    assert line.conditions == (Condition("endpoint", ("/v1/*",), "/v1/lookup", holds=True),)
    assert (line.per, line.base_credits, line.plan_price) == (None, 20, False)
    assert (line.balance_before, line.line["balance_after"], line.draws, line.debt) == (0, -20, (), 20)
    assert line.unique is not None
    assert (line.unique.window, line.unique.window_ms) == ("rolling", DAY)
    assert [(s.field, s.given, s.compared) for s in line.unique.subjects] == [("ip", "::ffff:192.0.2.1", "192.0.2.1")]
    assert (line.unique.owner, line.unique.earlier) == (None, None)


@pytest.mark.parametrize(
    ("window", "owner_at", "at", "ends_at"),
    [
        ("24h", NOON, NOON + HOUR, NOON + DAY),
        ("24h", NOON + HOUR, NOON, NOON + HOUR + DAY),  # a late event, whose owner is later than itself
        ("calendar_day", NOON, NOON + HOUR, MIDNIGHT + DAY),
        ("ever", NOON, NOON + 20 * DAY, None),
    ],
)
def test_free_because_another_event_paid(window: str, owner_at: int, at: int, ends_at: int | None) -> None:
    mine = MachineMeter(meter.book(meter.charge("lookup", 20, unique=(["ip"], window))))
    explained(mine, "owner", owner_at, ip="192.0.2.1")
    line = one_line(explained(mine, "e1", at, ip="192.0.2.1"))
    assert line.line["decision"] == "duplicate"
    assert line.unique is not None
    assert line.unique.owner == Claimant("owner", owner_at, ends_at)
    assert line.unique.window == ("rolling" if window == "24h" else window)


@pytest.mark.parametrize(("window", "later"), [("24h", DAY), ("calendar_day", 12 * HOUR)])
def test_charged_again_names_who_had_paid_before(window: str, later: int) -> None:
    mine = MachineMeter(meter.book(meter.charge("lookup", 20, unique=(["ip"], window))))
    explained(mine, "first", NOON - HOUR, ip="192.0.2.1")
    explained(mine, "second", NOON + 2 * DAY, ip="192.0.2.1")
    line = one_line(explained(mine, "e1", NOON + 2 * DAY + later, ip="192.0.2.1"))
    assert line.line["decision"] == "charged"
    assert line.unique is not None
    assert line.unique.earlier is not None
    assert (line.unique.owner, line.unique.earlier.event_id) == (None, "second")


def test_a_charge_given_back_leaves_nobody_who_paid() -> None:
    mine = MachineMeter(BOOK)
    explained(mine, "e1", NOON, ip="192.0.2.1")
    mine.refund("r1", "e1", NOON)
    line = one_line(explained(mine, "e2", NOON + 1, ip="192.0.2.1"))
    assert line.line["decision"] == "charged"
    assert line.unique is not None
    assert (line.unique.owner, line.unique.earlier) == (None, None)


@pytest.mark.parametrize(
    ("item", "fields", "decision"),
    [
        (meter.charge("open", 0), {}, "free"),
        (meter.charge("open", 7, plans={"basic": 0}), {"plan": "basic"}, "free"),
        (meter.charge("record", 2, per="results"), {}, "nothing_found"),
        (meter.charge("record", 2, per="results"), {"quantities": {"results": 0}}, "nothing_found"),
        (LOOKUP, {}, "missing_subject"),
        (JOB, {"attributes": {"contact": ""}}, "missing_subject"),
        (LOOKUP, {"outcome": "rate_limited"}, "not_billable"),
        (meter.charge("other", 1, when={"endpoint": "/v2"}), {}, "unpriced"),
    ],
)  # fmt: skip
def test_costs_nothing(item: Json, fields: Json, decision: str) -> None:
    story = explained(MachineMeter(meter.book(item)), "e1", NOON, **fields)
    line = one_line(story)
    assert line.line["decision"] == decision
    assert story.credits == {}
    assert line.per == (item["per"] if decision == "nothing_found" else None)
    assert (story.price is None) == (decision == "not_billable")


def test_units_and_a_plans_price() -> None:
    mine = MachineMeter(meter.book(meter.charge("record", 3, per="results", plans={"big": 2})))
    line = one_line(explained(mine, "e1", NOON, quantities={"results": 7}, plan="big"))
    assert (line.per, line.line["units"], line.line["unit_credits"], line.line["credits"]) == ("results", 7, 2, 14)
    assert (line.plan_price, line.base_credits) == (True, 3)


def test_every_charge_that_matches_has_its_line() -> None:
    mine = MachineMeter(meter.book(meter.charge("page", 1), LOOKUP, meter.charge("mail", 5, credit_type="email")))
    story = explained(mine, "e1", NOON, ip="192.0.2.1")
    balances = [(line.line["charge"], line.balance_before) for line in story.lines]
    assert balances == [("page", 0), ("lookup", -1), ("mail", 0)]
    assert story.credits == {"credit": 21, "email": 5}


def test_unpriced_names_the_charges_that_nearly_matched() -> None:
    far = meter.charge("far", when={"endpoint": "/x", "channel": "js"})
    near = meter.charge("near", when={"endpoint": "/v1/lookup", "attributes.kind": ["person", "job*"]})
    story = explained(MachineMeter(meter.book(far, near)), "e1", NOON, attributes={"kind": "company"})
    assert [miss.charge for miss in story.near_misses] == ["near", "far"]
    assert story.near_misses[0].failed == (Condition("attributes.kind", ("person", "job*"), "company", holds=False),)
    assert [condition.field for condition in story.near_misses[1].failed] == ["endpoint", "channel"]


# -- which prices ------------------------------------------------------------------------------------------------------

ONE, TWO = meter.version("one", YEAR_BEGIN, LOOKUP), meter.version("two", NOON - DAY, LOOKUP | {"credits": 30})
LOCKED = meter.book_of(ONE, TWO, price_lock="plan_period")
OPEN = meter.book_of(ONE, TWO)
IN_FORCE, PLAN_LOCK = VersionReason.IN_FORCE, VersionReason.PLAN_LOCK


@pytest.mark.parametrize(
    ("book", "plan_from", "fields", "expected"),
    [
        (OPEN, None, {}, ("two", IN_FORCE, LockReason.NOT_IN_BOOK, PlanSource.NONE)),
        (OPEN, NOON - 2 * DAY, {}, ("two", IN_FORCE, LockReason.NOT_IN_BOOK, PlanSource.ACCOUNT)),
        (LOCKED, None, {}, ("two", IN_FORCE, LockReason.NO_PLAN, PlanSource.NONE)),
        (LOCKED, NOON - 2 * DAY, {}, ("one", PLAN_LOCK, LockReason.LOCKED, PlanSource.ACCOUNT)),
        (LOCKED, NOON - HOUR, {}, ("two", PLAN_LOCK, LockReason.LOCKED, PlanSource.ACCOUNT)),
        (LOCKED, YEAR_BEGIN, {}, ("one", PLAN_LOCK, LockReason.LOCKED, PlanSource.ACCOUNT)),
        (LOCKED, YEAR_2000, {}, ("one", VersionReason.FIRST_VERSION, LockReason.LOCKED, PlanSource.ACCOUNT)),
        (LOCKED, NOON - 2 * DAY, {"plan": "big"}, ("one", PLAN_LOCK, LockReason.LOCKED, PlanSource.EVENT)),
        (LOCKED, NOON - 2 * DAY, {"plan": "x"}, ("two", IN_FORCE, LockReason.OTHER_PLAN, PlanSource.EVENT)),
        (LOCKED, None, {"plan": "x"}, ("two", IN_FORCE, LockReason.NO_PLAN, PlanSource.EVENT)),
        (LOCKED, NOON + 1, {}, ("two", IN_FORCE, LockReason.NO_PLAN, PlanSource.NONE)),  # begins later
    ],
)  # fmt: skip
def test_which_version_and_why(book: Json, plan_from: int | None, fields: Json, expected: tuple[Any, ...]) -> None:
    mine = MachineMeter(book)
    if plan_from is not None:
        with_plan(mine, plan_from)
    story = explained(mine, "e1", NOON, ip="192.0.2.1", **fields)
    assert story.price is not None
    assert story.plan is not None
    version, reason, lock, source = expected
    reasons = (story.price.version, story.price.reason, story.price.lock, story.plan.source)
    assert reasons == (version, reason, lock, source)
    assert story.price.unlocked == "two"
    is_locked = lock is LockReason.LOCKED
    assert story.price.chosen_at == (plan_from if is_locked else NOON)
    assert (story.plan.account_plan is not None) == (plan_from is not None)
    assert story.plan.name == (fields.get("plan") or ("big" if source is PlanSource.ACCOUNT else None))


def test_a_plan_that_has_ended_is_told_and_does_not_count() -> None:
    mine = MachineMeter(LOCKED)
    with_plan(mine, NOON - 2 * DAY, NOON)
    story = explained(mine, "e1", NOON)
    assert story.plan is not None
    assert story.plan.account_plan is not None
    assert (story.plan.account_plan.counts, story.plan.name) == (False, None)


def test_no_book_and_no_version_yet() -> None:
    story = explained(MachineMeter(), "e1", NOON)
    assert story.price is not None
    assert (story.price.reason, one_line(story).line["decision"]) == (VersionReason.NO_BOOK, "unpriced")
    story = explained(MachineMeter(BOOK), "e1", YEAR_BEGIN - 1)
    assert story.price is not None
    assert (story.price.reason, story.price.first_from) == (VersionReason.NONE_YET, YEAR_BEGIN)


# -- money -------------------------------------------------------------------------------------------------------------


def test_grants_used_and_what_they_had_left() -> None:
    mine = MachineMeter(meter.book(meter.charge("page", 8), meter.charge("other", 9)))
    mine.grant("later", 5, NOON - 2)
    mine.grant("soon", 10, NOON - 1, expires_at=NOON + DAY)
    first, second = explained(mine, "e1", NOON).lines
    assert [(d.grant_id, d.credits, d.left_before, d.left_after) for d in first.draws] == [("soon", 8, 10, 2)]
    assert [(d.grant_id, d.credits, d.left_before, d.left_after, d.expires_at) for d in second.draws] == [
        ("soon", 2, 2, 0, NOON + DAY),
        ("later", 5, 5, 0, None),
    ]
    assert (first.balance_before, first.debt, second.balance_before, second.debt) == (15, 0, 7, 2)


def test_a_grant_that_is_over_by_the_events_time_goes_first() -> None:
    mine = MachineMeter(meter.book(meter.charge("page", 8)))
    mine.grant("old", 10, NOON - HOUR, expires_at=NOON - MINUTE)
    story = explained(mine, "e1", NOON)
    (balance,) = story.balances
    assert (balance.before, balance.expired, balance.charged, balance.after) == (10, 10, 8, -8)
    assert (balance.debt_before, balance.debt_after) == (0, 8)
    assert one_line(story).balance_before == 0


def test_insufficient_credits_says_of_what() -> None:
    mine = MachineMeter(meter.book(meter.charge("page", 8), meter.charge("mail", 3, credit_type="email")))
    mine.account("u", NOON - 2, on_empty="reject")
    mine.grant("g", 7, NOON - 1)
    mine.grant("m", 7, NOON - 1, credit_type="email")
    story = explained(mine, "e1", NOON)
    assert [line.line["decision"] for line in story.lines] == ["insufficient_credits"] * 2
    assert [(shortage.credit_type, shortage.cost, shortage.available) for shortage in story.shortages] == [
        ("credit", 8, 7)
    ]
    assert (story.on_empty, story.credits) == ("reject", {})


def test_alerts_that_it_sets_off() -> None:
    mine = MachineMeter(BOOK)
    mine.account("u", NOON - 2, alert_below={"credit": 5})
    mine.grant("g", 20, NOON - 1)
    story = explained(mine, "e1", NOON, ip="192.0.2.1")
    assert [alert["kind"] for alert in story.alerts] == ["below", "empty"]


# -- what is not accepted ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at", "recorded_at", "fields", "reason", "details"),
    [
        (NOON, NOON, {"ip": "300.1.1.1"}, "invalid_event", ("ip", "300.1.1.1", None, None)),
        (NOON, NOON, {"quantities": {"results": -1}}, "invalid_event", ("quantities", {"results": -1}, None, None)),
        (NOON, NOON, {"account_id": ""}, "invalid_event", ("account_id", "", None, None)),
        (NOON, NOON - 5 * MINUTE - 1, {}, "in_future", (None, None, None, NOON - 1)),
        (NOON - 36 * DAY, NOON, {}, "too_late", (None, None, NOON - 35 * DAY, None)),
    ],
)
def test_dead_letters(at: int, recorded_at: int, fields: Json, reason: str, details: tuple[Any, ...]) -> None:
    mine = MachineMeter(BOOK)
    mine.account("u", NOON)
    story = explained(mine, "e1", at, recorded_at=recorded_at, **fields)
    refusal = story.refusal
    assert refusal is not None
    assert refusal.reason == reason
    assert (refusal.field, refusal.value, refusal.earliest, refusal.latest) == details
    assert story.stream_time == (None if fields.get("account_id") == "" else NOON)
    assert (story.lines, story.plan, story.price) == ((), None, None)


def test_an_amount_beyond_a_long_is_a_dead_letter_with_its_quantities() -> None:
    """10,000 prices of 10^6 for 10^9 units are 10^19 credits."""
    mine = MachineMeter(meter.book(*(meter.charge(f"c{n}", 10**6, per="results") for n in range(10_000))))
    story = explained(mine, "e1", NOON, quantities={"results": 10**9})
    assert story.refusal is not None
    assert (story.refusal.reason, story.refusal.field) == ("invalid_event", "quantities")


def test_a_repeat_says_when_the_first_occurred() -> None:
    mine = MachineMeter(BOOK)
    explained(mine, "e1", NOON, ip="192.0.2.1")
    story = explained(mine, "e1", NOON + HOUR, ip="192.0.2.9")
    assert (story.repeat_of, story.lines, story.refusal) == (NOON, (), None)


def test_a_disagreement_is_never_explained_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Were the reasons to come from elsewhere than the decision, nobody could trust either."""
    mine = MachineMeter(BOOK)
    monkeypatch.setattr("metering.explaining_prices.conditions_of", lambda *_: ())
    monkeypatch.setattr("metering.explaining.owner_of", lambda *_: None)
    explained(mine, "e1", NOON, ip="192.0.2.1")
    with pytest.raises(RuntimeError, match="is free by 'e1', found None"):
        explain_event(mine.state, meter.request("e2", NOON, ip="192.0.2.1"), NOON)

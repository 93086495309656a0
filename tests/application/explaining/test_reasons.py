"""The sentence of every decision and reason: prices, plans, windows and holds."""

from __future__ import annotations

from dataclasses import replace

import pytest

from application.explaining.reasons import headline, price_sentence
from metering.explanation import Explanation, LineStory, LockReason, PriceStory, VersionReason
from metering.records import YEAR_2000, Decision
from tests.application.explaining.replayed import BOOK, IP, LOOKUP, flat, unique, words
from tests.metering import meter
from tests.metering.meter import DAY, HOUR, MIDNIGHT, NOON, YEAR_BEGIN, Json


@pytest.mark.parametrize(
    ("book", "before", "fields", "said"),
    [
        (
            BOOK, [meter.request("e0", NOON - 1, ip="::ffff:192.0.2.1")], IP,
            """It is charged once for each ip within 24h, and event e0 of 2026-01-10T11:59:59.999Z paid for ip
            192.0.2.1: others are free until 2026-01-11T11:59:59.999Z.""",
        ),
        (
            BOOK, [meter.request("e0", NOON - 1, **IP)], IP,
            "That event entered the log at 2026-01-11T12:00:00Z, at words.requests[0]@1/0.",
        ),
        (
            BOOK, [meter.request("e0", NOON + HOUR, **IP)], IP,
            "(later than this event, yet it came to the log before it)",
        ),
        (
            BOOK, [meter.request("e0", NOON, **IP)], {"ip": "::ffff:192.0.2.1"},
            "paid for ip 192.0.2.1 (given as ::ffff:192.0.2.1)",
        ),
        (
            unique(["ip"], "calendar_day"), [meter.request("e0", MIDNIGHT, **IP)], IP,
            """charged once for each ip within a calendar day (UTC), and event e0 of 2026-01-10T00:00:00Z paid for
            ip 192.0.2.1: others are free until 2026-01-11T00:00:00Z.""",
        ),
        (
            unique(["user_id", "ip"], "ever"), [meter.request("e0", NOON, **IP, user_id="u")], IP | {"user_id": "u"},
            """charged once for each user_id and ip, ever, and event e0 of 2026-01-10T12:00:00Z paid for user_id u
            and ip 192.0.2.1: others are free for ever.""",
        ),
        (BOOK, [], {}, "It is charged once for each ip, and the event has no ip."),
        (
            meter.book(meter.charge("x", per="results")), [], {},
            "It is charged by the number of results, and there were none.",
        ),
        (
            meter.book(meter.charge("x", 3, per="results")), [], {"quantities": {"results": 7}},
            "7 results at 3 credits each: 21 credits.",
        ),
        (meter.book(meter.charge("x", 3, credit_type="email")), [], {}, "x: charged 3 email credits"),
        (meter.book(meter.charge("x", 0)), [], {}, "x: free of charge"),
        (meter.book(meter.charge("x", 0)), [], {}, "The charge applies to every request."),
        (BOOK, [], {"outcome": "blocked"}, "Its outcome was blocked; only processed requests are charged."),
        (None, [], IP, "No price book had been published when it entered the log."),
        (
            meter.book_of(meter.version("v1", NOON + 1, LOOKUP)), [], IP,
            "Prices begin at 2026-01-10T12:00:00.001Z, and it occurred before that.",
        ),
        (BOOK, [], {"endpoint": "/v2"}, "- lookup: endpoint is /v2, not /v1/*."),
        (BOOK, [], IP | {"plan": "big"}, "The plan big has a price of its own: 15 in place of 20."),
        (BOOK, [], IP | {"plan": "big"}, "The event itself names the plan big."),
        (
            BOOK, [meter.account("u", NOON, on_empty="reject"), meter.grant("g", 19, NOON)], IP,
            "The whole event would have cost 20 credits, and 19 credits were available.",
        ),
        (
            BOOK, [meter.grant("old", 9, NOON - 2, expires_at=NOON)], IP,
            "By then 9 credits of grant old had expired.",
        ),
    ],
)  # fmt: skip
def test_reasons(book: Json | None, before: list[Json], fields: Json, said: str) -> None:
    # Recorded a day later, so that none is in the future; and the event itself with none of that time between.
    earlier = ((command, NOON + DAY) for command in before)
    text = words(book, *earlier, (meter.request("e1", NOON, **fields), NOON + DAY))
    assert flat(said) in flat(text), text


ONE, TWO = meter.version("one", YEAR_BEGIN, LOOKUP), meter.version("two", NOON - DAY, LOOKUP)


LOCKED = meter.book_of(ONE, TWO, price_lock="plan_period")


@pytest.mark.parametrize(
    ("started_at", "ends_at", "fields", "said"),
    [
        (
            NOON - 2 * DAY, None, {},
            """Price version one applies: it was in force, since 2026-01-01T00:00:00Z, when the plan big began at
            2026-01-08T12:00:00Z, and a plan keeps its prices. (Without that plan it would be version two.)""",
        ),
        (
            YEAR_2000, None, {},
            """Price version one applies: the plan big began at 2000-01-01T00:00:00Z, before there were prices, so
            that it keeps the first ones.""",
        ),
        (NOON - 2 * DAY, None, {"plan": "x"}, "The event itself names the plan x, in place of the account's plan big."),
        (NOON - 2 * DAY, None, {"plan": "x"}, "So the prices are not those kept for the account's own plan."),
        (NOON - 2 * DAY, NOON, {}, "The account's plan big has ended at the event's time, and does not count."),
        (NOON + 1, None, {}, "The account's plan big had not begun at the event's time, and does not count."),
    ],
)  # fmt: skip
def test_plans(started_at: int, ends_at: int | None, fields: Json, said: str) -> None:
    plan = {"name": "big", "started_at": started_at, "ends_at": ends_at}
    text = words(LOCKED, meter.account("u", NOON - 1, plan=plan), meter.request("e1", NOON, **IP, **fields))
    assert flat(said) in flat(text), text


def test_what_a_hold_leaves_available_is_named_for_an_event_that_is_refused() -> None:
    settings, given = meter.account("u1", NOON, on_empty="reject"), meter.grant("g1", 20, NOON)
    held = meter.hold("h1", 5, NOON)
    text = flat(words(BOOK, settings, given, held, meter.request("e1", NOON, **IP)))
    assert "would have cost 20 credits, and 15 credits were available." in text
    dear = meter.request("e1", NOON, hold_id="h2", **IP)
    text = flat(words(BOOK, settings, given, held, meter.hold("h2", 1, NOON), meter.hold("h3", 5, NOON), dear))
    assert "would have cost 20 credits, and 9 credits were available, beside 1 that its hold set aside." in text


def test_a_version_that_overrides_the_lock_says_so() -> None:
    book = meter.book_of(
        meter.version("one", YEAR_BEGIN, LOOKUP),
        meter.version("two", NOON - HOUR, LOOKUP | {"credits": 30}) | {"overrides_lock": True},
        price_lock="plan_period",
    )
    plan = {"name": "small", "started_at": NOON - DAY, "ends_at": None}
    text = flat(words(book, meter.account("u1", NOON, plan=plan), meter.request("e1", NOON, **IP)))
    assert "Price version two applies: the plan small keeps its prices, and this version," in text
    assert "overrides that for everybody." in text


def test_a_headline_has_feature_and_action_where_the_charge_names_them() -> None:
    def line(**fields: str) -> LineStory:
        plain = {
            "charge": "lookup",
            "feature": "",
            "action": "",
            "decision": "charged",
            "credits": 1,
            "credit_type": "credit",
        }
        return LineStory(plain | fields)

    assert headline(line()) == "lookup: charged 1 credit"
    assert headline(line(feature="Finding")) == "lookup (Finding): charged 1 credit"
    assert headline(line(feature="Finding", action="IP lookup")) == "lookup (Finding: IP lookup): charged 1 credit"
    assert headline(line(charge="", decision="unpriced")) == "No charge: no price applies, so that nothing was charged"


@pytest.mark.parametrize("decision", list(Decision))
def test_every_decision_has_a_headline_of_its_own(decision: Decision) -> None:
    plain = {"charge": "x", "feature": "", "action": "", "credits": 0, "credit_type": "credit"}
    others = {headline(LineStory(plain | {"decision": other})) for other in Decision if other is not decision}
    assert headline(LineStory(plain | {"decision": decision})) not in others


def test_an_event_of_the_accounts_own_plan_says_nothing_of_other_prices() -> None:
    plan = {"name": "big", "started_at": NOON - 2 * DAY, "ends_at": None}
    text = words(LOCKED, meter.account("u", NOON - 1, plan=plan), meter.request("e1", NOON, **IP))
    assert "not those kept for the account's own plan" not in text
    assert "The event itself names" not in text


def test_without_a_version_no_price_is_named() -> None:
    explanation = Explanation(meter.request("e1", NOON), NOON, None, None)
    assert price_sentence(explanation) == "No price version applies."
    none_yet = PriceStory(VersionReason.NONE_YET, LockReason.NOT_IN_BOOK, NOON)
    assert price_sentence(replace(explanation, price=none_yet)) == "No price version applies."

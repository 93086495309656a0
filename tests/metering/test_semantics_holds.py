"""Holds (SPEC 11): what is set aside, what is available, how events draw on a hold, and when it ends."""

from __future__ import annotations

from typing import Any

import pytest

from metering.holding import MAX_OPEN_HOLDS
from tests.metering.meter import (
    DAY,
    HOUR,
    MINUTE,
    NOON,
    Json,
    MachineMeter,
    Meter,
    NewMeter,
    Out,
    account,
    book,
    charge,
    grant,
    hold,
    refund,
    refusal,
)

FINDS = book(
    charge("find", 1, per="results", when={"endpoint": "/v1/lookup"}),
    charge("mail", 3, per="mails", credit_type="email", when={"endpoint": "/v1/lookup", "channel": "js"}),
    charge("gratis", 0, when={"endpoint": "/gratis"}),
)


def rejecting(meter: NewMeter, credits_: int = 100, **how: Any) -> Meter:
    """A meter whose account has so many credits, and refuses what goes beyond them."""
    mine = meter(book(*FINDS["versions"][0]["charges"], **how))
    mine.account("u0", at=NOON, on_empty="reject")
    if credits_:
        mine.grant("g0", credits_, at=NOON)
    return mine


def find(units: int, **fields: Any) -> Json:
    return {"quantities": {"results": units}, **fields}


def changes(outputs: list[Out]) -> list[tuple[str, str]]:
    """(hold_id, status) of every hold output."""
    return [(record["hold_id"], str(record["status"])) for kind, record in outputs if kind == "hold"]


def kinds(outputs: list[Out]) -> list[str]:
    """What came, in order: `billed`, or a kind with its status."""
    return [
        kind if kind in ("billed", "account") else f"{kind} {record.get('status') or record.get('kind')}"
        for kind, record in outputs
    ]


def own_change(outputs: list[Out]) -> Json:
    """The change of the hold that an event drew on."""
    (change,) = [record for kind, record in outputs if kind == "hold"]
    return change


# -- setting credits aside --------------------------------------------------------------------------------------------


def test_a_hold_reserves_and_moves_no_balance(meter: NewMeter) -> None:
    mine = rejecting(meter)
    assert mine.hold("h1", 60, at=NOON, reason="bulk find") == {
        "hold_id": "h1", "account_id": "acme", "status": "held", "credits": {"credit": 60}, "charged": {},
        "available_after": {"credit": 40}, "event_id": None, "reject_reason": None, "expires_at": NOON + HOUR,
        "at": NOON, "reason": "bulk find",
    }  # fmt: skip
    assert mine.line("e1", at=NOON, **find(1))["balance_after"] == 99


@pytest.mark.parametrize(("asked", "status"), [(40, "held"), (41, "rejected")])
def test_with_reject_a_hold_asks_no_more_than_is_available(meter: NewMeter, asked: int, status: str) -> None:
    mine = rejecting(meter)
    mine.hold("h1", 60, at=NOON)
    change = mine.hold("h2", asked, at=NOON)
    assert change["status"] == status
    assert change["reject_reason"] == (None if status == "held" else "insufficient_credits")
    # A rejected hold sets nothing aside.
    assert change["available_after"] == {"credit": 0 if status == "held" else 40}


def test_with_allow_a_hold_is_always_held(meter: NewMeter) -> None:
    change = meter(FINDS).hold("h1", 10**12, at=NOON)
    assert (change["status"], change["available_after"]) == ("held", {"credit": -(10**12)})


def test_one_credit_type_that_does_not_suffice_rejects_all(meter: NewMeter) -> None:
    mine = rejecting(meter)
    mine.grant("g1", 5, at=NOON, credit_type="email")
    change = mine.hold("h1", {"credit": 50, "email": 6}, at=NOON)
    assert (change["status"], change["available_after"]) == ("rejected", {"credit": 100, "email": 5})
    change = mine.hold("h2", {"credit": 50, "email": 5}, at=NOON)
    assert (change["status"], change["available_after"]) == ("held", {"credit": 50, "email": 0})


def test_two_requests_at_once_cannot_both_spend_the_last_credit(meter: NewMeter) -> None:
    mine = rejecting(meter, 1)
    assert [mine.hold(name, 1, at=NOON)["status"] for name in ("h1", "h2")] == ["held", "rejected"]


def test_a_rejected_hold_is_never_open(meter: NewMeter) -> None:
    mine = rejecting(meter, 10)
    mine.hold("h1", 11, at=NOON)
    outputs = mine.event("e1", at=NOON, hold_id="h1", **find(5))
    assert changes(outputs) == []
    assert outputs[0][1]["hold_id"] is None
    assert changes(mine.event("e2", at=NOON + DAY, **find(1))) == []  # and it does not expire


def test_holds_move_stream_time_and_forfeit_grants(meter: NewMeter) -> None:
    mine = rejecting(meter, 0)
    mine.grant("g1", 10, at=NOON, expires_at=NOON + 1)
    mine.account("u1", at=NOON, on_empty="reject", alert_below={"credit": 5})
    outputs = mine.apply("hold", hold("h1", 1, NOON + 1))
    assert kinds(outputs) == ["grant expired", "hold rejected", "alert below", "alert empty"]
    assert [record["at"] for kind, record in outputs if kind != "grant"] == [NOON + 1] * 3


# -- may it be accepted? ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"hold_id": ""}, "hold_id"),
        ({"hold_id": "x" * 129}, "hold_id"),
        ({"account_id": None}, "account_id"),
        ({"credits": {}}, "credits"),
        ({"credits": None}, "credits"),
        ({"credits": 5}, "credits"),
        ({"credits": {"credit": 0}}, "credits"),
        ({"credits": {"credit": -1}}, "credits"),
        ({"credits": {"credit": 10**12 + 1}}, "credits"),
        ({"credits": {"credit": True}}, "credits"),
        ({"credits": {"credit": 1.0}}, "credits"),
        ({"credits": {"": 1}}, "credits"),
        ({"credits": {f"c{number}": 1 for number in range(9)}}, "credits"),
        ({"held_at": 1_700_000_000}, "held_at"),
        ({"held_at": None}, "held_at"),
        ({"expires_at": NOON}, "expires_at"),
        ({"expires_at": None}, "expires_at"),
        ({"expires_at": NOON + 30 * DAY + 1}, "expires_at"),
        ({"reason": "x" * 1_025}, "reason"),
        ({"more": 1}, "more"),
        ({"credits": {}, "held_at": 5, "expires_at": 5}, "credits"),  # the first in the schema's order
    ],
)
def test_a_wrong_field_of_a_hold_is_named(meter: NewMeter, fields: Json, wrong: str) -> None:
    record = hold("h1", 5, NOON) | fields
    assert refusal(meter(FINDS).apply("hold", record, NOON)) == f"invalid_event: {wrong}"


@pytest.mark.parametrize(
    "fields",
    [
        {"credits": {f"c{number}": 10**12 for number in range(8)}},
        {"expires_at": NOON + 1},
        {"expires_at": NOON + 30 * DAY},
        {"reason": ""},
        {"reason": None},
        {"hold_id": "x" * 128},
    ],
)
def test_the_ends_of_every_range_are_taken(meter: NewMeter, fields: Json) -> None:
    assert meter(FINDS).apply("hold", hold("h1", 5, NOON) | fields, NOON)[0][1]["status"] == "held"


@pytest.mark.parametrize(("fields", "wrong"), [({"hold_id": "x" * 129}, "hold_id"), ({"keeps_hold": 1}, "keeps_hold")])
def test_a_wrong_field_of_an_event_about_its_hold_is_named(meter: NewMeter, fields: Json, wrong: str) -> None:
    assert refusal(meter(FINDS).event("e1", at=NOON, **fields)) == f"invalid_event: {wrong}"


def test_null_and_empty_stand_for_no_hold(meter: NewMeter) -> None:
    mine = meter(FINDS)
    assert mine.line("e1", at=NOON, hold_id="", keeps_hold=None)["hold_id"] is None


def test_a_hold_may_be_ahead_by_exactly_the_future_skew(meter: NewMeter) -> None:
    mine = meter(FINDS)
    assert refusal(mine.apply("hold", hold("h1", 5, NOON + 5 * MINUTE + 1), NOON)) == "in_future"
    assert mine.hold("h1", 5, at=NOON + 5 * MINUTE, recorded_at=NOON)["status"] == "held"


def test_a_hold_is_too_late_as_an_event_is(meter: NewMeter) -> None:
    mine = rejecting(meter, accept_window="2d")
    mine.line("e1", at=NOON + 2 * DAY)
    assert refusal(mine.apply("hold", hold("h1", 5, NOON - 1), NOON)) == "too_late"
    assert mine.hold("h1", 5, at=NOON, recorded_at=NOON)["status"] == "held"


def test_in_future_comes_before_too_late_before_repeated(meter: NewMeter) -> None:
    mine = rejecting(meter, accept_window="1h")
    mine.hold("h1", 5, at=NOON, expires_at=NOON + 20 * DAY)
    mine.line("e1", at=NOON + DAY, recorded_at=NOON + DAY)
    assert refusal(mine.apply("hold", hold("h1", 5, NOON), NOON - DAY)) == "in_future"
    assert refusal(mine.apply("hold", hold("h1", 5, NOON), NOON)) == "too_late"
    assert refusal(mine.apply("hold", hold("h1", 5, NOON + DAY), NOON + DAY)) == "repeated"


# -- ids --------------------------------------------------------------------------------------------------------------


def test_an_id_is_repeated_whether_its_hold_is_open_rejected_or_over(meter: NewMeter) -> None:
    mine = rejecting(meter, 10)
    mine.hold("open", 1, at=NOON)
    mine.hold("rejected", 100, at=NOON)
    mine.hold("settled", 1, at=NOON)
    mine.event("e1", at=NOON, hold_id="settled", **find(1))
    mine.hold("expired", 1, at=NOON, expires_at=NOON + 1)
    mine.event("e2", at=NOON + 1, **find(1))
    for name in ("open", "rejected", "settled", "expired"):
        assert refusal(mine.apply("hold", hold(name, 1, NOON + 1))) == "repeated"


def test_an_id_is_forgotten_as_that_of_an_event(meter: NewMeter) -> None:
    mine = rejecting(meter, accept_window="2d")
    mine.hold("h1", 5, at=NOON, expires_at=NOON + 1)
    mine.line("e1", at=NOON + 2 * DAY)
    assert refusal(mine.apply("hold", hold("h1", 5, NOON))) == "repeated"
    mine.line("e2", at=NOON + 2 * DAY + 1)
    assert mine.hold("h1", 5, at=NOON + 2 * DAY)["status"] == "held"


def test_an_open_hold_keeps_its_id_beyond_the_accept_window(meter: NewMeter) -> None:
    mine = rejecting(meter, accept_window="1h")
    mine.hold("h1", 5, at=NOON, expires_at=NOON + 10 * DAY)
    mine.line("e1", at=NOON + 5 * DAY)
    assert refusal(mine.apply("hold", hold("h1", 5, NOON + 5 * DAY))) == "repeated"
    # It is drawn on as ever, and then its id is free at once.
    assert changes(mine.event("e2", at=NOON + 5 * DAY, hold_id="h1", **find(1))) == [("h1", "settled")]
    assert mine.hold("h1", 7, at=NOON + 5 * DAY)["credits"] == {"credit": 7}


def test_hold_ids_are_a_space_of_their_own_and_an_accounts_own(meter: NewMeter) -> None:
    mine = meter(FINDS)
    mine.line("x", at=NOON, **find(1))
    assert mine.hold("x", 5, at=NOON)["status"] == "held"
    assert mine.hold("x", 5, at=NOON, account_id="other")["status"] == "held"


def test_the_hold_of_another_account_is_none(meter: NewMeter) -> None:
    mine = meter(FINDS)
    mine.hold("h1", 5, at=NOON, account_id="other")
    outputs = mine.event("e1", at=NOON, hold_id="h1", **find(1))
    assert (outputs[0][1]["hold_id"], changes(outputs)) == (None, [])


# -- drawing ----------------------------------------------------------------------------------------------------------


def test_an_event_settles_its_hold_and_frees_the_rest(meter: NewMeter) -> None:
    mine = rejecting(meter)
    mine.hold("h1", 60, at=NOON)
    outputs = mine.event("e1", at=NOON + 1, hold_id="h1", **find(20))
    assert kinds(outputs) == ["billed", "hold settled"]
    assert (outputs[0][1]["hold_id"], outputs[0][1]["balance_after"]) == ("h1", 80)
    assert own_change(outputs) == {
        "hold_id": "h1", "account_id": "acme", "status": "settled", "credits": {"credit": 60},
        "charged": {"credit": 20}, "available_after": {"credit": 80}, "event_id": "e1", "reject_reason": None,
        "expires_at": NOON + HOUR, "at": NOON + 1, "reason": "bulk",
    }  # fmt: skip


def test_ten_events_draw_on_one_hold(meter: NewMeter) -> None:
    mine = rejecting(meter)
    mine.hold("h1", 60, at=NOON)
    for number in range(9):
        change = own_change(mine.event(f"e{number}", at=NOON, hold_id="h1", keeps_hold=True, **find(5)))
        assert (change["status"], change["event_id"]) == ("drawn", f"e{number}")
        assert change["charged"] == {"credit": 5 * (number + 1)}
        assert change["available_after"] == {"credit": 40}  # what it took was set aside
    change = own_change(mine.event("e9", at=NOON, hold_id="h1", **find(5)))
    assert (change["status"], change["charged"], change["available_after"]) == (
        "settled",
        {"credit": 50},
        {"credit": 50},
    )
    assert changes(mine.event("e10", at=NOON, hold_id="h1", **find(1))) == []


def test_keeps_hold_says_nothing_without_a_hold(meter: NewMeter) -> None:
    mine = meter(FINDS)
    assert kinds(mine.event("e1", at=NOON, keeps_hold=True, **find(1))) == ["billed"]


@pytest.mark.parametrize(
    ("remaining", "others", "cost", "decision"),
    [
        (60, 40, 60, "charged"),  # nothing but what was set aside
        (60, 40, 61, "insufficient_credits"),  # one more, and nothing more is available
        (60, 0, 100, "charged"),  # the rest is available
        (60, 0, 101, "insufficient_credits"),
        (1, 99, 1, "charged"),
    ],
)
def test_an_event_dearer_than_its_hold_needs_what_is_available(
    meter: NewMeter, remaining: int, others: int, cost: int, decision: str
) -> None:
    mine = rejecting(meter)
    mine.hold("h1", remaining, at=NOON)
    if others:
        mine.hold("h2", others, at=NOON)
    outputs = mine.event("e1", at=NOON, hold_id="h1", **find(cost))
    assert outputs[0][1]["decision"] == decision
    # It draws on its hold, whatever was decided.
    assert changes(outputs) == [("h1", "settled" if decision == "charged" else "released")]


def test_an_event_without_hold_has_only_what_is_available(meter: NewMeter) -> None:
    mine = rejecting(meter)
    mine.hold("h1", 60, at=NOON)
    assert mine.decision("e1", at=NOON, **find(41)) == "insufficient_credits"
    assert mine.decision("e2", at=NOON, **find(40)) == "charged"


def test_each_credit_type_asks_for_itself(meter: NewMeter) -> None:
    mine = rejecting(meter)
    mine.grant("g1", 9, at=NOON, credit_type="email")
    mine.hold("h1", {"credit": 50, "email": 3}, at=NOON)
    mine.hold("h2", {"email": 6}, at=NOON)
    both = {"channel": "js", "quantities": {"results": 50, "mails": 2}}  # 6 email: 3 more than held, and none available
    assert mine.decisions("e1", at=NOON, hold_id="h1", keeps_hold=True, **both) == ["insufficient_credits"] * 2
    both = {"channel": "js", "quantities": {"results": 100, "mails": 1}}
    assert mine.decisions("e2", at=NOON, hold_id="h1", **both) == ["charged"] * 2


def test_types_that_were_not_asked_for_are_charged_and_told(meter: NewMeter) -> None:
    mine = rejecting(meter)
    mine.grant("g1", 9, at=NOON, credit_type="email")
    mine.hold("h1", 10, at=NOON)
    both = {"channel": "js", "quantities": {"results": 4, "mails": 2}}
    outputs = mine.event("e1", at=NOON, hold_id="h1", keeps_hold=True, **both)
    change = own_change(outputs)
    assert change["charged"] == {"credit": 4, "email": 6}
    assert change["credits"] == {"credit": 10}
    assert change["available_after"] == {"credit": 90}
    change = own_change(mine.event("e2", at=NOON, hold_id="h1", **find(20)))
    assert change["charged"] == {"credit": 24, "email": 6}  # more than it asked for: to 0 at least
    assert change["available_after"] == {"credit": 76}


def test_a_hold_that_is_drawn_beyond_what_it_holds_sets_nothing_aside(meter: NewMeter) -> None:
    mine = rejecting(meter)
    mine.hold("h1", 10, at=NOON)
    change = own_change(mine.event("e1", at=NOON, hold_id="h1", keeps_hold=True, **find(30)))
    assert (change["charged"], change["available_after"]) == ({"credit": 30}, {"credit": 70})
    assert mine.decision("e2", at=NOON, **find(70)) == "charged"


@pytest.mark.parametrize(
    ("fields", "decision"),
    [
        ({"outcome": "failed"}, "not_billable"),
        ({"endpoint": "/nowhere"}, "unpriced"),
        ({"endpoint": "/gratis"}, "free"),
        ({}, "nothing_found"),
    ],
)
def test_an_event_that_costs_nothing_releases_its_hold(meter: NewMeter, fields: Json, decision: str) -> None:
    mine = rejecting(meter)
    mine.hold("h1", 60, at=NOON)
    outputs = mine.event("e1", at=NOON, hold_id="h1", keeps_hold=True, **fields)
    assert changes(outputs) == [("h1", "drawn")]
    outputs = mine.event("e2", at=NOON, hold_id="h1", **fields)
    assert changes(outputs) == [("h1", "released")]
    assert {(record["decision"], record["hold_id"]) for kind, record in outputs if kind == "billed"} == {
        (decision, "h1")
    }
    assert own_change(outputs)["available_after"] == {"credit": 100}
    assert own_change(outputs)["charged"] == {}


def test_a_hold_that_was_ever_charged_is_settled_by_an_event_that_is_not(meter: NewMeter) -> None:
    mine = rejecting(meter)
    mine.hold("h1", 60, at=NOON)
    mine.event("e1", at=NOON, hold_id="h1", keeps_hold=True, **find(1))
    assert changes(mine.event("e2", at=NOON, hold_id="h1", outcome="failed")) == [("h1", "settled")]


def test_dead_letters_and_repeats_leave_the_hold_alone(meter: NewMeter) -> None:
    mine = rejecting(meter)
    mine.hold("h1", 60, at=NOON)
    mine.event("e1", at=NOON, hold_id="h1", keeps_hold=True, **find(1))
    assert refusal(mine.event("e1", at=NOON, hold_id="h1", **find(1))) == "repeated"
    assert refusal(mine.event("e2", at=NOON, hold_id="h1", ip="nowhere")) == "invalid_event: ip"
    assert refusal(mine.event("e3", at=NOON + DAY, hold_id="h1", recorded_at=NOON)) == "in_future"
    assert own_change(mine.event("e4", at=NOON, hold_id="h1", **find(1)))["charged"] == {"credit": 2}


def test_with_allow_lines_carry_the_hold_too(meter: NewMeter) -> None:
    mine = meter(FINDS)
    mine.hold("h1", 5, at=NOON)
    lines = mine.lines("e1", at=NOON, hold_id="h1", channel="js", quantities={"results": 7, "mails": 1})
    assert [line["hold_id"] for line in lines] == ["h1", "h1"]


def test_a_refund_gives_nothing_back_to_a_hold(meter: NewMeter) -> None:
    mine = rejecting(meter)
    mine.hold("h1", 60, at=NOON)
    mine.event("e1", at=NOON, hold_id="h1", keeps_hold=True, **find(20))
    (given,) = mine.refund("r1", "e1", at=NOON)
    assert given["balance_after"] == 100
    change = own_change(mine.event("e2", at=NOON, hold_id="h1", keeps_hold=True, **find(1)))
    assert change["charged"] == {"credit": 21}
    assert change["available_after"] == {"credit": 60}  # 99 less the 39 that are still set aside


def test_what_was_set_aside_can_be_charged_as_debt_when_grants_have_expired(meter: NewMeter) -> None:
    mine = rejecting(meter, 0)
    mine.grant("g1", 50, at=NOON, expires_at=NOON + 10)
    mine.hold("h1", 40, at=NOON)
    outputs = mine.event("e1", at=NOON + 10, hold_id="h1", keeps_hold=True, **find(30))
    assert kinds(outputs) == ["grant expired", "billed", "hold drawn", "alert empty"]
    assert (outputs[1][1]["decision"], outputs[1][1]["balance_after"]) == ("charged", -30)
    assert outputs[2][1]["available_after"] == {"credit": -40}
    # Ten are left of it, and nothing beyond them.
    assert mine.decision("e2", at=NOON + 10, hold_id="h1", keeps_hold=True, **find(11)) == "insufficient_credits"
    assert mine.decision("e3", at=NOON + 10, hold_id="h1", **find(10)) == "charged"


def test_on_empty_may_change_while_a_hold_is_open(meter: NewMeter) -> None:
    mine = meter(FINDS)
    mine.hold("h1", 50, at=NOON)  # with allow, on nothing
    mine.account("u1", at=NOON, on_empty="reject")
    assert mine.hold("h2", 1, at=NOON)["status"] == "rejected"
    assert mine.decision("e1", at=NOON, hold_id="h1", keeps_hold=True, **find(50)) == "charged"
    assert mine.decision("e2", at=NOON, hold_id="h1", keeps_hold=True, **find(1)) == "insufficient_credits"
    mine.account("u2", at=NOON, on_empty="allow")
    assert mine.decision("e3", at=NOON, hold_id="h1", **find(1)) == "charged"


def test_a_plan_that_ends_while_its_hold_is_open_changes_the_price_alone(meter: NewMeter) -> None:
    mine = meter(book(charge("find", 2, per="results", plans={"pro": 1})))
    mine.grant("g1", 20, at=NOON)
    plan = {"name": "pro", "started_at": NOON - DAY, "ends_at": NOON + 10}
    mine.account("u1", at=NOON, on_empty="reject", plan=plan)
    mine.hold("h1", 10, at=NOON)
    assert mine.line("e1", at=NOON + 9, hold_id="h1", keeps_hold=True, **find(5))["credits"] == 5
    assert mine.line("e2", at=NOON + 10, hold_id="h1", **find(5))["credits"] == 10


# -- expiring ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("recorded_at", "expired"), [(NOON + HOUR - 1, False), (NOON + HOUR, True)])
def test_a_hold_expires_at_the_millisecond_by_the_logs_clock(meter: NewMeter, recorded_at: int, expired: bool) -> None:
    mine = rejecting(meter)
    mine.hold("h1", 60, at=NOON)
    outputs = mine.event("e1", at=NOON, recorded_at=recorded_at, **find(50))
    assert changes(outputs) == ([("h1", "expired")] if expired else [])
    assert outputs[-1][1]["decision"] == ("charged" if expired else "insufficient_credits")


def test_stream_time_expires_no_hold(meter: NewMeter) -> None:
    mine = rejecting(meter, future_skew="5h")
    mine.hold("h1", 60, at=NOON)
    assert changes(mine.event("e1", at=NOON + 2 * HOUR, recorded_at=NOON, **find(1))) == []


def test_an_event_cannot_draw_on_a_hold_that_expires_before_it(meter: NewMeter) -> None:
    mine = rejecting(meter)
    mine.hold("h1", 60, at=NOON)
    outputs = mine.event("e1", at=NOON, recorded_at=NOON + HOUR, hold_id="h1", **find(1))
    assert kinds(outputs) == ["hold expired", "billed"]
    expired, line = outputs[0][1], outputs[1][1]
    assert (expired["available_after"], expired["event_id"], expired["at"]) == ({"credit": 100}, None, NOON)
    assert line["hold_id"] is None


def test_holds_expire_in_order_of_their_end_then_of_arrival(meter: NewMeter) -> None:
    mine = rejecting(meter)
    for name, lasts in (("late", 30), ("first", 20), ("second", 20), ("early", 10), ("open", 40)):
        mine.hold(name, 10, at=NOON, expires_at=NOON + lasts)
    outputs = mine.event("e1", at=NOON, recorded_at=NOON + 30, **find(1))
    assert changes(outputs) == [(name, "expired") for name in ("early", "first", "second", "late")]
    after = [record["available_after"]["credit"] for kind, record in outputs if kind == "hold"]
    assert after == [60, 70, 80, 90]


@pytest.mark.parametrize("command", ["request", "hold", "refund", "grant", "account"])
def test_every_accepted_command_expires_holds(meter: NewMeter, command: str) -> None:
    mine = rejecting(meter)
    mine.line("e0", at=NOON, **find(1))
    mine.hold("h1", 10, at=NOON, expires_at=NOON + 1)
    act = {
        "request": lambda: mine.event("e1", at=NOON, recorded_at=NOON + 1, **find(1)),
        "hold": lambda: mine.apply("hold", hold("h2", 1, NOON), NOON + 1),
        "refund": lambda: mine.apply("refund", refund("r1", "e0", NOON), NOON + 1),
        "grant": lambda: mine.apply("grant", grant("g9", 1, NOON), NOON + 1),
        "account": lambda: mine.apply("account", account("u9", NOON), NOON + 1),
    }[command]
    assert kinds(act())[0] == "hold expired"


def test_what_is_not_accepted_expires_nothing(meter: NewMeter) -> None:
    mine = rejecting(meter)
    mine.line("e0", at=NOON, **find(1))
    mine.hold("h1", 100, at=NOON, expires_at=NOON + 1)
    assert refusal(mine.event("e0", at=NOON, recorded_at=NOON + DAY)) == "repeated"
    assert refusal(mine.event("e1", at=NOON, recorded_at=NOON + DAY, ip="nowhere")) == "invalid_event: ip"
    assert changes(mine.event("e2", at=NOON, recorded_at=NOON)) == []


def test_grants_expire_before_holds(meter: NewMeter) -> None:
    mine = rejecting(meter)
    mine.grant("g1", 5, at=NOON, expires_at=NOON + 5)
    mine.hold("h1", 10, at=NOON, expires_at=NOON + 5)
    outputs = mine.event("e1", at=NOON + 5, **find(1))
    assert kinds(outputs) == ["grant expired", "hold expired", "billed"]
    assert outputs[1][1]["available_after"] == {"credit": 100}


@pytest.mark.parametrize(("lasts", "over"), [(HOUR, True), (HOUR + 1, False)])
def test_a_hold_that_is_over_on_arrival_expires_at_once(meter: NewMeter, lasts: int, over: bool) -> None:
    mine = rejecting(meter)
    outputs = mine.apply("hold", hold("h1", 60, NOON, expires_at=NOON + lasts), NOON + HOUR)
    assert kinds(outputs) == ["hold held", "hold expired"][: 1 + over]
    assert [record["available_after"]["credit"] for _, record in outputs] == [40, 100][: 1 + over]


def test_a_rejected_hold_that_is_over_on_arrival_only_is_rejected(meter: NewMeter) -> None:
    mine = rejecting(meter, 10)
    assert kinds(mine.apply("hold", hold("h1", 60, NOON), NOON + DAY)) == ["hold rejected"]


def test_what_is_over_frees_its_credits_for_the_hold_that_ends_it(meter: NewMeter) -> None:
    mine = rejecting(meter)
    mine.hold("h1", 100, at=NOON, expires_at=NOON + 1)
    outputs = mine.apply("hold", hold("h2", 100, NOON), NOON + 1)
    assert changes(outputs) == [("h1", "expired"), ("h2", "held")]


def test_recorded_at_may_go_back(meter: NewMeter) -> None:
    mine = rejecting(meter)
    mine.hold("h1", 60, at=NOON, expires_at=NOON + 10)
    mine.hold("h2", 10, at=NOON, expires_at=NOON + 20)
    assert changes(mine.event("e1", at=NOON, recorded_at=NOON + 10, **find(1))) == [("h1", "expired")]
    # A closed hold stays closed, and one that is not over by an earlier clock stays open.
    outputs = mine.event("e2", at=NOON, recorded_at=NOON + 5, hold_id="h1", **find(1))
    assert (outputs[0][1]["hold_id"], changes(outputs)) == (None, [])
    assert refusal(mine.apply("hold", hold("h1", 5, NOON), NOON)) == "repeated"


# -- order of all outputs ---------------------------------------------------------------------------------------------


def test_everything_at_once_in_its_order(meter: NewMeter) -> None:
    mine = rejecting(meter, 60)
    mine.grant("g1", 5, at=NOON, expires_at=NOON + 5)
    mine.account("u1", at=NOON, on_empty="reject", alert_below={"credit": 50})
    mine.hold("h1", 10, at=NOON, expires_at=NOON + 5)
    mine.hold("h2", 20, at=NOON)
    outputs = mine.event("e1", at=NOON + 5, hold_id="h2", **find(15))
    assert kinds(outputs) == ["grant expired", "hold expired", "billed", "hold settled", "alert below"]


# -- limits -----------------------------------------------------------------------------------------------------------


def test_so_many_holds_may_be_open(monkeypatch: pytest.MonkeyPatch) -> None:
    assert MAX_OPEN_HOLDS == 10_000
    monkeypatch.setattr("metering.holding.MAX_OPEN_HOLDS", 3)
    mine = MachineMeter(FINDS)
    for number in range(3):
        mine.hold(f"h{number}", 1, at=NOON, expires_at=NOON + 10 + number)
    assert refusal(mine.apply("hold", hold("h3", 1, NOON), NOON)) == "invalid_event: hold_id"
    # One that is over by the log's clock makes room, as accepting the hold ends it.
    assert changes(mine.apply("hold", hold("h3", 1, NOON), NOON + 10)) == [("h0", "expired"), ("h3", "held")]


LONG_MIN = -(2**63)


def test_no_hold_takes_available_beyond_a_long() -> None:
    mine = MachineMeter(FINDS)
    mine.state.account("acme").balance("credit").debt = 2**63 - 10
    mine.state.account("acme").balance("credit").amount = -(2**63) + 10
    assert refusal(mine.apply("hold", hold("h1", 11, NOON))) == "invalid_event: credits"
    assert mine.hold("h1", 10, at=NOON)["available_after"] == {"credit": LONG_MIN}
    # Nor does an event, beside the hold or on it; what is set aside can be charged.
    assert refusal(mine.event("e1", at=NOON, **find(1))) == "invalid_event: quantities"
    assert refusal(mine.event("e1", at=NOON, hold_id="h1", **find(11))) == "invalid_event: quantities"
    outputs = mine.event("e1", at=NOON, hold_id="h1", keeps_hold=True, **find(4))
    assert own_change(outputs)["available_after"] == {"credit": LONG_MIN}
    outputs = mine.event("e2", at=NOON, hold_id="h1", **find(6))
    assert (outputs[0][1]["balance_after"], own_change(outputs)["available_after"]) == (LONG_MIN, {"credit": LONG_MIN})


def test_no_sum_of_a_hold_goes_beyond_a_long() -> None:
    mine = MachineMeter(FINDS)
    mine.hold("h1", 10, at=NOON)
    mine.state.account("acme").holds.by_id["h1"].charged = {"credit": 2**63 - 3}
    assert refusal(mine.event("e1", at=NOON, hold_id="h1", keeps_hold=True, **find(3))) == "invalid_event: quantities"
    change = own_change(mine.event("e1", at=NOON, hold_id="h1", keeps_hold=True, **find(2)))
    assert change["charged"] == {"credit": 2**63 - 1}


def test_what_is_refused_for_want_of_credits_overflows_nothing() -> None:
    mine = MachineMeter(FINDS)
    mine.state.account("acme").balance("credit").debt = 2**63 - 10
    mine.state.account("acme").balance("credit").amount = -(2**63) + 10
    mine.account("u1", at=NOON, on_empty="reject")
    assert mine.decision("e1", at=NOON, **find(100)) == "insufficient_credits"
    assert mine.hold("h1", 100, at=NOON)["status"] == "rejected"

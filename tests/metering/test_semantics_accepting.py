"""Which events are accepted: the limits of time, repeats, forgotten ids, and what a refusal leaves untouched."""

from __future__ import annotations

from typing import Any

import pytest

from tests.metering.meter import DAY, HOUR, MINUTE, NOON, NewMeter, account, book, charge, grant, refund, refusal

LOOKUP = charge("lookup", 20)


# -- the future: occurred_at > recorded_at + future_skew --------------------------------------------------------------


def test_a_clock_may_run_ahead_by_exactly_the_future_skew(meter: NewMeter) -> None:
    mine = meter(book(LOOKUP, future_skew="5m"))
    assert mine.decision("e1", at=NOON + 5 * MINUTE, recorded_at=NOON) == "charged"
    assert refusal(mine.event("e2", at=NOON + 5 * MINUTE + 1, recorded_at=NOON)) == "in_future"


def test_the_future_is_measured_by_the_log_and_not_by_the_accounts_own_time(meter: NewMeter) -> None:
    mine = meter(book(LOOKUP))
    mine.line("e1", at=NOON)
    assert mine.decision("e2", at=NOON + 30 * DAY, recorded_at=NOON + 30 * DAY) == "charged"


@pytest.mark.parametrize(
    ("command", "time_field"), [("refund", "requested_at"), ("grant", "granted_at"), ("account", "at")]
)
def test_other_commands_have_the_same_future_skew(meter: NewMeter, command: Any, time_field: Any) -> None:
    mine = meter(book(LOOKUP, future_skew="5m"))
    record = {
        "refund": refund("r1", "e1", NOON),
        "grant": grant("g1", 5, NOON),
        "account": account("u1", NOON),
    }[command]
    late = record | {time_field: NOON + 5 * MINUTE + 1}
    assert refusal(mine.apply(command, late, NOON)) == "in_future"
    assert not any(
        kind == "dead_letter" for kind, _ in mine.apply(command, record | {time_field: NOON + 5 * MINUTE}, NOON)
    )


# -- too late: occurred_at < stream_time - accept_window --------------------------------------------------------------


def test_an_event_may_be_late_by_exactly_the_accept_window(meter: NewMeter) -> None:
    mine = meter(book(LOOKUP, accept_window="2d"))
    mine.line("e1", at=NOON)
    assert mine.decision("e2", at=NOON - 2 * DAY) == "charged"
    assert refusal(mine.event("e3", at=NOON - 2 * DAY - 1)) == "too_late"


def test_the_first_command_of_an_account_is_never_too_late(meter: NewMeter) -> None:
    mine = meter(book(LOOKUP, accept_window="2d"))
    assert mine.decision("e1", at=NOON, recorded_at=NOON + 300 * DAY) == "charged"


def test_each_account_has_its_own_stream_time(meter: NewMeter) -> None:
    mine = meter(book(LOOKUP, accept_window="2d"))
    mine.line("e1", at=NOON, account_id="ahead")
    assert mine.decision("e1", at=NOON - 5 * DAY, account_id="behind") == "charged"


def test_any_accepted_command_moves_stream_time_and_nothing_moves_it_back(meter: NewMeter) -> None:
    mine = meter(book(LOOKUP, accept_window="2d"))
    mine.grant("g1", 5, at=NOON)
    mine.account("u1", at=NOON - 9 * DAY)  # accepted, whatever its age: only events are too late
    assert refusal(mine.event("e1", at=NOON - 2 * DAY - 1)) == "too_late"
    mine.refund("r1", "never-seen", at=NOON + 1)  # rejected, which is accepted
    assert refusal(mine.event("e2", at=NOON - 2 * DAY)) == "too_late"


def test_a_refused_command_does_not_move_stream_time(meter: NewMeter) -> None:
    mine = meter(book(LOOKUP, accept_window="2d"))
    mine.line("e1", at=NOON)
    assert refusal(mine.event("e2", at=NOON + DAY, recorded_at=NOON)) == "in_future"
    assert refusal(mine.event("e1", at=NOON + DAY)) == "repeated"
    assert refusal(mine.event("e3", at=NOON + DAY, ip="nonsense")) == "invalid_event: ip"
    assert mine.decision("e4", at=NOON - 2 * DAY) == "charged"


def test_before_any_book_35_days_and_5_minutes_are_the_limits(meter: NewMeter) -> None:
    mine = meter(None)
    assert mine.decision("e1", at=NOON + 5 * MINUTE, recorded_at=NOON) == "unpriced"
    assert refusal(mine.event("e2", at=NOON + 5 * MINUTE + 1, recorded_at=NOON)) == "in_future"
    assert mine.decision("e3", at=NOON + 5 * MINUTE - 35 * DAY) == "unpriced"
    assert refusal(mine.event("e4", at=NOON + 5 * MINUTE - 35 * DAY - 1)) == "too_late"


def test_the_future_is_looked_at_before_lateness(meter: NewMeter) -> None:
    mine = meter(book(LOOKUP, accept_window="2d"))
    mine.line("e1", at=NOON)
    assert refusal(mine.event("e2", at=NOON - 3 * DAY, recorded_at=NOON - 4 * DAY)) == "in_future"


# -- repeats ----------------------------------------------------------------------------------------------------------


def test_an_accepted_id_makes_no_line_again(meter: NewMeter) -> None:
    mine = meter(book(LOOKUP))
    mine.line("e1", at=NOON)
    ((kind, record),) = mine.event("e1", at=NOON)
    assert kind == "repeated"
    assert {name: record[name] for name in ("command", "account_id", "id")} == {
        "command": "request",
        "account_id": "acme",
        "id": "e1",
    }


def test_an_id_is_what_makes_an_event_whatever_else_it_says(meter: NewMeter) -> None:
    mine = meter(book(LOOKUP))
    mine.line("e1", at=NOON)
    assert refusal(mine.event("e1", at=NOON + HOUR, endpoint="/other", channel="js")) == "repeated"


def test_ids_belong_to_their_account(meter: NewMeter) -> None:
    mine = meter(book(LOOKUP))
    mine.line("e1", at=NOON)
    assert mine.decision("e1", at=NOON, account_id="another") == "charged"


@pytest.mark.parametrize("outcome", ["invalid", "failed"])
def test_an_event_that_cost_nothing_was_accepted_too(meter: NewMeter, outcome: Any) -> None:
    mine = meter(book(LOOKUP))
    mine.line("e1", at=NOON, outcome=outcome)
    assert refusal(mine.event("e1", at=NOON)) == "repeated"


def test_a_refused_id_may_be_sent_again(meter: NewMeter) -> None:
    mine = meter(book(LOOKUP))
    assert refusal(mine.event("e1", at=NOON + HOUR, recorded_at=NOON)) == "in_future"
    assert mine.decision("e1", at=NOON + HOUR, recorded_at=NOON + HOUR) == "charged"


def test_an_id_is_remembered_for_exactly_the_accept_window(meter: NewMeter) -> None:
    mine = meter(book(LOOKUP, accept_window="2d"))
    mine.line("e1", at=NOON)
    mine.line("clock", at=NOON + 2 * DAY)
    assert refusal(mine.event("e1", at=NOON)) == "repeated"
    assert refusal(mine.event("e1", at=NOON + DAY)) == "repeated"


def test_a_forgotten_id_is_a_new_event_and_the_same_event_is_too_late(meter: NewMeter) -> None:
    mine = meter(book(LOOKUP, accept_window="2d"))
    mine.line("e1", at=NOON)
    mine.line("clock", at=NOON + 2 * DAY + 1)
    assert refusal(mine.event("e1", at=NOON)) == "too_late"
    assert mine.decision("e1", at=NOON + DAY) == "charged"
    assert refusal(mine.event("e1", at=NOON + DAY)) == "repeated"


def test_an_event_does_not_make_the_stream_forget_its_own_id(meter: NewMeter) -> None:
    """What an id is held against is stream_time before the event: it has not been accepted yet."""
    mine = meter(book(LOOKUP, accept_window="2d"))
    mine.line("e1", at=NOON)
    assert refusal(mine.event("e1", at=NOON + 3 * DAY)) == "repeated"


@pytest.mark.parametrize("command", ["refund", "grant", "account"])
def test_ids_of_other_commands_are_remembered_for_ever(meter: NewMeter, command: Any) -> None:
    mine = meter(book(LOOKUP, accept_window="2d"))
    records = {
        "refund": refund("x", "never-seen", NOON),
        "grant": grant("x", 5, NOON),
        "account": account("x", NOON),
    }
    mine.apply(command, records[command])
    mine.line("clock", at=NOON + 300 * DAY)
    assert refusal(mine.apply(command, records[command])) == "repeated"


def test_each_type_of_command_has_its_own_ids(meter: NewMeter) -> None:
    mine = meter(book(LOOKUP))
    assert mine.decision("x", at=NOON) == "charged"
    assert mine.grant("x", 5, at=NOON)[0]["status"] == "applied"
    assert mine.refund("x", "x", at=NOON)[0]["status"] == "refunded"
    assert mine.hold("x", 5, at=NOON)["status"] == "held"
    assert [kind for kind, _ in mine.account("x", at=NOON)] == ["account"]


def test_a_rejected_refund_has_used_its_id(meter: NewMeter) -> None:
    mine = meter(book(LOOKUP))
    assert mine.reject_reason("r1", "e1", at=NOON) == "unknown_charge"
    mine.line("e1", at=NOON)
    assert refusal(mine.apply("refund", refund("r1", "e1", NOON))) == "repeated"


# -- a change of accept_window ----------------------------------------------------------------------------------------


def test_accept_window_may_shrink_at_any_time(meter: NewMeter) -> None:
    mine = meter(book(LOOKUP, accept_window="10d"))
    mine.line("e1", at=NOON)
    mine.publish(book(LOOKUP, accept_window="2d"))
    assert refusal(mine.event("e2", at=NOON - 2 * DAY - 1)) == "too_late"
    assert mine.decision("e3", at=NOON - 2 * DAY) == "charged"


def test_accept_window_widens_only_as_far_back_as_ids_are_remembered(meter: NewMeter) -> None:
    mine = meter(book(LOOKUP, accept_window="2d"))
    mine.line("e1", at=NOON)
    mine.publish(book(LOOKUP, accept_window="10d"))
    assert refusal(mine.event("e2", at=NOON - 2 * DAY - 1)) == "too_late"
    mine.line("e3", at=NOON + 5 * DAY)
    assert refusal(mine.event("e1", at=NOON)) == "repeated"
    assert mine.decision("e4", at=NOON - 2 * DAY) == "charged"  # as far back as ever, not further
    assert refusal(mine.event("e5", at=NOON - 2 * DAY - 1)) == "too_late"


def test_a_window_that_was_narrow_while_nothing_was_accepted_has_forgotten_nothing(meter: NewMeter) -> None:
    mine = meter(book(LOOKUP, accept_window="10d"))
    mine.line("old", at=NOON - 9 * DAY)
    mine.line("new", at=NOON)
    mine.publish(book(LOOKUP, accept_window="1h"))
    assert refusal(mine.event("e1", at=NOON - 9 * DAY)) == "too_late"
    mine.publish(book(LOOKUP, accept_window="10d"))
    assert refusal(mine.event("old", at=NOON - 9 * DAY)) == "repeated"
    assert mine.decision("e1", at=NOON - 9 * DAY) == "charged"


# -- what is not billed -----------------------------------------------------------------------------------------------

NOTHING_PRICED = {
    "line": 0, "charge": None, "feature": None, "action": None, "credit_type": None, "price_version": None,
    "units": 0, "unit_credits": 0, "credits": 0, "owner_event_id": None, "window_ends_at": None,
    "balance_after": None, "grants_used": [],
}  # fmt: skip


@pytest.mark.parametrize("outcome", ["invalid", "unauthenticated", "rate_limited", "blocked", "failed"])
def test_what_was_not_processed_is_one_line_that_is_not_billable(meter: NewMeter, outcome: Any) -> None:
    mine = meter(book(LOOKUP, charge("second", 5)))
    line = mine.line("e1", at=NOON, outcome=outcome)
    assert line["decision"] == "not_billable"
    assert {name: line[name] for name in NOTHING_PRICED} == NOTHING_PRICED


def test_an_event_before_any_book_is_unpriced(meter: NewMeter) -> None:
    line = meter(None).line("e1", at=NOON)
    assert line["decision"] == "unpriced"
    assert {name: line[name] for name in NOTHING_PRICED} == NOTHING_PRICED


def test_an_event_that_no_charge_matches_is_unpriced(meter: NewMeter) -> None:
    line = meter(book(charge("lookup", when={"channel": "js"}))).line("e1", at=NOON, channel="api")
    assert line["decision"] == "unpriced"
    assert {name: line[name] for name in NOTHING_PRICED} == NOTHING_PRICED


def test_not_billable_comes_before_unpriced(meter: NewMeter) -> None:
    assert meter(None).decision("e1", at=NOON, outcome="failed") == "not_billable"


def test_a_line_repeats_the_event_as_it_was_sent(meter: NewMeter) -> None:
    sent = {
        "endpoint": "/v1/ip", "channel": "js", "request_id": "call-1", "actor": "key-9", "user_id": "u1",
        "ip": "2001:DB8:0:0:0:0:0:1", "domain": "www.Acme.COM.", "plan": "pro",
        "quantities": {"results": 3}, "attributes": {"description": "Jane Doe, Acme"},
    }  # fmt: skip
    line = meter(book(LOOKUP)).line("e1", at=NOON, **sent)
    assert {name: line[name] for name in sent} == sent
    assert (line["event_id"], line["account_id"], line["occurred_at"], line["outcome"]) == (
        "e1",
        "acme",
        NOON,
        "processed",
    )


@pytest.mark.parametrize("name", ["request_id", "actor", "user_id", "ip", "domain", "plan"])
def test_an_empty_optional_string_is_null(meter: NewMeter, name: Any) -> None:
    assert meter(book(LOOKUP)).line("e1", at=NOON, **{name: ""})[name] is None


@pytest.mark.parametrize("name", ["quantities", "attributes"])
def test_null_stands_for_an_absent_map(meter: NewMeter, name: Any) -> None:
    assert meter(book(LOOKUP)).line("e1", at=NOON, **{name: None})[name] == {}

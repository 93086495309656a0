"""Alerts: which crossings of a balance are told, in which order, and against which marks."""

from __future__ import annotations

from typing import Any

import pytest

from tests.metering.meter import DAY, HOUR, NOON, NewMeter, book, charge, grant, refund, short

PER_RESULT = book(charge("record", 1, per="results"))


def alerts(outputs: Any) -> Any:
    """(kind, credit type, mark, balance) of each alert."""
    names = ("kind", "credit_type", "mark", "balance")
    return [tuple(record[name] for name in names) for kind, record in outputs if kind == "alert"]


def use(number: int) -> Any:
    return {"quantities": {"results": number}}


@pytest.mark.parametrize(
    ("before", "used", "expected"),
    [
        (12, 1, []),
        (11, 1, []),  # to the mark is not below it
        (11, 2, ["below"]),
        (10, 1, ["below"]),  # from the mark
        (9, 1, []),  # it was below already
        (9, 9, ["empty"]),  # to nothing
        (9, 10, ["empty"]),
        (12, 12, ["below", "empty"]),
        (12, 99, ["below", "empty"]),
        (0, 1, []),  # it was empty already
    ],
)
def test_crossings(meter: NewMeter, before: Any, used: Any, expected: Any) -> None:
    mine = meter(PER_RESULT)
    if before:
        mine.grant("g1", before, at=NOON)
    mine.account("u1", at=NOON, alert_below={"credit": 10})
    outputs = mine.event("e1", at=NOON, **use(used))
    assert [kind for kind, *_ in alerts(outputs)] == expected


def test_what_an_alert_says(meter: NewMeter) -> None:
    mine = meter(PER_RESULT)
    mine.grant("g1", 12, at=NOON)
    mine.account("u1", at=NOON, alert_below={"credit": 10})
    _, below, empty = mine.event("e1", at=NOON - HOUR, **use(15))
    same = {"account_id": "acme", "credit_type": "credit", "balance": -3, "at": NOON - HOUR}  # the command's own time
    assert below == ("alert", {**same, "kind": "below", "mark": 10})
    assert empty == ("alert", {**same, "kind": "empty", "mark": None})


def test_empty_needs_no_mark(meter: NewMeter) -> None:
    mine = meter(PER_RESULT)
    mine.grant("g1", 5, at=NOON)
    assert alerts(mine.event("e1", at=NOON, **use(5))) == [("empty", "credit", None, 0)]


def test_a_mark_of_nothing_tells_of_debt(meter: NewMeter) -> None:
    mine = meter(PER_RESULT)
    mine.account("u1", at=NOON, alert_below={"credit": 0})
    assert alerts(mine.event("e1", at=NOON, **use(1))) == [("below", "credit", 0, -1)]


def test_only_down_is_told(meter: NewMeter) -> None:
    mine = meter(PER_RESULT)
    mine.account("u1", at=NOON, alert_below={"credit": 10})
    assert alerts(mine.apply("grant", grant("g1", 50, NOON))) == []
    mine.line("e1", at=NOON, **use(45))
    mine.refund("r1", "e1", at=NOON)
    assert alerts(mine.event("e2", at=NOON, **use(45))) == [("below", "credit", 10, 5)]  # again, after it rose


def test_a_whole_command_is_compared_and_not_its_lines(meter: NewMeter) -> None:
    """Two lines that cross together are one alert, with the balance after both."""
    mine = meter(book(charge("a", 3), charge("b", 4)))
    mine.grant("g1", 12, at=NOON)
    mine.account("u1", at=NOON, alert_below={"credit": 10})
    assert alerts(mine.event("e1", at=NOON)) == [("below", "credit", 10, 5)]


def test_credit_types_in_order_of_name_each_below_then_empty(meter: NewMeter) -> None:
    mine = meter(book(charge("z", 12, credit_type="zebra"), charge("a", 12, credit_type="apple")))
    mine.grant("g1", 12, at=NOON, credit_type="zebra")
    mine.grant("g2", 12, at=NOON, credit_type="apple")
    mine.account("u1", at=NOON, alert_below={"zebra": 10, "apple": 10})
    assert alerts(mine.event("e1", at=NOON)) == [
        ("below", "apple", 10, 0),
        ("empty", "apple", None, 0),
        ("below", "zebra", 10, 0),
        ("empty", "zebra", None, 0),
    ]


def test_what_time_takes_is_told_with_the_command_that_moved_it(meter: NewMeter) -> None:
    mine = meter(PER_RESULT)
    mine.grant("g1", 12, at=NOON, expires_at=NOON + DAY)
    mine.account("u1", at=NOON, alert_below={"credit": 10})
    assert short(mine.event("e1", at=NOON + DAY, outcome="failed")) == [
        ("grant", "expired", "g1", 12, 0),
        ("billed", "not_billable", None, 0, None),
        ("alert", "below", "credit", None, 0),
        ("alert", "empty", "credit", None, 0),
    ]


def test_the_marks_are_those_in_force_after_the_command(meter: NewMeter) -> None:
    mine = meter(PER_RESULT)
    mine.grant("g1", 12, at=NOON, expires_at=NOON + DAY)
    assert alerts(mine.account("u1", at=NOON + DAY, alert_below={"credit": 10})) == [
        ("below", "credit", 10, 0),
        ("empty", "credit", None, 0),
    ]


def test_a_new_mark_above_the_balance_is_no_crossing(meter: NewMeter) -> None:
    mine = meter(PER_RESULT)
    mine.grant("g1", 5, at=NOON)
    assert alerts(mine.account("u1", at=NOON, alert_below={"credit": 10})) == []


def test_an_update_replaces_all_marks(meter: NewMeter) -> None:
    mine = meter(PER_RESULT)
    mine.grant("g1", 12, at=NOON)
    mine.account("u1", at=NOON, alert_below={"credit": 10})
    mine.account("u2", at=NOON, alert_below={"email": 10})
    assert alerts(mine.event("e1", at=NOON, **use(5))) == []


def test_a_grant_over_on_arrival_crosses_nothing(meter: NewMeter) -> None:
    """Up and down again within one command."""
    mine = meter(PER_RESULT)
    mine.account("u1", at=NOON + 2 * DAY, alert_below={"credit": 10})
    assert short(mine.apply("grant", grant("g1", 50, NOON, expires_at=NOON + DAY))) == [
        ("grant", "applied", "g1", 50, 50),
        ("grant", "expired", "g1", 50, 0),
    ]


def test_a_rejected_refund_may_tell_of_what_time_has_taken(meter: NewMeter) -> None:
    mine = meter(PER_RESULT)
    mine.grant("g1", 12, at=NOON, expires_at=NOON + DAY)
    outputs = mine.apply("refund", refund("r1", "never-seen", NOON + DAY))
    assert [kind for kind, _ in outputs] == ["grant", "refund", "alert"]
    assert alerts(outputs) == [("empty", "credit", None, 0)]


def test_a_repeat_tells_nothing(meter: NewMeter) -> None:
    mine = meter(PER_RESULT)
    mine.grant("g1", 12, at=NOON, expires_at=NOON + DAY)
    mine.line("e1", at=NOON, **use(1))
    assert [kind for kind, _ in mine.event("e1", at=NOON + DAY)] == ["repeated"]

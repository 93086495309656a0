"""What became of a hold or its release, also where the same command ended other holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from application.commands.fields import BadField
from application.commands.grants import GrantOrder, grant_credits
from application.commands.holds import HoldOrder, HoldResult, ReleaseOrder, place_hold, release_hold
from application.commands.submitting import Decided
from application.pipeline import Pipeline
from metering.records import Command, HoldStatus, Kind
from streams import clock
from tests.application.in_memory_world import DAY, ListedRows, event, priced_pipeline, send

SECONDS = 10
AT = 1_767_225_600_000


def result(*changes: dict[str, Any]) -> HoldResult:
    """The hold `h` after a command that caused these changes."""
    outputs = [{"type": Kind.HOLD} | change for change in changes]
    return HoldResult(Decided(Command.HOLD, {"hold_id": "h", "account_id": "a"}, "t", 0, 0, outputs), "h", [])


def test_changes_of_other_holds_are_not_this_ones() -> None:
    expired = {"hold_id": "other", "status": HoldStatus.EXPIRED}
    held = result(expired, {"hold_id": "h", "status": HoldStatus.HELD})
    assert (held.is_held, held.is_over, held.is_rejected) == (True, False, False)
    assert held.as_json()["status"] == HoldStatus.HELD
    none = result(expired)
    assert none.change is None
    assert (none.is_held, none.is_over, none.is_rejected, none.is_repeated) == (False, False, False, False)
    assert none.as_json()["status"] is None


@pytest.mark.parametrize("status", list(HoldStatus))
def test_every_status_answers_one_question_at_most(status: HoldStatus) -> None:
    hold = result({"hold_id": "h", "status": status})
    answers = {"is_held": hold.is_held, "is_rejected": hold.is_rejected, "is_over": hold.is_over}
    expected = {
        HoldStatus.HELD: "is_held", HoldStatus.REJECTED: "is_rejected",
        HoldStatus.RELEASED: "is_over", HoldStatus.SETTLED: "is_over",
    }.get(status)  # fmt: skip
    assert [name for name, answer in answers.items() if answer] == ([] if expected is None else [expected])


@pytest.mark.parametrize(
    ("order", "field"),
    [
        (HoldOrder("a", {"credit": 0}, AT, AT + DAY), "credits"),
        (HoldOrder("a", {"credit": 1}, AT, AT), "expires_at"),
        (HoldOrder("a", {"credit": 1}, AT, AT + 31 * DAY), "expires_at"),
        (HoldOrder("a", {"credit": 1}, AT, AT + DAY, hold_id=""), "hold_id"),
        (ReleaseOrder("a", "", AT), "hold_id"),
    ],
)
def test_a_wrong_order_makes_no_command(order: HoldOrder | ReleaseOrder, field: str) -> None:
    with pytest.raises(BadField) as raised:
        order.record()
    assert raised.value.field == field


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    return priced_pipeline(tmp_path, ListedRows(holds=[{"status": "held"}]))


def test_a_hold_that_expires_while_another_is_placed_is_not_taken_for_it(pipeline: Pipeline) -> None:
    now = clock.now_ms()
    grant_credits(pipeline, GrantOrder("acme", "credit", 100, now), SECONDS)
    place_hold(pipeline, HoldOrder("acme", {"credit": 60}, now - 10, now - 5, hold_id="old"), SECONDS)
    placed = place_hold(pipeline, HoldOrder("acme", {"credit": 60}, now, now + DAY, hold_id="new"), SECONDS)
    assert placed.is_held
    assert placed.change is not None
    assert placed.change["available_after"] == {"credit": 40}


def test_a_hold_that_was_charged_to_is_settled_by_its_release_and_released_once(pipeline: Pipeline) -> None:
    now = clock.now_ms()
    place_hold(pipeline, HoldOrder("acme", {"credit": 60}, now, now + DAY, hold_id="h"), SECONDS)
    send(pipeline, event("e", hold_id="h", keeps_hold=True))
    released = release_hold(pipeline, ReleaseOrder("acme", "h", clock.now_ms()), SECONDS)
    assert released.change is not None
    assert (released.change["status"], released.change["charged"]) == (HoldStatus.SETTLED, {"credit": 20})
    assert released.is_over
    again = release_hold(pipeline, ReleaseOrder("acme", "h", clock.now_ms()), SECONDS)
    assert (again.is_over, again.change) == (False, None)


def test_only_a_repeat_asks_clickhouse_for_the_first_hold(pipeline: Pipeline) -> None:
    assert isinstance(pipeline.sql, ListedRows)
    order = HoldOrder("acme", {"credit": 6}, clock.now_ms(), clock.now_ms() + DAY, hold_id="h")
    place_hold(pipeline, order, SECONDS)
    assert pipeline.sql.asked == []
    assert place_hold(pipeline, order, SECONDS).as_json()["first"] == [{"status": "held"}]

"""Clean-up takes what can never matter again, and not a millisecond earlier."""

from __future__ import annotations

import pytest

from tests.metering.meter import DAY, ME, NOON, StoredMeter, book, charge, hold, refusal

PER_RESULT = book(charge("record", 1, per="results"), accept_window="2d")


@pytest.fixture
def mine() -> StoredMeter:
    meter = StoredMeter()
    meter.publish(PER_RESULT)
    meter.grant("g1", 10, at=NOON - DAY)
    assert clean(meter, NOON - DAY) == ["g1"]  # from now on the account is due whenever a day has passed
    return meter


def draw(meter: StoredMeter, event_id: str, units: int, at: int) -> None:
    assert meter.line(event_id, at=at, quantities={"results": units})["credits"] == units


def clean(meter: StoredMeter, at: int) -> list[str]:
    """Moves time, and cleans all that is due; gives the grants that are kept."""
    meter.account(f"u{at}", at=at)
    meter.sweeper.sweep(1_000)
    meter.commit()
    meter.open()
    return [grant.grant_id for grant in meter.state.account(ME).balance("credit").grants]


@pytest.mark.parametrize(("late", "kept", "forfeited"), [(0, ["g1"], 0), (1, [], None)])
def test_a_used_up_grant_is_kept_while_its_line_can_be_refunded(
    mine: StoredMeter, late: int, kept: list[str], forfeited: int | None
) -> None:
    draw(mine, "e1", 10, at=NOON)
    assert clean(mine, NOON + 2 * DAY + late) == kept
    (given,) = mine.refund("r1", "e1", at=NOON)
    assert given["reject_reason"] == (None if forfeited == 0 else "unknown_charge")
    assert forfeited is None or given["forfeited"] == forfeited


def test_the_latest_line_counts_whichever_came_last(mine: StoredMeter) -> None:
    draw(mine, "e1", 6, at=NOON)
    draw(mine, "e2", 4, at=NOON - DAY)  # came later, and happened earlier
    assert clean(mine, NOON + 2 * DAY) == ["g1"]
    assert mine.refund("r1", "e1", at=NOON)[0]["forfeited"] == 0


def test_a_used_up_grant_that_expires_is_kept_until_then(mine: StoredMeter) -> None:
    mine.grant("g2", 10, at=NOON, expires_at=NOON + 9 * DAY)
    draw(mine, "e1", 20, at=NOON)
    assert clean(mine, NOON + 8 * DAY) == ["g2"]
    assert clean(mine, NOON + 9 * DAY) == []


def test_a_grant_with_something_left_is_kept(mine: StoredMeter) -> None:
    draw(mine, "e1", 9, at=NOON)
    assert clean(mine, NOON + 300 * DAY) == ["g1"]
    assert mine.line("e2", at=NOON + 300 * DAY, quantities={"results": 1})["grants_used"] == [
        {"grant_id": "g1", "credits": 1}
    ]


def test_hold_ids_are_removed_when_they_are_forgotten_and_their_holds_are_over(mine: StoredMeter) -> None:
    mine.hold("over", 1, at=NOON, expires_at=NOON + 1)
    mine.hold("open", 1, at=NOON, expires_at=NOON + 20 * DAY)
    prefix = mine.state.account(ME).hold_prefix
    clean(mine, NOON + 2 * DAY)
    assert [key[len(prefix) :] for key, _ in mine.store.scan(prefix)] == [b"open", b"over"]
    clean(mine, NOON + 2 * DAY + 1)
    clean(mine, NOON + 4 * DAY)
    assert [key[len(prefix) :] for key, _ in mine.store.scan(prefix)] == [b"open"]
    assert refusal(mine.apply("hold", hold("open", 1, NOON + 4 * DAY))) == "repeated"

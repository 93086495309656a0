"""When credits run out: grants are drawn in the order in which they end, at the present rate."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from application.accounts.burn_down import OpenGrant, Rate, burn_down, left_in_grants
from metering.windows import DAY_MS

NOW = 100 * DAY_MS


def grant(left: int, days: int | None) -> OpenGrant:
    return OpenGrant(left, None if days is None else NOW + days * DAY_MS)


@pytest.mark.parametrize(
    ("grants", "rate", "days", "lapsing"),
    [
        ([grant(70, None)], Rate(70, 7 * DAY_MS), 7, 0),
        ([grant(70, None)], Rate(0, 7 * DAY_MS), None, 0),
        ([], Rate(10, DAY_MS), 0, 0),
        ([grant(100, 5), grant(20, None)], Rate(10, DAY_MS), 7, 50),  # 50 end unused, then 20 last two days
        ([grant(30, 5), grant(20, 5)], Rate(10, DAY_MS), 5, 0),
        ([grant(30, 5), grant(40, 9)], Rate(0, DAY_MS), 9, 70),
        ([grant(10, -3), grant(5, None)], Rate(5, DAY_MS), 1, 10),  # over by the clock already
    ],
)
def test_it_runs_out_on_that_day(grants: list[OpenGrant], rate: Rate, days: int | None, lapsing: int) -> None:
    ahead = burn_down(NOW, grants, rate)
    assert ahead.runs_out_at == (None if days is None else NOW + days * DAY_MS)
    assert ahead.lapsing == lapsing


def test_the_line_never_rises_and_ends_at_nothing() -> None:
    rng = random.Random(3)
    for _ in range(300):
        grants = [
            grant(rng.randrange(500), day) for day in sorted(rng.randrange(1, 60) for _ in range(rng.randrange(5)))
        ]
        rate = Rate(rng.randrange(1, 400), rng.randrange(1, 9) * DAY_MS)
        points = burn_down(NOW, grants, rate).points
        assert all(before[0] <= after[0] and before[1] >= after[1] for before, after in pairwise(points))
        assert points[0] == (NOW, sum(grant.left for grant in grants))
        assert points[-1][1] == 0


def test_a_balance_is_shared_out_to_those_that_end_last() -> None:
    assert left_in_grants(25, [(10, NOW), (20, None), (10, NOW + 1)]) == [
        OpenGrant(0, NOW), OpenGrant(5, NOW + 1), OpenGrant(20, None),
    ]  # fmt: skip
    assert left_in_grants(15, [(10, NOW)]) == [OpenGrant(10, NOW), OpenGrant(5, None)]
    assert left_in_grants(-3, [(10, NOW)]) == [OpenGrant(0, NOW)]


def test_a_rate_is_rounded_to_whole_credits() -> None:
    assert Rate(7, 2 * DAY_MS).a_day == 4
    assert Rate(0, DAY_MS).a_day == 0

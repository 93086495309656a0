"""How long Kafka may gather: by what came lately."""

from __future__ import annotations

import pytest

from streams.shell.fetching import FULL_RATE, SHORTEST, FetchPace


def paced(rate: float, longest: float = 0.2, looks: int = 100) -> FetchPace:
    """After ten seconds at so many bytes a second."""
    pace = FetchPace(longest)
    for look in range(looks * 10):
        pace.note(round(rate / looks), 5.0 + look / looks)
    return pace


def test_before_anything_comes_kafka_answers_at_once() -> None:
    assert FetchPace(0.2).wait == 0


@pytest.mark.parametrize(("share", "wait"), [(0.0, 0.0), (0.01, 0.0), (0.25, 0.05), (0.5, 0.1), (1.0, 0.2), (9.0, 0.2)])
@pytest.mark.parametrize("looks", [10, 1_000])
def test_the_wait_grows_with_the_load_however_often_it_is_looked_at(share: float, wait: float, looks: int) -> None:
    assert paced(share * FULL_RATE, looks=looks).wait == pytest.approx(wait, rel=0.06)


def test_less_than_the_shortest_wait_is_none() -> None:
    share = SHORTEST / 0.2
    assert paced(0.9 * share * FULL_RATE).wait == 0
    assert paced(1.2 * share * FULL_RATE).wait >= SHORTEST


def test_a_burst_is_forgotten() -> None:
    pace = paced(FULL_RATE)
    pace.note(0, 15.0 + 4.0)
    assert pace.wait == 0


def test_one_large_answer_is_no_load_for_long() -> None:
    pace = FetchPace(0.2)
    pace.note(FULL_RATE, 0.0)
    assert pace.wait == 0.2
    pace.note(0, 3.5)
    assert pace.wait == 0


def test_who_wants_no_wait_gets_none() -> None:
    assert paced(9 * FULL_RATE, longest=0.0).wait == 0

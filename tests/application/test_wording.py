"""Times, spans and amounts as people read them."""

import pytest

from application.wording import amount, amounts, listed, shown_duration, shown_time


def test_durations_and_times_in_words() -> None:
    assert [shown_duration(ms) for ms in (0, 1, 1_500, 300_000, 86_400_000, 35 * 86_400_000)] == [
        "0s", "1ms", "1500ms", "5m", "24h", "35d",
    ]  # fmt: skip
    assert shown_time(1_767_225_600_001) == "2026-01-01T00:00:00.001Z"


@pytest.mark.parametrize("ms", [253_402_300_800_000, 1_795_600_801_000_000, 2**63 - 1, 2**63, 10**30])
def test_a_time_beyond_all_calendars_is_shown_too(ms: int) -> None:
    assert shown_time(ms) == "after the year 9999"
    assert shown_time(-ms) == ("before the year 1" if ms > 10**15 else shown_time(-ms))


def test_amounts_in_words() -> None:
    assert [amount(1, "credit"), amount(1_000, "credits"), amount(3, "email")] == [
        "1 credit", "1,000 credits", "3 email credits",
    ]  # fmt: skip
    assert amounts({"credit": 20, "email": 3}) == "20 credits and 3 email credits"
    assert [listed([], "or"), listed(["a"], "or"), listed(["a", "b", "c"], "or")] == ["", "a", "a, b or c"]

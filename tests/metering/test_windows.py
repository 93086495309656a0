"""Durations, instants and windows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.records import LAST_INSTANT, YEAR_2000
from metering.windows import DAY_MS, Window, format_day, format_instant, parse_duration, parse_instant

NEW_YEAR = 1_767_225_600_000  # 2026-01-01T00:00:00Z
TIMES = st.integers(-(10**13), 10**13)


@pytest.mark.parametrize(
    ("text", "ms"),
    [("30s", 30_000), ("5m", 300_000), ("24h", DAY_MS), ("35d", 35 * DAY_MS), ("0s", 0), ("007m", 420_000)],
)
def test_a_duration_is_a_number_and_a_unit(text: str, ms: int) -> None:
    assert parse_duration(text) == ms


@pytest.mark.parametrize(
    "text",
    ["", "5", "m", "-5m", "+5m", "1.5h", "5 m", "5m ", "5m\n", "5M", "1w", "1h30m", "٣d", "1_0d", f"1{0:0100}d"],
)
def test_anything_else_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "window"),
    [
        ("24h", Window("rolling", DAY_MS)),
        ("1d", Window("rolling", DAY_MS)),
        ("calendar_day", Window("calendar_day", DAY_MS)),
        ("ever", Window("ever", 0)),
    ],
)
def test_a_window_is_a_duration_a_calendar_day_or_ever(text: str, window: Window) -> None:
    assert Window.parse(text) == window


@pytest.mark.parametrize("text", ["", "0h", "Ever", "forever", "calendar day", "month", "-1d"])
def test_anything_else_is_no_window(text: str) -> None:
    with pytest.raises(ValueError, match="window"):
        Window.parse(text)


@pytest.mark.parametrize(
    ("window", "owner_at", "at", "covered"),
    [
        ("24h", NEW_YEAR, NEW_YEAR, True),
        ("24h", NEW_YEAR, NEW_YEAR + DAY_MS - 1, True),
        ("24h", NEW_YEAR, NEW_YEAR + DAY_MS, False),
        ("24h", NEW_YEAR, NEW_YEAR - DAY_MS + 1, True),
        ("24h", NEW_YEAR, NEW_YEAR - DAY_MS, False),
        ("calendar_day", NEW_YEAR, NEW_YEAR + DAY_MS - 1, True),
        ("calendar_day", NEW_YEAR, NEW_YEAR + DAY_MS, False),
        ("calendar_day", NEW_YEAR, NEW_YEAR - 1, False),
        ("calendar_day", NEW_YEAR + DAY_MS - 1, NEW_YEAR, True),
        ("ever", NEW_YEAR, 0, True),
        ("ever", 0, LAST_INSTANT, True),
    ],
)
def test_which_events_a_window_covers(window: str, owner_at: int, at: int, covered: bool) -> None:
    assert Window.parse(window).covers(owner_at, at) is covered


@given(st.sampled_from(["1s", "24h", "7d", "calendar_day", "ever"]), TIMES, TIMES)
def test_a_window_works_on_both_sides_and_ends_where_it_says(text: str, one: int, other: int) -> None:
    window = Window.parse(text)
    assert window.covers(one, other) == window.covers(other, one)
    assert window.covers(one, one)
    end = window.ends_at(one)
    if end is None:
        assert window.kind == "ever"
    else:
        assert window.covers(one, end - 1)
        assert not window.covers(one, end)


def test_the_end_of_a_day_is_the_next_midnight() -> None:
    day = Window.parse("calendar_day")
    assert day.ends_at(NEW_YEAR) == NEW_YEAR + DAY_MS
    assert day.ends_at(NEW_YEAR - 1) == NEW_YEAR


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("2026-01-01T00:00:00Z", NEW_YEAR),
        ("2026-01-01t00:00:00z", NEW_YEAR),
        ("2026-01-01 00:00:00+00:00", NEW_YEAR),
        ("2026-01-01T02:00:00+02:00", NEW_YEAR),
        ("2025-12-31T18:30:00-05:30", NEW_YEAR),
        ("2026-01-01T00:00:00.5Z", NEW_YEAR + 500),
        ("2026-01-01T00:00:00.123Z", NEW_YEAR + 123),
        ("2026-01-01T00:00:00.123000000Z", NEW_YEAR + 123),
        ("2000-01-01T00:00:00Z", YEAR_2000),
        ("9999-12-31T23:59:59.999Z", LAST_INSTANT),
    ],
)
def test_an_instant_has_a_zone_and_whole_milliseconds(text: str, ms: int) -> None:
    assert parse_instant(text) == ms


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2026-01-01T00:00:00", "zone"),
        ("2026-01-01", "zone"),
        ("2026-01-01T00:00Z", "zone"),
        ("2026-01-01T00:00:00Z\n", "zone"),
        ("20260101T000000Z", "zone"),
        ("now", "zone"),
        ("10000-01-01T00:00:00Z", "2000 to 9999"),
        ("+292278994-08-17T07:12:55.807Z", "2000 to 9999"),  # how Java writes Long.MAX_VALUE
        ("-0001-01-01T00:00:00Z", "zone"),
        ("2026-01-01T00:00:00.1234Z", "finer"),
        ("2026-02-30T00:00:00Z", "exists"),
        ("2026-01-01T24:00:01Z", "exists"),
        ("2026-01-01T00:00:60Z", "exists"),
        ("2026-01-01T00:00:00+99:00", "exists"),
        ("0000-01-01T00:00:00Z", "exists"),
        ("0001-01-01T00:00:00+23:59", "2000 to 9999"),
        ("1999-12-31T23:59:59.999Z", "2000 to 9999"),
        ("9999-12-31T23:59:59-01:00", "2000 to 9999"),
    ],
)
def test_anything_else_is_no_instant(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_instant(text)


@given(st.integers(YEAR_2000, LAST_INSTANT))
def test_an_instant_is_shown_as_it_is_read(ms: int) -> None:
    assert parse_instant(format_instant(ms)) == ms
    assert parse_instant(f"{format_day(ms)}T00:00:00Z") == ms // DAY_MS * DAY_MS


@pytest.mark.parametrize(
    ("ms", "text", "day"),
    [
        (0, "1970-01-01T00:00:00Z", "1970-01-01"),
        (-1, "1969-12-31T23:59:59.999Z", "1969-12-31"),
        (LAST_INSTANT, "9999-12-31T23:59:59.999Z", "9999-12-31"),
        (LAST_INSTANT + 1, "after the year 9999", "after the year 9999"),
        (LAST_INSTANT + 36_500 * DAY_MS, "after the year 9999", "after the year 9999"),
        (2**63 - 1, "after the year 9999", "after the year 9999"),
        (-62_135_596_800_000, "0001-01-01T00:00:00Z", "0001-01-01"),
        (-62_135_596_800_001, "before the year 1", "before the year 1"),
        (-(2**63), "before the year 1", "before the year 1"),
    ],
)
def test_every_integer_can_be_shown(ms: int, text: str, day: str) -> None:
    assert (format_instant(ms), format_day(ms)) == (text, day)


@given(st.text())
def test_any_text_is_an_instant_or_a_plain_mistake(text: str) -> None:
    for parse in (parse_instant, parse_duration, Window.parse):
        try:
            parse(text)
        except ValueError as error:
            assert type(error) is ValueError  # noqa: PT017 -- either way is fine, another error is not

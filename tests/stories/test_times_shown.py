"""Whatever time a log or a state holds, an earlier version's too, is shown in words and never ends in an error."""

from typing import Any

import pytest

from application.accounts.overview import AccountOverview
from application.explaining.explained import Explained
from application.explaining.sentences import story_in_words
from cli.accounts.account_report import as_plain, print_account
from metering import MemoryStore
from metering.overview import balances_at, claims_of, ids_of
from metering.records import LAST_INSTANT
from replay.recent_lines import Tail
from tests.application.explaining.replayed import explained, flat, words
from tests.metering import meter
from tests.metering.meter import DAY, NOON, StoredMeter

LONG_MAX = 2**63 - 1
LATE = "after the year 9999"


def old_account(**kept: Any) -> AccountOverview:
    """An account as an earlier version may have left it: any long was a time then."""
    mine = StoredMeter()
    mine.store = MemoryStore()
    mine.store.write({b"b": meter.price_book_record(BOOK, NOON)})
    mine.open()
    mine.line("e1", at=NOON, user_id="u")
    state, account = mine.state, mine.state.account(meter.ME)
    for name, expires_at in kept.get("grants", {}).items():
        account.open_grant("credit", name, 100, expires_at, "bought")
    account.plan = kept.get("plan")
    mine.commit()
    lines = [mine.line("e2", at=NOON + DAY, user_id="u") | {"occurred_at": kept.get("line_at", NOON)}]
    mine.commit()
    account.stream_time = kept.get("stream_time", account.stream_time)
    parts = (balances_at(account, NOON), [], claims_of(state, account, 5), ids_of(state, account), Tail(lines, True))
    return AccountOverview(account, "credits.requests[0]", 5, "the beginning", NOON, *parts)


BOOK = meter.book(meter.charge("long", 7, unique=(["user_id"], "9999999d")))


@pytest.mark.parametrize("late", [LAST_INSTANT + 1, 1_795_600_801_000_000, LONG_MAX])
def test_an_account_with_old_times_is_shown(late: int, capsys: pytest.CaptureFixture[str]) -> None:
    overview = old_account(grants={"g1": late, "g2": None}, plan=["pro", 0, late], line_at=late)
    print_account(overview)
    shown = flat(capsys.readouterr().out)
    assert f"plan pro from 1970-01-01T00:00:00Z until {LATE}" in shown
    assert shown.count(LATE) == 4  # the plan's end, the grant's, the claim's, the line's
    assert "never" in shown
    assert as_plain(overview)["plan"]["ends_at"] == late


def test_an_old_stream_time_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    print_account(old_account(stream_time=LONG_MAX))
    assert f"stream time {LATE}" in flat(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("occurred_at", "shown"),
    [
        (LONG_MAX, LATE),
        (1_795_600_801_000_000, LATE),
        (LAST_INSTANT + 1, LATE),
        (LAST_INSTANT, "9999-12-31T23:59:59.999Z"),
        (0, "1970-01-01T00:00:00Z"),
        (-(2**63), "before the year 1"),
    ],
)
def test_a_dead_letter_of_any_time_is_explained(occurred_at: int, shown: str) -> None:
    text = flat(words(BOOK, (meter.request("e1", occurred_at), NOON)))
    assert f"It occurred at {shown}" in text
    assert "not accepted" in text


def test_a_window_that_ends_after_the_last_year_is_explained() -> None:
    book = meter.book(meter.charge("long", 7, unique=(["user_id"], "36500d")))
    first, second = (meter.request(f"e{n}", LAST_INSTANT - 2 + n, user_id="u") for n in (1, 2))
    result: Explained = explained(book, first, second, event_id="e2")
    assert f"until {LATE}" in flat("\n".join(story_in_words(result)))
    assert result.as_plain()["lines"][0]["line"]["window_ends_at"] == LAST_INSTANT - 1 + 36_500 * DAY

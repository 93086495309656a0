"""Whether a book may change prices in force: the refusal with both values, and every reason why a plan isn't enough."""

from __future__ import annotations

from typing import Any

import pytest

from application.errors import ErrorCode, Failed
from application.prices.in_force import check_past
from application.rerating.plan import RerateScope
from schemas.price_book import book_id, read_book
from tests.command import BOOK

NOW = 1_770_000_000_000  # 2026-02-02
DAY = 86_400_000
YEAR_BEGIN = 1_767_225_600_000
CHEAPER = BOOK.replace("credits: 20", "credits: 15")
FEBRUARY_3 = 1_770_076_800_000
TWO = BOOK + "  - version: two\n    effective_from: 2026-02-03T00:00:00Z\n    charges: [{charge: a, credits: 30}]\n"


def plan_of(text: str = CHEAPER, **fields: Any) -> RerateScope:
    plain: dict[str, Any] = {
        "book_id": book_id(text), "log_id": "this log", "start": YEAR_BEGIN, "end": NOW + DAY, "accounts": None,
        "log_ends": {},
    }  # fmt: skip
    return RerateScope(**(plain | fields))


def check(
    text: str,
    plan: RerateScope | None = None,
    at: int = NOW,
    *,
    over: tuple[str, ...] = (BOOK,),
    is_stale: bool = False,
) -> None:
    check_past([read_book(other) for other in over], text, at, "this log", plan, is_stale=is_stale)


def refusal(*arguments: Any, **named: Any) -> list[str]:
    with pytest.raises(Failed) as raised:
        check(*arguments, **named)
    assert raised.value.code is ErrorCode.CONFLICT
    return raised.value.message.splitlines()


@pytest.mark.parametrize("text", [BOOK, "# a comment\n" + BOOK, TWO])
def test_a_book_that_changes_nothing_in_force_needs_no_plan(text: str) -> None:
    check(text)
    check(text, over=())


def test_a_refusal_names_the_line_and_both_values() -> None:
    first, credits_, unique, advice = refusal(CHEAPER.replace("within: 24h", "within: 7d"))
    assert first == "Refused: the book would change prices in force."
    assert credits_.startswith("  line 13: versions[0].charges[1].credits: 20 -> 15: differs from charge 'ip-lookup'")
    assert unique.startswith("  line 15: versions[0].charges[1].unique: ip within 24h -> ip within 7d: differs")
    assert "creditmeter rerate --plan" in advice


def test_a_field_that_was_silent_is_shown_as_none() -> None:
    _, plans, _ = refusal(BOOK.replace("        plans: {enterprise: 15}\n", ""))
    assert "plans: enterprise 15 -> (none): " in plans


def test_partitions_with_equal_books_are_named_once() -> None:
    assert refusal(CHEAPER, over=(BOOK, BOOK)) == refusal(CHEAPER)


def test_a_version_that_has_begun_since_is_in_force() -> None:
    changed = TWO.replace("credits: 30", "credits: 31")
    check(changed, over=(TWO,), at=FEBRUARY_3 - 1)
    assert "would change prices in force" in refusal(changed, over=(TWO,), at=FEBRUARY_3 + 1)[0]


def test_a_plan_that_covers_the_past_is_enough_and_one_day_less_is_not() -> None:
    check(CHEAPER, plan_of())
    heading, reason = refusal(CHEAPER, plan_of(start=YEAR_BEGIN + 1))
    assert heading == "Refused: the re-rating does not cover what the book would change."
    assert "prices would change from 2026-01-01T00:00:00Z to now; it is about" in reason


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"book_id": "0" * 64}, f"it is of another book: {'0' * 64}"),
        ({"log_id": "other"}, "it is of another log"),
        ({"accounts": ("a", "b")}, "it looked at 2 accounts only: leave out --account"),
        ({"accounts": ()}, "it looked at 0 accounts only: leave out --account"),
        ({"end": NOW - 1}, "give a --to that is later than the publication"),
    ],
)
def test_each_reason_alone(fields: dict[str, Any], reason: str) -> None:
    (line,) = refusal(CHEAPER, plan_of(**fields))[1:]
    assert reason in line


def test_every_reason_is_named_at_once() -> None:
    plan = plan_of(book_id="0", log_id="other", accounts=(), end=NOW - 1)
    assert len(refusal(CHEAPER, plan, is_stale=True)) == 6


def test_a_plan_that_was_made_before_another_book_is_stale() -> None:
    assert refusal(CHEAPER, plan_of(), is_stale=True)[1:] == ["  a book was published since it was made: make it again"]


def test_a_plan_may_be_of_what_is_over() -> None:
    """Only the first version changes, and it has ended: the range need not reach until now."""
    text = TWO.replace("credits: 20", "credits: 15")
    check(text, plan_of(text, end=FEBRUARY_3), at=NOW + 9 * DAY, over=(TWO,))
    assert len(refusal(text, plan_of(text, end=FEBRUARY_3 - 1), at=NOW + 9 * DAY, over=(TWO,))) == 2

"""What holds for every history and every other book: the re-rating agrees with rating, and applying it settles it."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metering.records import Kind
from replay.rerating.corrections import Netting
from tests.metering import meter
from tests.metering.meter import DAY, HOUR, Json
from tests.metering.strategies import ZERO, History
from tests.metering.worlds import (
    calm_books,
    calm_histories,
    claim_books,
    claim_histories,
    money_histories,
    price_histories,
)
from tests.replay.rerating.rerated import Books
from tests.sizes import times_size

pytestmark = pytest.mark.slow

some = settings(max_examples=times_size(30), deadline=None, suppress_health_check=[HealthCheck.too_slow])
worlds = st.one_of(calm_histories(), money_histories(), claim_histories(), price_histories())
BEGIN, END = ZERO - 300 * DAY, ZERO + 300 * DAY
starts = st.sampled_from((BEGIN, BEGIN, ZERO, ZERO + 3 * HOUR))
ends = st.sampled_from((END, END, ZERO + 5 * HOUR, ZERO + DAY + 1))
cheap_books = st.lists(
    st.sampled_from(("lookup", "record", "more", "mail", "enrich", "pageview")), min_size=1, unique=True
).map(lambda names: meter.book(*(meter.charge(name, len(names)) for name in names)))
new_books = st.one_of(calm_books, claim_books(), cheap_books)


def told(history: History) -> Books:
    books = Books()
    for step in history:
        if step.command == "price_book":
            books.publish(step.record)
        else:
            books.add(step.command, dict(step.record), step.recorded_at)
    return books


@some
@given(calm_histories())
def test_the_book_of_the_log_changes_nothing(history: History) -> None:
    rerated = told(history).rerate(history[0].record, BEGIN, END)
    assert (rerated.rows, rerated.corrections, rerated.decisions, rerated.after) == ([], [], {}, {})


@some
@given(calm_histories(mix=("request", "request", "grant")), calm_books)
def test_the_difference_is_that_of_rating_with_either_book(history: History, new: Json) -> None:
    """Nothing is refused here, and nothing refunded: so the whole history may be rated anew instead."""
    charged: list[Counter[str]] = []
    for book in (history[0].record, new):
        books = Books(book)
        total: Counter[str] = Counter()
        for step in history[1:]:
            for kind, record in books.add(step.command, dict(step.record), step.recorded_at):
                if kind is Kind.BILLED and record["credits"]:
                    total[record["credit_type"]] += record["credits"]
        charged.append(total)
    money = told(history).rerate(new, BEGIN, END).outcome.money
    assert {name: amount.was for name, amount in money.items() if amount.was} == dict(charged[0])
    assert {name: amount.would_be for name, amount in money.items() if amount.would_be} == dict(charged[1])


@some
@given(
    worlds, new_books, new_books, starts, ends, st.sampled_from(Netting),
    st.sampled_from((2 * DAY, 5 * DAY, 36 * DAY, 100 * DAY)),
)  # fmt: skip
def test_what_is_applied_is_accepted_and_settles_it(
    history: History, new: Json, newer: Json, start: int, end: int, netting: Netting, later: int
) -> None:
    """Twice, with one book and then another. What is left is what was charged too little, and nothing else."""
    books = told(history)
    at = ZERO + later
    for book in (new, newer, new):
        rerated = books.rerate(book, start, end, at=at, netting=netting)
        for caused in books.apply(rerated):
            assert {output.record.get("status") for output in caused if output.kind is not Kind.ALERT} <= {
                "refunded", "applied", "expired",
            }  # fmt: skip
            assert any(output.record.get("status") in ("refunded", "applied") for output in caused), caused
        for moment in (at, at + 40 * DAY):
            again = books.rerate(book, start, end, at=moment, netting=netting)
            assert again.corrections == []
            for name, money in again.outcome.money.items():
                assert money.difference == money.not_collected, (name, money)
        before, after = rerated.outcome.money, again.outcome.money
        for name, money in before.items():
            assert after[name].was == money.was - money.refunds - money.grants

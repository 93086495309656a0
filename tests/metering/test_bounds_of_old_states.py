"""A state that an earlier version wrote, with values that would be refused today: it is opened, and goes on."""

from __future__ import annotations

import json

import pytest

from metering import MemoryStore
from metering.prices import PriceBookError
from metering.store import BOOK_KEY
from tests.metering.meter import DAY, NOON, Json, StoredMeter, book, charge, price_book_record, refusal


def opened(book_mapping: Json) -> StoredMeter:
    """A meter over a store in which a book is in force."""
    mine = StoredMeter()
    mine.store = MemoryStore()
    mine.store.write({BOOK_KEY: price_book_record(book_mapping, NOON)})
    mine.open()
    return mine


LONG = book(charge("long", 7, unique=(["user_id"], "9999999d")))


def test_a_longer_window_in_force_stays_in_force() -> None:
    mine = opened(LONG)
    first, second = mine.line("e1", at=NOON, user_id="u"), mine.line("e2", at=NOON + DAY, user_id="u")
    assert (first["decision"], second["decision"]) == ("charged", "duplicate")
    assert second["window_ends_at"] == NOON + 9_999_999 * DAY  # after the year 9999


def test_it_is_refused_when_it_comes_anew() -> None:
    record = price_book_record(LONG, NOON)
    assert refusal(StoredMeter().apply("price_book", record, NOON)) == "invalid_event: yaml"
    mine = opened(book(charge("short")))
    assert refusal(mine.apply("price_book", record, NOON)) == "invalid_event: yaml"


def test_a_book_with_other_mistakes_is_still_an_error() -> None:
    wrong = json.loads(json.dumps(LONG))
    wrong["versions"][0]["charges"][0]["credits"] = -1
    with pytest.raises(PriceBookError, match="credits"):
        opened(wrong)

"""Pages of dead letters from ClickHouse: filters that are bound, and where the next page begins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from application.dead_letters.listing import BadPlace, LetterFilters, listed_letters
from application.errors import ErrorCode


def row(position: int = 0, **fields: Any) -> dict[str, Any]:
    return {
        "reason": "invalid_event", "field": "ip", "detail": "wrong", "command": "request", "account_id": "acme",
        "id": "e", "index": 2, "producer": None, "size": 99, "recorded_ms": "1767225600000", "source_partition": 3,
        "source_offset": "17", "position": position,
    } | fields  # fmt: skip


class Rows:
    def __init__(self, *rows: dict[str, Any]) -> None:
        self._rows = list(rows)
        self.sql = ""
        self.parameters: Mapping[str, Any] = {}

    def rows(self, sql: str, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
        self.sql, self.parameters = sql, parameters
        return self._rows


def test_a_letter_is_named_by_its_place_and_has_no_original() -> None:
    (letter,) = listed_letters(Rows(row()), LetterFilters(), 10).letters
    assert letter == {
        "place": "3@17/2", "recorded_at": "2026-01-01T00:00:00Z", "reason": "invalid_event", "field": "ip",
        "detail": "wrong", "command": "request", "account_id": "acme", "id": "e", "index": 2, "producer": None,
        "size": 99,
    }  # fmt: skip


def test_only_a_full_page_has_a_next_one_which_begins_behind_its_last_letter() -> None:
    assert listed_letters(Rows(row(0), row(1)), LetterFilters(), 3).next is None
    page = listed_letters(Rows(row(0), row(1)), LetterFilters(), 2)
    assert page.next == "1767225600000.3.17.1"
    rows = Rows()
    listed_letters(rows, LetterFilters(before=page.next), 2)
    assert list(rows.parameters.values()) == [1_767_225_600_000, 3, 17, 1, 2]


def test_filters_are_bound_and_never_in_the_text() -> None:
    rows = Rows()
    listed_letters(rows, LetterFilters("it's", "too_late", "grant", "g'; DROP"), 7)
    assert list(rows.parameters.values()) == ["it's", "too_late", "grant", "g'; DROP", 7]
    assert not any(text in rows.sql for text in ("it's", "too_late", "DROP"))
    listed_letters(rows, LetterFilters(), 7)
    assert "WHERE 1\n" in rows.sql


@pytest.mark.parametrize("before", ["", "1.2.3", "1.2.3.4.5", "a.b.c.d", "1.2.3." + "9" * 30, "1..2.3"])
def test_a_place_that_is_none_is_refused(before: str) -> None:
    with pytest.raises(BadPlace, match="`next` of an earlier list") as raised:
        listed_letters(Rows(), LetterFilters(before=before), 1)
    assert raised.value.code is ErrorCode.INVALID

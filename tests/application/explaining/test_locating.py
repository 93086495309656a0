"""Whose event is meant and from where the log is read, by what ClickHouse answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from application.errors import Failed, Misconfigured
from application.explaining.locating import EventLocation, dead_letters_of, locate, offset_of
from metering.explanation import Claimant
from tests.application.in_memory_world import ListedRows, event, priced_pipeline, send
from tests.application.recorded import RecordedNotices


def row(account_id: str = "acme", offset: int = 5, **fields: Any) -> dict[str, Any]:
    return {"account_id": account_id, "source_partition": 0, "source_offset": offset, "line": 0} | fields


def test_the_first_offset_is_the_least_of_lines_and_dead_letters(tmp_path: Path) -> None:
    rows = ListedRows(billed_events=[row(offset=9), row(offset=7)], dead_letters=[row(offset=3)])
    assert locate(priced_pipeline(tmp_path, rows), "e", None) == EventLocation("acme", rows.rows["billed_events"], 3)


def test_long_numbers_that_come_as_strings_are_numbers(tmp_path: Path) -> None:
    line = row(offset=5, credits=20) | {"source_offset": "5", "credits": "20", "balance_after": None}
    location = locate(priced_pipeline(tmp_path, ListedRows(billed_events=[line])), "e", "acme")
    assert location is not None
    assert location.first == 5
    assert location.rows == [line | {"source_offset": 5, "credits": 20}]


def test_the_lines_of_an_offset_come_in_order() -> None:
    location = EventLocation("acme", [row(line=1), row(offset=6), row(line=0)], 5)
    assert location.lines(5) == [row(line=0), row(line=1)]
    assert EventLocation("acme", None, None).lines(5) == []


def test_an_id_of_several_accounts_needs_one_of_them_named(tmp_path: Path) -> None:
    rows = ListedRows(billed_events=[row("b")], dead_letters=[row("a"), row("b")])
    pipeline = priced_pipeline(tmp_path, rows)
    with pytest.raises(Misconfigured, match="2 accounts have an event 'e'") as raised:
        locate(pipeline, "e", None)
    assert raised.value.mistakes == ("a", "b")
    location = locate(pipeline, "e", "b")
    assert location is not None
    assert location.account_id == "b"
    assert all("account_id = 'b'" in sql for sql in rows.asked[-2:])


def test_what_nobody_has_has_no_account_unless_it_is_given(tmp_path: Path) -> None:
    pipeline = priced_pipeline(tmp_path, ListedRows())
    assert locate(pipeline, "e", None) is None
    assert locate(pipeline, "e", "acme") == EventLocation("acme", [], None)


def test_without_clickhouse_a_given_account_is_enough_and_it_is_remarked(tmp_path: Path) -> None:
    notices = RecordedNotices()
    pipeline = priced_pipeline(tmp_path, notices=notices)
    assert locate(pipeline, "e", "acme") == EventLocation("acme", None, None)
    assert notices.remarks[-1].startswith("ClickHouse cannot be asked, so the log is read from further back: no loader")
    with pytest.raises(Failed, match="--account"):
        locate(pipeline, "e", None)
    assert offset_of(pipeline, "acme", Claimant("e", 1, None)) is None


def test_dead_letters_are_those_of_request_events_with_that_id(tmp_path: Path) -> None:
    pipeline = priced_pipeline(tmp_path)
    send(pipeline, event("e", ip="nowhere"), event("e", "other", ip="nowhere"), event("f", ip="nowhere"))
    assert [letter.record["account_id"] for letter in dead_letters_of(pipeline, "e", None)] == ["acme", "other"]
    assert [letter.record["account_id"] for letter in dead_letters_of(pipeline, "e", "other")] == ["other"]


def test_the_offset_of_an_event_that_paid(tmp_path: Path) -> None:
    rows = ListedRows(billed_events=[{"source_offset": "12"}])
    pipeline = priced_pipeline(tmp_path, rows)
    assert offset_of(pipeline, "it's", Claimant("e", 1_700_000_000_000, None)) == 12
    assert "account_id = 'it\\'s'" in rows.asked[-1]
    assert "1700000000000" in rows.asked[-1], "another event of that id did not pay"

"""What became of an event that is asked for: its story, its dead letters, a bill that differs, or nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from application.errors import ErrorCode, Failed
from application.explaining.explain import BillMismatch, SetAside, explain, raise_on_mismatch
from application.explaining.explained import Explained
from metering.records import Decision
from tests.application.in_memory_world import ListedRows, event, priced_pipeline, send


def test_without_clickhouse_and_without_an_account_the_account_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(Failed, match="say whose event it is: --account") as raised:
        explain(priced_pipeline(tmp_path), "e-1", None)
    assert raised.value.code is ErrorCode.UNAVAILABLE


def test_an_event_that_is_only_a_dead_letter_comes_with_its_letters_in_order_of_time(tmp_path: Path) -> None:
    pipeline = priced_pipeline(tmp_path, ListedRows(), partitions=2)
    send(pipeline, event("e-1", "other", ip="nowhere"))
    send(pipeline, event("e-1", ip="nowhere"), event("e-2", ip="nowhere"), event("e-1", ip="elsewhere"))
    set_aside = explain(pipeline, "e-1", None)
    assert isinstance(set_aside, SetAside)
    assert [letter.record["account_id"] for letter in set_aside.letters] == ["other", "acme", "acme"]
    assert set_aside.partitions == 2
    (own,) = [explain(pipeline, "e-2", "acme")]
    assert isinstance(own, Explained), "with its account the log itself is read, and says what was wrong"


def test_an_event_of_another_account_is_not_found_under_this_one(tmp_path: Path) -> None:
    pipeline = priced_pipeline(tmp_path)
    send(pipeline, event("e-1", "other"))
    with pytest.raises(Failed, match="There is no event e-1 of account acme") as raised:
        explain(pipeline, "e-1", "acme")
    assert raised.value.code is ErrorCode.NOT_FOUND
    assert isinstance(explain(pipeline, "e-1", "other"), Explained)


def test_the_event_that_paid_is_found_without_clickhouse(tmp_path: Path) -> None:
    pipeline = priced_pipeline(tmp_path)
    send(pipeline, event("paid"), event("free"))
    explained = explain(pipeline, "free", "acme")
    assert isinstance(explained, Explained)
    (line,) = explained.subject.explanation.lines
    assert line.line["decision"] == Decision.DUPLICATE
    assert str(explained.owners["paid"]) == "0@1/0"


def test_rows_of_an_event_that_the_log_does_not_have_are_a_mismatch(tmp_path: Path) -> None:
    row = {"account_id": "acme", "source_partition": 0, "source_offset": 0, "line": 0}
    pipeline = priced_pipeline(tmp_path, ListedRows(billed_events=[row]))
    send(pipeline, event("another"))
    with pytest.raises(BillMismatch, match="it has lines of input offset 0, where the log has no such event") as raised:
        explain(pipeline, "e-1", None)
    assert raised.value.code is ErrorCode.MISMATCH
    assert len(raised.value.differences) == 1


def test_only_differences_are_raised() -> None:
    raise_on_mismatch(())
    with pytest.raises(BillMismatch, match="creditmeter audit") as raised:
        raise_on_mismatch(("one", "two"))
    assert raised.value.message.splitlines()[1:3] == ["  one", "  two"]

"""Whether the bill agrees with an explanation: the billed topic and ClickHouse, also where they have nothing yet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from application.explaining.explain import explain
from application.explaining.explained import Agreement, Comparison, Explained, owners_of, stray_rows
from application.explaining.locating import EventLocation
from application.pipeline import Pipeline
from replay.event_story import Story
from tests.application.explaining.replayed import BOOK, IP, explained
from tests.application.in_memory_world import ListedRows, event, memory_of, priced_pipeline, send
from tests.metering import meter
from tests.metering.meter import NOON


def comparison(pipeline: Pipeline, event_id: str = "e") -> Comparison:
    result = explain(pipeline, event_id, "acme")
    assert isinstance(result, Explained)
    return result.comparison


def row(**fields: Any) -> dict[str, Any]:
    return {"account_id": "acme", "source_partition": 0, "source_offset": 1, "line": 0, "credits": 20} | fields


def test_rows_that_come_from_no_event_are_named() -> None:
    story = explained(BOOK, meter.request("e1", NOON, **IP), meter.request("e1", NOON, **IP)).story
    line = {"source_offset": 1, "line": 0}
    assert stray_rows(story, EventLocation(meter.ME, [line], 1)) == []
    assert stray_rows(story, EventLocation(meter.ME, None, None)) == []
    (said,) = stray_rows(story, EventLocation(meter.ME, [line, line | {"source_offset": 2}], 1))
    assert "it has lines of input offset 2, where the log has no such event" in said, "the repeat made none"


def test_a_bill_that_says_the_same_agrees(tmp_path: Path) -> None:
    pipeline = priced_pipeline(tmp_path, ListedRows(billed_events=[row()]))
    send(pipeline, event("e"))
    assert comparison(pipeline) == Comparison(Agreement.AGREES, Agreement.AGREES)


def test_what_was_not_asked_or_is_not_loaded_yet_is_no_difference(tmp_path: Path) -> None:
    without_store, without_rows = priced_pipeline(tmp_path / "a"), priced_pipeline(tmp_path / "b", ListedRows())
    send(without_store, event("e"))
    send(without_rows, event("e"))
    assert comparison(without_store) == Comparison(Agreement.AGREES, Agreement.NOT_ASKED)
    assert comparison(without_rows) == Comparison(Agreement.AGREES, Agreement.NOT_YET)


def test_a_row_of_another_amount_differs_and_says_how(tmp_path: Path) -> None:
    pipeline = priced_pipeline(tmp_path, ListedRows(billed_events=[row(credits=19)]))
    send(pipeline, event("e"))
    result = comparison(pipeline)
    assert (result.billed, result.clickhouse) == (Agreement.AGREES, Agreement.DIFFERS)
    assert result.differences == ("ClickHouse: line 0: credits is 19, and explained 20",)


def test_an_event_that_was_set_aside_has_no_bill_but_rows_of_it_are_a_difference(tmp_path: Path) -> None:
    rows = ListedRows()
    pipeline = priced_pipeline(tmp_path, rows)
    send(pipeline, event("e", ip="nowhere"))
    assert comparison(pipeline) == Comparison(Agreement.NOT_BILLED, Agreement.NOT_BILLED)
    rows.rows["billed_events"] = [row()]
    assert comparison(pipeline).clickhouse is Agreement.DIFFERS


def test_without_a_worker_nothing_is_billed_yet(tmp_path: Path) -> None:
    pipeline = priced_pipeline(tmp_path)
    memory_of(pipeline).after_sending = lambda: None
    send(pipeline, event("e"))
    assert comparison(pipeline).billed is Agreement.NOT_YET


def test_lines_that_retention_deleted_differ_from_lines_that_are_missing(tmp_path: Path) -> None:
    pipeline = priced_pipeline(tmp_path)
    send(pipeline, event("e"))
    broker, billed = memory_of(pipeline).broker, pipeline.names.billed
    send(pipeline, event("later"))
    broker.expire(billed, 0, 1)
    assert comparison(pipeline).billed is Agreement.DELETED
    assert comparison(pipeline, "later").billed is Agreement.AGREES
    for message in broker.records(billed, 0):
        broker.append(billed, 0, message.value, headers=broker.headers(billed, 0, message.offset))
    assert comparison(pipeline, "later").billed is Agreement.AGREES, "a record that came twice is one"


def test_only_owners_that_the_log_still_has_are_named() -> None:
    free = explained(BOOK, meter.request("e0", NOON, **IP), meter.request("e1", NOON, **IP))
    assert list(free.owners) == ["e0"]
    assert owners_of(free.story, lambda _owner, _place: None) == {}
    assert owners_of(Story("e", meter.ME, "t", ""), lambda _owner, place: place) == {}


def test_a_story_about_nothing_has_no_subject() -> None:
    nothing = Explained(Story("e", meter.ME, "t", ""), 0, Comparison(Agreement.AGREES, Agreement.AGREES))
    with pytest.raises(RuntimeError, match="'e' has no story"):
        _ = nothing.subject


def test_it_is_plain_data_for_programs() -> None:
    result = explained(
        BOOK, meter.request("e0", NOON, **IP), meter.request("e1", NOON, **IP), meter.request("e1", NOON, **IP),
        meter.refund("r", "e1", NOON),
    )  # fmt: skip
    plain = result.as_plain()
    assert (plain["became"], plain["credits"], plain["place"]["name"]) == ("accepted", {}, "0@2/0")
    assert plain["owners"]["e0"]["name"] == "0@1/0"
    assert [arrival["became"] for arrival in plain["other_arrivals"]] == ["repeated"]
    assert [(refund["refund_id"], refund["became"]) for refund in plain["refunds"]] == [("r", "rejected")]
    assert (plain["now"]["charged"], plain["now"]["credits"], plain["now"]["dead_letter"]) == (
        True,
        {"credit": 20},
        None,
    )
    set_aside = explained(BOOK, meter.request("e1", NOON, ip="nowhere")).as_plain()
    assert (set_aside["became"], set_aside["now"]["charged"]) == ("dead_letter", False)
    assert set_aside["now"]["dead_letter"] == "invalid_event"

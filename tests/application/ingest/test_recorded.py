"""Rows of the store as decisions and holds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from application.commands.holds import HoldOrder, place_hold
from application.errors import ErrorCode, Failed
from application.in_memory import in_memory_pipeline
from application.ingest.recorded import RecordedDecisions
from application.usage.store import Row, SinkUsage
from sinks.embedded import EmbeddedSink
from streams import clock
from tests.stores import with_schema


@pytest.fixture
def sink(tmp_path: Path) -> Iterator[EmbeddedSink]:
    sink = EmbeddedSink(with_schema(tmp_path / "clickhouse"))
    yield sink
    sink.close()


def test_holds_are_as_last_loaded(sink: EmbeddedSink, tmp_path: Path) -> None:
    pipeline = in_memory_pipeline(tmp_path, sink=sink)
    recorded = RecordedDecisions(SinkUsage(sink), pipeline.names)
    now = clock.now_ms()
    order = HoldOrder("acme", {"credit": 5}, now, now + 60_000, hold_id="h'1", reason="bulk")
    place_hold(pipeline, order, 30)
    hold = recorded.hold("acme", "h'1")
    assert hold is not None
    assert {name: hold[name] for name in ("status", "credits", "charged", "expires_at", "reason")} == {
        "status": "held", "credits": {"credit": 5}, "charged": {}, "expires_at": now + 60_000, "reason": "bulk",
    }  # fmt: skip
    assert recorded.hold("acme", "other") is None
    assert recorded.answers()
    assert [recorded.is_loaded(0, offset) for offset in (0, 1)] == [True, False]


class NoAnswer:
    def rows(self, _sql: str, _parameters: object) -> list[Row]:
        raise Failed("away", ErrorCode.UNAVAILABLE)


def test_a_store_that_is_away_is_said(tmp_path: Path) -> None:
    recorded = RecordedDecisions(NoAnswer(), in_memory_pipeline(tmp_path).names)
    with pytest.raises(Failed) as raised:
        recorded.answers()
    assert raised.value.code is ErrorCode.UNAVAILABLE

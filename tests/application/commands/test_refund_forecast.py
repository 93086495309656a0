"""A forecast says what the refund then does, request after request, and never reads the log."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest

from application.commands import refund_forecast
from application.commands.refund_forecast import forecast_refunds
from application.commands.refunds import RefundRequests, make_refunds
from application.commands.submitting import submit_and_wait
from application.errors import Failed
from application.in_memory import in_memory_pipeline
from application.pipeline import Pipeline
from application.prices.publishing import publish_book
from application.usage.as_of import Positions
from application.usage.cursors import CursorKeys
from application.usage.history import UsageReader
from application.usage.store import SinkUsage
from metering.records import Command
from sinks.embedded import EmbeddedSink
from streams import clock
from tests.application.usage.conftest import PATIENT
from tests.server.api.reading_world import BOOK
from tests.sizes import times_size
from tests.stores import with_schema

pytestmark = pytest.mark.slow

COMPARED = ("status", "reject_reason", "line", "charge", "credits", "credit_type", "remaining_charge")


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Pipeline, UsageReader]]:
    folder = tmp_path_factory.mktemp("forecast")
    sink, now = EmbeddedSink(with_schema(folder / "clickhouse")), clock.now_ms()
    try:
        pipeline = in_memory_pipeline(folder, sink=sink)
        publish_book(pipeline, BOOK, now)
        for number in range(8):
            submit_and_wait(pipeline, Command.REQUEST, [_event(number, now)], 30)
        store = SinkUsage(sink, PATIENT)
        reader = UsageReader(store, Positions(store, pipeline.names, pipeline.partitions), CursorKeys([b"k" * 32]))
        yield pipeline, reader
    finally:
        sink.close()


def _event(number: int, now: int) -> dict[str, Any]:
    return {
        "event_id": f"e-{number}", "account_id": "acme", "occurred_at": now - 1_000 * number, "endpoint": "/v1/people",
        "outcome": "processed", "channel": "js" if number % 2 else "api", "ip": f"10.0.0.{number % 4}",
        "quantities": {"results": number},
    }  # fmt: skip


def wanted(number: int, event_id: str, **fields: Any) -> RefundRequests:
    record = {
        "refund_id": f"r-{number}", "account_id": "acme", "event_id": event_id, "charge": None, "credits": None,
        "reason": "", "requested_at": clock.now_ms(), **fields,
    }  # fmt: skip
    return RefundRequests("acme", [record])


def told(outputs: list[dict[str, Any]]) -> list[list[Any]]:
    return [[output.get(name) for name in COMPARED] for output in outputs]


def test_it_says_what_then_happens(loaded: tuple[Pipeline, UsageReader]) -> None:
    pipeline, reader = loaded
    rng = random.Random(3)
    statuses = set()
    for number in range(times_size(20)):
        charge, credits_ = rng.choice([None, "lookup", "page", "mail", "nothing"]), rng.choice([None, 1, 3, 20, 500])
        request = wanted(number, f"e-{rng.randrange(8)}", charge=charge, credits=credits_)
        (forecast,) = forecast_refunds(pipeline, reader, request)
        (made,) = make_refunds(pipeline, request, 30)
        assert told(forecast.outputs) == told(made.outputs), request
        statuses |= {str(output["reject_reason"] or output["status"]) for output in made.outputs}
    assert statuses == {"refunded", "nothing_charged", "charge_required", "exceeds_charge"}


def test_an_id_that_was_used_is_a_repeat(loaded: tuple[Pipeline, UsageReader]) -> None:
    pipeline, reader = loaded
    make_refunds(pipeline, wanted(1_000, "e-1", charge="lookup", credits=500), 30)
    (again,) = forecast_refunds(pipeline, reader, wanted(1_000, "e-1"))
    (other,) = forecast_refunds(pipeline, reader, wanted(1_000, "e-2"))
    assert (again.is_repeated, again.outputs, again.is_other_content, other.is_other_content) == (True, [], False, True)


def test_an_event_behind_the_window_can_no_longer_be_refunded(loaded: tuple[Pipeline, UsageReader]) -> None:
    pipeline, reader = loaded
    (late,) = forecast_refunds(pipeline, reader, wanted(2_000, "e-7"), accept_window=1)
    assert late.outputs[0]["reject_reason"] == "unknown_charge"


def test_what_is_not_loaded_is_said(loaded: tuple[Pipeline, UsageReader]) -> None:
    pipeline, reader = loaded
    with pytest.raises(Failed, match="no line of the event 'none' is loaded"):
        forecast_refunds(pipeline, reader, wanted(3_000, "none"))


def test_the_log_is_not_read() -> None:
    """It imports nothing that replays."""
    assert not [name for name in vars(refund_forecast) if "replay" in name]

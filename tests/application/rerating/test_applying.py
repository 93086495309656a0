"""Corrections that are sent: how many of each kind, and which were refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from application.pipeline import Pipeline
from application.rerating import applying
from application.rerating.applying import SentCorrections, send_corrections
from streams import clock
from streams.log.results import NotDecided
from tests.application.in_memory_world import event, memory_of, priced_pipeline, send


def refund(refund_id: str, credits_: int, event_id: str = "e") -> dict[str, Any]:
    record = {
        "refund_id": refund_id, "account_id": "acme", "event_id": event_id, "charge": "ip-lookup", "credits": credits_,
        "reason": "", "requested_at": clock.now_ms(),
    }  # fmt: skip
    return {"command": "refund", "record": record}


def grant(grant_id: str, account_id: str = "acme", **fields: Any) -> dict[str, Any]:
    record = {
        "grant_id": grant_id, "account_id": account_id, "credit_type": "credit", "credits": 5,
        "granted_at": clock.now_ms(), "expires_at": None, "reason": "",
    }  # fmt: skip
    return {"command": "grant", "record": record | fields}


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    """Has charged event `e` 20 credits."""
    pipeline = priced_pipeline(tmp_path, partitions=2)
    send(pipeline, event("e"))
    return pipeline


def test_each_kind_is_counted_and_the_first_refusal_is_named(pipeline: Pipeline) -> None:
    corrections = [refund("r1", 15), refund("r2", 6), grant("g1"), grant("g2", "other"), grant("late", granted_at=1)]
    sent = send_corrections(pipeline, iter(corrections), 10)
    assert (sent.refunds, sent.grants, sent.refused) == (2, 3, 2)
    assert sent.first_refused in {"r2", "late"}


def test_those_that_were_sent_before_are_repeats_and_not_refused(pipeline: Pipeline) -> None:
    for _ in range(2):
        assert send_corrections(pipeline, [refund("r1", 15), grant("g1")], 10) == SentCorrections(1, 1)


def test_refusals_are_found_however_many_are_looked_up_at_once(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(applying, "_LOOKED_UP_AT_ONCE", 2)
    sent = send_corrections(pipeline, [refund(f"r{number}", 9) for number in range(7)], 10)
    assert (sent.refunds, sent.refused, sent.first_refused) == (7, 5, "r2")


def test_none_is_sent_and_nothing_waited_for_where_there_is_none(pipeline: Pipeline) -> None:
    assert send_corrections(pipeline, [], 0) == SentCorrections()


def test_without_a_worker_they_are_sent_and_not_decided(pipeline: Pipeline) -> None:
    memory_of(pipeline).after_sending = lambda: None
    ends = sum(pipeline.input_log.bounds(partition)[1] for partition in range(2))
    with pytest.raises(NotDecided):
        send_corrections(pipeline, [refund("r1", 15)], 0.1)
    assert sum(pipeline.input_log.bounds(partition)[1] for partition in range(2)) == ends + 1

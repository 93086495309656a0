"""A hold explained as data, and holds that are nowhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from application.commands.account_settings import SettingsChange, change_settings
from application.commands.grants import GrantOrder, grant_credits
from application.commands.holds import HoldOrder, ReleaseOrder, place_hold, release_hold
from application.errors import ErrorCode, Failed
from application.explaining.holds import explain_hold
from application.in_memory import in_memory_pipeline
from streams import clock

HOUR = 3_600_000


def test_a_rejected_and_a_released_one_as_data(tmp_path: Path) -> None:
    pipeline, now = in_memory_pipeline(tmp_path, partitions=1), clock.now_ms()
    change_settings(pipeline, "acme", SettingsChange(on_empty="reject"), None, 10)
    grant_credits(pipeline, GrantOrder("acme", "credit", 100, now), 10)
    place_hold(pipeline, HoldOrder("acme", {"credit": 60}, now, now + HOUR, "h-1"), 10)
    place_hold(pipeline, HoldOrder("acme", {"credit": 41}, now, now + HOUR, "h-2"), 10)
    release_hold(pipeline, ReleaseOrder("acme", "h-1", now, "r-1"), 10)
    rejected = json.loads(json.dumps(explain_hold(pipeline, "h-2", "acme").as_plain()))
    (arrival,) = rejected["arrivals"]
    assert (arrival["became"], arrival["on_empty"], arrival["open_holds"]) == ("rejected", "reject", 1)
    assert arrival["asked"] == [{"credit_type": "credit", "asked": 41, "balance": 100, "held": 60, "available": 40}]
    assert arrival["place"]["name"] == "0@3"
    released = explain_hold(pipeline, "h-1", "acme").as_plain()
    assert [(change["status"], change["event_id"], change["place"]["offset"]) for change in released["changes"]] == [
        ("held", None, 2), ("released", "r-1", 4),
    ]  # fmt: skip


def test_one_that_never_was(tmp_path: Path) -> None:
    pipeline = in_memory_pipeline(tmp_path)
    with pytest.raises(Failed, match="There is no hold never of account acme") as raised:
        explain_hold(pipeline, "never", "acme")
    assert raised.value.code is ErrorCode.NOT_FOUND
    with pytest.raises(Failed, match="say whose hold it is: --account"):
        explain_hold(pipeline, "never", None)

"""Commands are sent in order, and the outputs of each are told from those of the others."""

from typing import Any

import pytest

from application.commands.submitting import submit_and_wait
from application.in_memory import in_memory_pipeline
from application.pipeline import Pipeline
from metering.records import Command, Kind
from streams.log.memory_connections import MemoryConnections
from streams.log.results import NotDecided
from tests.application.recorded import RecordedNotices

AT = 1_767_225_600_000


def grant(grant_id: str, account_id: str = "acme", **fields: Any) -> dict[str, Any]:
    record = {
        "grant_id": grant_id, "account_id": account_id, "credit_type": "credit", "credits": 5, "granted_at": AT,
        "expires_at": None, "reason": "",
    }  # fmt: skip
    return record | fields


def pipeline_in_memory(notices: RecordedNotices | None = None) -> Pipeline:
    return in_memory_pipeline(notices=notices)


def test_each_command_gets_its_own_outputs() -> None:
    records = [grant("one"), grant("two", "other"), grant("one"), grant("three", credits=7)]
    decided = submit_and_wait(pipeline_in_memory(), Command.GRANT, records, 10)
    assert [(command.own_id, [out["balance_after"] for out in command.of(Kind.GRANT)]) for command in decided] == [
        ("one", [5]), ("two", [5]), ("one", []), ("three", [12]),
    ]  # fmt: skip
    assert len({command.place for command in decided}) == 4
    assert not any(command.is_set_aside for command in decided)


def test_a_command_that_is_set_aside_shows_its_dead_letter_without_the_original() -> None:
    (decided,) = submit_and_wait(pipeline_in_memory(), Command.GRANT, [grant("late", granted_at=2**62)], 10)
    assert decided.is_set_aside
    (letter,) = decided.of(Kind.DEAD_LETTER)
    assert "original" not in letter
    assert decided.as_json()["id"] == "late"


def test_without_a_worker_the_place_in_the_log_is_named() -> None:
    notices = RecordedNotices()
    pipeline = pipeline_in_memory(notices)
    assert isinstance(pipeline.connections, MemoryConnections)
    pipeline.connections.after_sending = lambda: None
    with pytest.raises(NotDecided, match=r"memory.*\[[01]\]@0"):
        submit_and_wait(pipeline, Command.GRANT, [grant("waiting")], 0.1)
    assert "sending grant waiting" in notices.remarks

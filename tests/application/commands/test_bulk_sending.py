"""The commands of a file in the log: in the file's order, and there when `finish` returns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from application.commands.bulk_sending import BulkSender
from application.in_memory import in_memory_pipeline
from application.input.ndjson import InputCommand
from application.pipeline import Pipeline
from metering.records import Command
from schemas.errors import Unencodable
from streams import clock
from tests.application.in_memory_world import event, memory_of


def grant(grant_id: str) -> dict[str, Any]:
    return {
        "grant_id": grant_id, "account_id": "acme", "credit_type": "credit", "credits": 1,
        "granted_at": clock.now_ms(), "expires_at": None, "reason": "",
    }  # fmt: skip


def ids_in(pipeline: Pipeline) -> list[str]:
    ids: list[str] = []
    for message in pipeline.input_log.read(0, *pipeline.input_log.bounds(0)):
        name, record = pipeline.codec.decode(message.value)
        ids += [own["event_id"] for own in record["events"]] if name == "RequestBatch" else [record["grant_id"]]
    return ids


def test_an_accounts_commands_of_different_kinds_keep_the_order_of_the_file(tmp_path: Path) -> None:
    pipeline = in_memory_pipeline(tmp_path, partitions=1)
    commands = [(Command.REQUEST, event("e1")), (Command.GRANT, grant("g1")), (Command.REQUEST, event("e2"))]
    with BulkSender.opened(pipeline) as sender:
        for number, (name, record) in enumerate(commands, 1):
            sender.send(InputCommand(number, name, record, 0))
        assert ids_in(pipeline) == []
        sender.finish()
        assert ids_in(pipeline) == ["e1", "g1", "e2"]


def test_the_log_says_that_emit_sent_it_and_from_where(tmp_path: Path) -> None:
    pipeline = in_memory_pipeline(tmp_path, partitions=1)
    with BulkSender.opened(pipeline) as sender:
        sender.send(InputCommand(1, Command.REQUEST, event("e1"), 0))
    (message,) = pipeline.input_log.read(0, 0, 1)
    assert message.producer is not None
    assert message.producer.startswith("emit@")


def test_missing_topics_are_made_before_anything_is_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = in_memory_pipeline(tmp_path, partitions=1)
    made: list[object] = []
    monkeypatch.setattr(memory_of(pipeline), "ensure_topics", made.append)
    with BulkSender.opened(pipeline):
        assert len(made) == 1


def test_a_record_that_no_schema_takes_is_refused(tmp_path: Path) -> None:
    pipeline = in_memory_pipeline(tmp_path, partitions=1)
    with BulkSender.opened(pipeline) as sender, pytest.raises(Unencodable, match="credits"):
        sender.send(InputCommand(1, Command.GRANT, grant("g") | {"credits": "many"}, 0))
    assert ids_in(pipeline) == []

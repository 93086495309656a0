"""The commands of a file in the log, in its order; and what became of them: repeats, and others under a known id."""

from pathlib import Path
from typing import Any

import pytest

from application.commands.bulk_sending import BulkDecisions, BulkSender, ReusedId
from application.in_memory import in_memory_pipeline
from application.input.ndjson import InputCommand
from application.pipeline import Pipeline
from metering.records import Command
from schemas.errors import Unencodable
from streams import clock
from streams.log.place import Place
from tests.application.in_memory_world import memory_of


def event(event_id: str, **fields: Any) -> InputCommand:
    record = {
        "event_id": event_id, "account_id": "acme", "occurred_at": AT, "endpoint": "/v1/x", "channel": "api",
        "outcome": "processed",
    }  # fmt: skip
    return InputCommand(1, Command.REQUEST, record | fields, 0)


AT = clock.now_ms() - 1_000


def sent(pipeline: Pipeline, *commands: InputCommand) -> BulkDecisions:
    with BulkSender.opened(pipeline) as sender:
        for command in commands:
            sender.send(command)
        sender.finish()
        return sender.decisions(10)


def test_each_command_is_counted_once(tmp_path: Path) -> None:
    pipeline = in_memory_pipeline(tmp_path, partitions=1)
    first = sent(pipeline, event("a"), event("b"), event("c", ip="nowhere"))
    assert (first.accepted, first.repeated, first.other_content, first.set_aside) == (2, 0, 0, 1)
    grant = {
        "grant_id": "b", "account_id": "acme", "credit_type": "credit", "credits": 5, "granted_at": AT,
        "expires_at": None, "reason": "",
    }  # fmt: skip
    again = sent(pipeline, event("a"), event("b", endpoint="/v1/y"), InputCommand(3, Command.GRANT, grant, 0))
    assert (again.sent, again.accepted, again.repeated, again.other_content) == (3, 1, 2, 1)
    assert again.reused == [ReusedId("request", "b", Place(0, 1, 1), Place(0, 0, 1))]


def test_only_the_first_reused_ids_are_kept(tmp_path: Path) -> None:
    pipeline = in_memory_pipeline(tmp_path)
    events = [event(f"e{n}", account_id=f"a{n}") for n in range(9)]
    sent(pipeline, *events)
    decisions = sent(pipeline, *(event(f"e{n}", account_id=f"a{n}", channel="js") for n in range(9)))
    assert (decisions.other_content, len(decisions.reused), decisions.accepted) == (9, 5, 0)


def test_nothing_sent_is_nothing_to_wait_for(tmp_path: Path) -> None:
    assert sent(in_memory_pipeline(tmp_path)) == BulkDecisions()


def grant(grant_id: str, **fields: Any) -> InputCommand:
    record = {
        "grant_id": grant_id, "account_id": "acme", "credit_type": "credit", "credits": 1, "granted_at": AT,
        "expires_at": None, "reason": "",
    }  # fmt: skip
    return InputCommand(1, Command.GRANT, record | fields, 0)


def ids_in(pipeline: Pipeline) -> list[str]:
    ids: list[str] = []
    for message in pipeline.input_log.read(0, *pipeline.input_log.bounds(0)):
        name, record = pipeline.codec.decode(message.value)
        ids += [own["event_id"] for own in record["events"]] if name == "RequestBatch" else [record["grant_id"]]
    return ids


def test_an_accounts_commands_of_different_kinds_keep_the_order_of_the_file(tmp_path: Path) -> None:
    pipeline = in_memory_pipeline(tmp_path, partitions=1)
    with BulkSender.opened(pipeline) as sender:
        for command in (event("e1"), grant("g1"), event("e2")):
            sender.send(command)
        assert ids_in(pipeline) == []
        sender.finish()
        assert ids_in(pipeline) == ["e1", "g1", "e2"]


def test_the_log_says_that_emit_sent_it(tmp_path: Path) -> None:
    pipeline = in_memory_pipeline(tmp_path, partitions=1)
    sent(pipeline, event("e1"))
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
        sender.send(grant("g", credits="many"))
    assert ids_in(pipeline) == []

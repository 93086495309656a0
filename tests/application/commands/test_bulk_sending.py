"""What became of a file's commands: repeats, and others under a known id, told from the answers."""

from pathlib import Path
from typing import Any

from application.commands.bulk_sending import BulkDecisions, BulkSender, ReusedId
from application.in_memory import in_memory_pipeline
from application.input.ndjson import InputCommand
from application.pipeline import Pipeline
from metering.records import Command
from streams import clock
from streams.log.place import Place


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

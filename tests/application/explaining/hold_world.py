"""An account with holds in a pipeline in memory, at a time that the test sets; and what is explained of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from application.commands.account_settings import SettingsChange, change_settings
from application.commands.bulk_sending import BulkSender
from application.commands.grants import GrantOrder, grant_credits
from application.commands.holds import HoldOrder, place_hold
from application.explaining.explain import explain
from application.explaining.explained import Explained
from application.explaining.hold_sentences import hold_in_words
from application.explaining.holds import ExplainedHold, explain_hold
from application.explaining.sentences import story_in_words
from application.in_memory import in_memory_pipeline
from application.input.ndjson import InputCommand
from application.pipeline import Pipeline
from application.prices.publishing import publish_book
from metering.records import Command
from streams import clock
from tests.application.contract import BOOK

HOUR = 3_600_000


class World:
    """A pipeline in memory at the time `now`; the account `acme` rejects, and has 100 credits."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = clock.now_ms()
        monkeypatch.setattr(clock, "now_ms", lambda: self.now)
        self.pipeline: Pipeline = in_memory_pipeline(folder, partitions=1)
        publish_book(self.pipeline, BOOK, self.now - HOUR)
        change_settings(self.pipeline, "acme", SettingsChange(on_empty="reject"), None, 10)
        grant_credits(self.pipeline, GrantOrder("acme", "credit", 100, self.now), 10)

    def hold(self, hold_id: str, credits_: int, length: int = HOUR, reason: str = "") -> None:
        place_hold(
            self.pipeline, HoldOrder("acme", {"credit": credits_}, self.now, self.now + length, hold_id, reason), 10
        )

    def event(self, event_id: str, **fields: Any) -> None:
        record = {
            "event_id": event_id, "account_id": "acme", "occurred_at": self.now, "endpoint": "/v1/ip-lookup",
            "channel": "api", "outcome": "processed", "ip": "203.0.113.7",
        } | fields  # fmt: skip
        with BulkSender.opened(self.pipeline) as sender:
            sender.send(InputCommand(1, Command.REQUEST, record, 0))

    def explained(self, hold_id: str, later: int = 0) -> ExplainedHold:
        explained = explain_hold(self.pipeline, hold_id, "acme")
        assert json.loads(json.dumps(explained.as_plain(), default=str))["hold_id"] == hold_id
        return ExplainedHold(explained.story, explained.stop, self.now + later)

    def words(self, hold_id: str, later: int = 0) -> str:
        return " ".join(" ".join(hold_in_words(self.explained(hold_id, later))).split())

    def event_in_words(self, event_id: str) -> str:
        explained = explain(self.pipeline, event_id, "acme")
        assert isinstance(explained, Explained)
        return " ".join(" ".join(story_in_words(explained)).split())

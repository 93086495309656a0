"""What is said of a hold: why it was held or rejected, what drew on it, how it ended."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from application.commands.account_settings import SettingsChange, change_settings
from application.commands.bulk_sending import BulkSender
from application.commands.grants import GrantOrder, grant_credits
from application.commands.holds import HoldOrder, ReleaseOrder, place_hold, release_hold
from application.errors import ErrorCode, Failed
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
        told = explain_hold(self.pipeline, hold_id, "acme")
        assert json.loads(json.dumps(told.as_plain(), default=str))["hold_id"] == hold_id
        return ExplainedHold(told.story, told.stop, self.now + later)

    def words(self, hold_id: str, later: int = 0) -> str:
        return " ".join(" ".join(hold_in_words(self.explained(hold_id, later))).split())

    def event_in_words(self, event_id: str) -> str:
        told = explain(self.pipeline, event_id, "acme")
        assert isinstance(told, Explained)
        return " ".join(" ".join(story_in_words(told)).split())


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, monkeypatch)


def test_one_that_was_rejected_says_what_there_was(world: World) -> None:
    world.hold("first", 60)
    world.hold("second", 41, reason="export 7")
    text = world.words("second")
    assert text.startswith("Hold second of account acme: rejected. It was asked for at ")
    assert "(export 7): 41 credits, until " in text
    assert "- 41 credits asked, 40 available: a balance of 100, of which 1 open hold set aside 60." in text
    world.event("e-1", hold_id="second")
    assert "It names hold second, which had been rejected at " in world.event_in_words("e-1")
    assert "(41 credits asked, 40 credits available), so that it was decided as if it named" in world.event_in_words(
        "e-1"
    )


def test_one_that_is_drawn_on_and_settled(world: World) -> None:
    world.hold("h", 60)
    assert "Hold h of account acme: open." in world.words("h")
    assert "- 60 credits asked, 100 available: a balance of 100." in world.words("h")
    world.event("e-1", hold_id="h", keeps_hold=True)
    assert "Event e-1 of " in world.words("h")
    assert "drew on it: 20 credits charged so far. It still sets aside 40 credits, until " in world.words("h")
    world.event("e-2", hold_id="h", ip="203.0.113.8")
    assert "Hold h of account acme: settled." in world.words("h")
    assert "settled it: 40 credits charged in all." in world.words("h")
    assert "It drew on hold h, which still set aside 40 credits; the hold is settled by it." in world.event_in_words(
        "e-2"
    )
    world.event("e-3", hold_id="h")
    assert "It names hold h, which had been settled by event e-2 at " in world.event_in_words("e-3")


def test_one_that_is_released(world: World) -> None:
    world.hold("h", 60)
    release_hold(world.pipeline, ReleaseOrder("acme", "h", world.now, "r-1"), 10)
    assert "Hold h of account acme: released." in world.words("h")
    assert "Event r-1 of " in world.words("h")
    assert "released it: nothing was ever charged to it." in world.words("h")


def test_one_whose_time_is_over(world: World) -> None:
    world.hold("h", 60, 1_000)
    silent = world.words("h", later=1_000)
    assert "Hold h of account acme: over, though no command has come since to say so." in silent
    assert "it sets nothing aside any more." in silent
    world.now += 5_000
    world.event("e-1", hold_id="h")
    text = world.words("h")
    assert "Hold h of account acme: expired." in text
    assert "nothing charged by then. That was seen when the account's next command entered the log, at " in text
    told = world.event_in_words("e-1")
    assert "It names hold h, which had expired at " in told
    assert "By the log's clock hold h had expired, and what it set aside was free again." in told


def test_repeats_and_dead_letters_of_its_id(world: World) -> None:
    world.hold("h", 60)
    world.hold("h", 60)
    assert "The id came again at memory.requests[0]@4 (" in world.words("h")
    with BulkSender.opened(world.pipeline) as sender:
        late = {
            "hold_id": "old", "account_id": "acme", "credits": {"credit": 1}, "held_at": world.now - 1_000 * HOUR,
            "expires_at": world.now - 900 * HOUR, "reason": "",
        }  # fmt: skip
        sender.send(InputCommand(1, Command.HOLD, late, 0))
    text = world.words("old")
    assert "Hold old of account acme: not accepted, a dead letter." in text
    assert "It was set aside as too_late: " in text


def test_an_account_that_allows_holds_everything(world: World) -> None:
    change_settings(world.pipeline, "acme", SettingsChange(on_empty="allow"), None, 10)
    world.hold("h", 5_000)
    assert "The account lets its balances become debt, so that every hold is held." in world.words("h")


def test_one_that_never_was(world: World) -> None:
    with pytest.raises(Failed, match="There is no hold never of account acme") as raised:
        explain_hold(world.pipeline, "never", "acme")
    assert raised.value.code is ErrorCode.NOT_FOUND
    with pytest.raises(Failed, match="say whose hold it is: --account"):
        explain_hold(world.pipeline, "never", None)

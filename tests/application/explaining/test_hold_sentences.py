"""What is said of a hold: why it was held or rejected, what drew on it, how it ended."""

from __future__ import annotations

from pathlib import Path

import pytest

from application.commands.account_settings import SettingsChange, change_settings
from application.commands.bulk_sending import BulkSender
from application.commands.holds import ReleaseOrder, release_hold
from application.input.ndjson import InputCommand
from metering.records import Command
from tests.application.explaining.hold_world import HOUR, World


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
    text = world.event_in_words("e-1")
    assert "It names hold h, which had expired at " in text
    assert "By the log's clock hold h had expired, and what it set aside was free again." in text


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

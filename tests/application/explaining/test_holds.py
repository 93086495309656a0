"""The story of a hold as values: its changes in order, and what is raised where there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from application.commands.holds import ReleaseOrder, release_hold
from application.errors import ErrorCode, Failed
from application.explaining.holds import explain_hold
from tests.application.explaining.hold_world import World


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, monkeypatch)


def test_its_changes_come_in_the_order_of_the_log(world: World) -> None:
    world.hold("h", 60)
    world.event("e-1", hold_id="h", keeps_hold=True)
    release_hold(world.pipeline, ReleaseOrder("acme", "h", world.now, "r-1"), 10)
    story = world.explained("h").story
    assert [changed.change["status"] for changed in story.changes] == ["held", "drawn", "settled"]
    assert [changed.change["event_id"] for changed in story.later_changes] == ["e-1", "r-1"]


def test_one_that_never_was(world: World) -> None:
    with pytest.raises(Failed, match="There is no hold never of account acme") as raised:
        explain_hold(world.pipeline, "never", "acme")
    assert raised.value.code is ErrorCode.NOT_FOUND
    with pytest.raises(Failed, match="say whose hold it is: --account"):
        explain_hold(world.pipeline, "never", None)

"""The demo's events: the same for a seed, and with everything in them that the demo is to show."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from application.input.file_rating import Rater
from application.input.ndjson import BadLine, InputCommand
from cli.demo.demo_events import RECORDED_AT, demo_events
from metering.records import DeadLetterReason
from schemas.codec import Codec
from schemas.errors import Undecodable

PIXEL = Path(__file__).parents[3] / "examples" / "prices" / "pixel.yaml"
EVENTS = 30_000
NO_HOLD = {"hold_id": None, "keeps_hold": False}
"""The defaults of the schema for what the demo's events leave out."""


def test_the_same_for_a_seed() -> None:
    assert list(demo_events(7, 2_000)) == list(demo_events(7, 2_000))
    assert list(demo_events(7, 2_000)) != list(demo_events(8, 2_000))
    assert len(list(demo_events(7, 2_000))) == 2_000


def rated(events: int) -> tuple[Rater, list[dict[str, Any]]]:
    commands = [
        BadLine(number, DeadLetterReason.UNDECODABLE, None)
        if isinstance(command, bytes)
        else InputCommand(number, "request", command, RECORDED_AT)
        for number, command in enumerate(demo_events(1, events), 1)
    ]
    rater = Rater(PIXEL.read_text())
    return rater, list(rater.rate(commands))


@pytest.mark.slow
def test_every_kind_of_thing_is_among_them() -> None:
    rater, outputs = rated(EVENTS)
    summary = rater.summary
    assert set(summary.decisions) == {"charged", "duplicate", "free", "missing_subject", "not_billable", "unpriced"}
    assert set(summary.dead_letters) == {"undecodable", "invalid_event", "in_future", "too_late"}
    assert summary.repeated > EVENTS // 50
    assert len({output["account_id"] for output in outputs if output["type"] == "billed"}) == 300
    charged = Counter(
        (output["charge"], output["account_id"], output["ip"], output["user_id"])
        for output in outputs
        if output["type"] == "billed"
        and output["decision"] == "charged"
        and output["charge"] in {"ip-lookup", "pixel-lookup"}
    )
    assert max(charged.values()) > 1, "no subject was charged again after its 24 hours"


@pytest.mark.slow
def test_every_event_can_be_sent_and_no_poison_can_be_read() -> None:
    codec = Codec()
    for command in demo_events(1, EVENTS):
        if isinstance(command, bytes):
            try:
                codec.decode(command)
            except Undecodable:
                continue
            raise AssertionError(command)
        sent = codec.decode(codec.encode("RequestBatch", {"events": [command]}))[1]["events"]
        assert sent == [NO_HOLD | command]

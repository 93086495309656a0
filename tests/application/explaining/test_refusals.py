"""Why an event was set aside, and the command that puts it right."""

from __future__ import annotations

import re

import pytest

from application.explaining.refusals import refused_because, remedy
from metering.explanation import Explanation, Refusal
from metering.records import DeadLetterReason
from tests.application.explaining.replayed import BOOK, IP, flat, words
from tests.metering import meter
from tests.metering.meter import DAY, HOUR, NOON, Json


@pytest.mark.parametrize(
    ("event", "recorded_at", "said"),
    [
        ({"ip": "300.1.1.1"}, NOON, "Its field ip is wrong ('300.1.1.1'): a field is missing, unknown, empty"),
        ({"ip": "300.1.1.1"}, NOON, "then `creditmeter dead-letters replay 0@2/0 --corrected letter.json`."),
        ({}, NOON - HOUR, "Its time is in the future: 2026-01-10T11:05:00Z was the latest possible"),
        ({}, NOON - HOUR, "once its time has come: `creditmeter dead-letters replay 0@2/0`."),
        (
            {"occurred_at": NOON - 40 * DAY}, NOON,
            """It came too late: the account accepted events from 2025-12-06T11:59:59.999Z on when it entered the
            log (its newest is of 2026-01-10T11:59:59.999Z).""",
        ),
        ({"ip": "300.1.1.1"}, NOON, "The same request now (2026-01-13T12:00:00Z) would not be accepted either."),
    ],
)  # fmt: skip
def test_dead_letters(event: Json, recorded_at: int, said: str) -> None:
    text = words(BOOK, meter.account("u", NOON - 1), (meter.request("e1", NOON, **IP) | event, recorded_at))
    assert text.startswith("Event e1 of account acme: not accepted, so that nothing was charged; it is a dead letter.")
    assert flat(said) in flat(text), text


def explanation(stream_time: int | None) -> Explanation:
    return Explanation(meter.request("e1", NOON), NOON, stream_time, None)


def test_the_first_event_of_an_account_has_no_newest_one_to_name() -> None:
    too_late = Refusal("too_late", "occurred_at", "", earliest=NOON)
    assert "its newest" not in refused_because(explanation(None), too_late)
    assert "(its newest is of 2026-01-10T12:00:00Z)" in refused_because(explanation(NOON), too_late)


def test_a_long_value_is_cut_and_a_reason_without_a_field_names_itself() -> None:
    (value,) = refused_because(explanation(None), Refusal("invalid_event", "ip", "is wrong", "9" * 1_000)).split("(")[
        1:
    ]
    assert len(value) < 130
    assert "..." in value
    undecodable = Refusal("undecodable", None, "the bytes are no event")
    assert refused_because(explanation(None), undecodable) == "It was set aside as undecodable: the bytes are no event."


@pytest.mark.parametrize("reason", list(DeadLetterReason))
def test_every_remedy_is_a_command_with_the_letters_place(reason: DeadLetterReason) -> None:
    assert re.search(r"`creditmeter dead-letters \w+ (--json )?0@7/2[ `]", remedy(reason, "0@7/2"))


def test_what_can_be_decided_later_can_be_sent_again_as_it_is() -> None:
    assert "--corrected" in remedy(DeadLetterReason.INVALID_EVENT, "0@1")
    for reason in (DeadLetterReason.IN_FUTURE, DeadLetterReason.WRONG_PARTITION):
        assert "--corrected" not in remedy(reason, "0@1")
        assert "To have it charged" in remedy(reason, "0@1")

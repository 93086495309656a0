"""What became of replayed dead letters."""

from typing import Any

import pytest

from application.dead_letters.resent import Replay, ReplayOutcome, Replays, share_success
from metering.records import Command, Kind
from streams.log.place import Place

AT = 1_767_225_600_000
LETTER = {"type": Kind.DEAD_LETTER, "reason": "in_future", "field": None, "index": 0}
GRANT = {"type": "grant", "grant_id": "g", "status": "applied", "credits": 5_000, "credit_type": "credit"}
REJECTION = {"type": "refund", "event_id": "e", "status": "rejected", "reject_reason": "unknown_charge"}
LINE = {"type": Kind.BILLED, "decision": "charged", "credits": 20, "credit_type": "credit"}


def replay(of: Place, offset: int, outcome: str, *outputs: dict[str, Any]) -> Replay:
    return Replay(of, "credits.requests", 0, offset, AT + offset, corrected=False, command=Command.REQUEST,
                  outcome=outcome, outputs=outputs)  # fmt: skip


def test_what_settles_one_letter_settles_those_of_its_replays() -> None:
    first, second, alone = Place(0, 1, 0), Place(0, 5, 0), Place(0, 2, 0)
    replays: Replays = {
        first: [replay(first, 5, ReplayOutcome.SET_ASIDE, LETTER)],
        second: [replay(second, 6, ReplayOutcome.ACCEPTED, LINE)],
        alone: [replay(alone, 7, ReplayOutcome.SET_ASIDE, LETTER)],
    }
    share_success(replays)
    assert {place: [replay.outcome for replay in those] for place, those in replays.items()} == {
        first: [ReplayOutcome.SET_ASIDE, ReplayOutcome.ACCEPTED],
        second: [ReplayOutcome.ACCEPTED],
        alone: [ReplayOutcome.SET_ASIDE],
    }
    assert Place(0, 7, 0) not in replays, "the letter of a replay that failed is still to be replayed"


def test_a_header_that_names_its_own_place_ends_nothing() -> None:
    itself = Place(0, 5, 0)
    replays: Replays = {itself: [replay(itself, 5, ReplayOutcome.SET_ASIDE, LETTER)]}
    share_success(replays)
    assert [replay.outcome for replay in replays[itself]] == [ReplayOutcome.SET_ASIDE]


@pytest.mark.parametrize(
    ("outcome", "outputs", "words"),
    [
        (ReplayOutcome.ACCEPTED, (LINE, LINE | {"decision": "free", "credits": 0}), "to 0@9: charged 20 credit, free"),
        (ReplayOutcome.ACCEPTED, (REJECTION,), "to 0@9: refund rejected (unknown_charge)"),
        (ReplayOutcome.ACCEPTED, (GRANT,), "to 0@9: grant applied: 5,000 credit"),
        (ReplayOutcome.ACCEPTED, (), "to 0@9: accepted"),
        (ReplayOutcome.SET_ASIDE, (LETTER,), "to 0@9: set aside again: in_future"),
        (ReplayOutcome.REPEATED, (), "to 0@9: repeated, nothing changed"),
        (ReplayOutcome.UNDECIDED, (), "to 0@9: not decided yet"),
    ],
)  # fmt: skip
def test_what_became_of_a_replay(outcome: str, outputs: tuple[dict[str, Any], ...], words: str) -> None:
    assert replay(Place(0, 1, 0), 9, outcome, *outputs).sentence() == words

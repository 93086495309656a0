"""Explains one event: finds it, replays its account, and compares the result with the bill."""

from __future__ import annotations

from dataclasses import dataclass

from application.accounts.opening import opened_replay
from application.dead_letters.reading import DeadLetter
from application.errors import ErrorCode, Failed
from application.explaining.explained import Explained, compared, owners_of, stray_rows
from application.explaining.locating import EventLocation, dead_letters_of, locate, offset_of, with_kept_place
from application.pipeline import Pipeline
from metering.explanation import Claimant
from metering.places import event_place
from replay.event_story import RecordedPlace, place_of, replay_story
from streams import clock

_NOWHERE = """\
There is no event {event_id}{whose}: neither the log nor the dead letters have it. Check
  - the id: it is compared as it is written, upper and lower case apart;
  - the account: whose id was sent with it (`creditmeter dead-letters list --account …` shows what was set aside);
  - the producer: whether its events were acknowledged, and are younger than what the log still keeps;
  - the pipeline: `creditmeter config` shows which Kafka and which topic_prefix this is;
  - without --account only what the loader has loaded by now is known: with --account the log itself is read."""


class BillMismatch(Failed):
    """The bill differs from the replay of the log; `differences` are sentences."""

    code = ErrorCode.MISMATCH

    def __init__(self, differences: tuple[str, ...]) -> None:
        wrong = "\n  ".join(differences)
        super().__init__(
            f"THE BILL DIFFERS FROM THE LOG:\n  {wrong}\n"
            "  Run `creditmeter audit`: it compares everything, and says where else."
        )
        self.differences = differences


@dataclass(frozen=True, slots=True)
class SetAside:
    """An event that only became dead letters. `partitions`: how many the input topic has."""

    event_id: str
    letters: tuple[DeadLetter, ...]
    partitions: int


def explain(pipeline: Pipeline, event_id: str, account_id: str | None) -> Explained | SetAside:
    """The event's story, or the dead letters that it became.

    Raises Failed (NOT_FOUND) where nobody has it, Misconfigured where several accounts have, LogError. Call
    `raise_on_mismatch` once the story has been shown.
    """
    location = locate(pipeline, event_id, account_id)
    explained = None if location is None else _replayed(pipeline, event_id, location)
    if explained is not None:
        return explained
    letters = dead_letters_of(pipeline, event_id, account_id)
    if not letters:
        whose = "" if account_id is None else f" of account {account_id}"
        raise Failed(_NOWHERE.format(event_id=event_id, whose=whose), ErrorCode.NOT_FOUND)
    return SetAside(event_id, tuple(letters), pipeline.partitions)


def raise_on_mismatch(differences: tuple[str, ...]) -> None:
    """Raises BillMismatch where there are any."""
    if differences:
        raise BillMismatch(differences)


def _replayed(pipeline: Pipeline, event_id: str, location: EventLocation) -> Explained | None:
    """Replays the account from before the event to the log's end, and compares; None where the event never comes."""
    account_id = location.account_id
    location = with_kept_place(pipeline, event_id, location)
    source = pipeline.replay_source
    # From the newest state there would be no event to replay: so from one before it, or the log's beginning.
    with opened_replay(pipeline, account_id, before=location.first or 0) as opened:
        with opened.progress() as report:
            story = replay_story(opened.replay, event_id, opened.stop, clock.now_ms(), report)
        if story.subject is None:
            raise_on_mismatch(tuple(stray_rows(story, location)))
            return None

        def owner_at(owner: Claimant, event_at: RecordedPlace) -> RecordedPlace | None:
            kept = event_place(opened.replay.state, account_id, owner.event_id)
            # An id may have been accepted anew since; one that is forgotten may still have its claim.
            known = kept.offset if kept is not None and kept.at == owner.occurred_at else None
            known = offset_of(pipeline, account_id, owner) if known is None else known
            first = pipeline.input_log.bounds(event_at.partition)[0] if known is None else known
            return place_of(source, account_id, owner, first, (event_at.offset if known is None else known) + 1)

        owners = owners_of(story, owner_at)
    return Explained(story, opened.stop, compared(pipeline, story, location), owners)

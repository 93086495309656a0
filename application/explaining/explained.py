"""The result of `creditmeter explain`: the story, where its owners stand, and whether the bill agrees."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from application.explaining.locating import EventLocation
from application.pipeline import Pipeline
from metering.explanation import Claimant, Explanation
from replay.event_story import Arrival, ArrivalOutcome, RecordedPlace, Story, differences
from streams.log.source_position import NO_OUTPUT, source_position

OwnerAt = Callable[[Claimant, RecordedPlace], "RecordedPlace | None"]


class Agreement(StrEnum):
    """The result of comparing the explained lines with billed ones."""

    AGREES = "agrees"
    DIFFERS = "differs"
    NOT_BILLED = "not_billed"  # the event was set aside: there is nothing to compare
    NOT_YET = "not_yet"  # no worker has reached it, or the loader has not loaded it
    DELETED = "deleted"  # retention has deleted it
    NOT_ASKED = "not_asked"


@dataclass(frozen=True, slots=True)
class Comparison:
    """Whether what was billed is what was explained: in the topic `billed`, and in ClickHouse."""

    billed: Agreement
    clickhouse: Agreement
    differences: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Explained:
    """An event's story up to the log's offset `stop`; `owners`: where the events stand that made its lines free."""

    story: Story
    stop: int
    comparison: Comparison
    owners: dict[str, RecordedPlace] = field(default_factory=dict)

    @property
    def subject(self) -> Arrival:
        """The arrival that the story is about."""
        if self.story.subject is None:
            raise RuntimeError(f"event {self.story.event_id!r} has no story")
        return self.story.subject

    def as_plain(self) -> dict[str, Any]:
        """Everything, for JSON: times in ms, amounts in credits."""
        story, subject, present = self.story, self.subject, self.story.present
        return {
            "event_id": story.event_id,
            "account_id": story.account_id,
            "became": subject.outcome,
            "place": plain_place(story.topic, subject.place),
            "credits": subject.explanation.credits,
            **asdict(subject.explanation),
            "hold_before": subject.hold_before,
            "owners": {event_id: plain_place(story.topic, place) for event_id, place in self.owners.items()},
            "refunds": [
                {
                    "refund_id": arrival.request["refund_id"],
                    "became": arrival.outcome,
                    "place": plain_place(story.topic, arrival.place),
                    "outputs": list(arrival.outputs),
                }
                for arrival in story.refunds_since
            ],
            "other_arrivals": [
                {
                    "became": arrival.outcome,
                    "place": plain_place(story.topic, arrival.place),
                    "occurred_at": arrival.explanation.event["occurred_at"],
                }
                for arrival in story.others
            ],
            "now": None if present is None else plain_present(present.at, present.explanation),
            "compared": asdict(self.comparison),
            "base": story.base,
            "replayed_to": self.stop,
        }


def plain_place(topic: str, place: RecordedPlace) -> dict[str, Any]:
    """A place with its name, as `dead-letters` takes it."""
    return {"topic": topic, "name": str(place), **asdict(place)}


def plain_present(at: int, explanation: Explanation) -> dict[str, Any]:
    """Whether the same request would be charged now, how much, and by which lines."""
    refusal = explanation.refusal
    return {
        "at": at,
        "charged": bool(explanation.credits),
        "credits": explanation.credits,
        "dead_letter": None if refusal is None else refusal.reason,
        "lines": [asdict(line) for line in explanation.lines],
    }


def owners_of(story: Story, place_of: OwnerAt) -> dict[str, RecordedPlace]:
    """Where the events stand that made lines free, as far as the log still holds them."""
    subject = story.subject
    if subject is None:
        return {}
    owners = dict.fromkeys(line.unique.owner for line in subject.explanation.lines if line.unique is not None)
    places = {owner.event_id: place_of(owner, subject.place) for owner in owners if owner is not None}
    return {event_id: place for event_id, place in places.items() if place is not None}


def compared(pipeline: Pipeline, story: Story, location: EventLocation) -> Comparison:
    """Compares the lines explained with the billed topic's and ClickHouse's. Raises LogError."""
    subject = story.subject
    wrong = stray_rows(story, location)
    if subject is None or subject.outcome is not ArrivalOutcome.ACCEPTED:
        in_clickhouse = Agreement.DIFFERS if wrong else Agreement.NOT_BILLED
        return Comparison(Agreement.NOT_BILLED, in_clickhouse, tuple(wrong))
    lines = [line.line for line in subject.explanation.lines]
    place = subject.place
    billed, in_topic = _billed(pipeline, story, place)
    if billed is not None:
        sentences = differences(lines, billed)
        in_topic = Agreement.DIFFERS if sentences else Agreement.AGREES
        wrong += [f"{pipeline.names.billed}[{place.partition}]: {sentence}" for sentence in sentences]
    rows = location.lines(place.offset)
    in_clickhouse = Agreement.NOT_ASKED if location.rows is None else Agreement.NOT_YET
    if rows:
        sentences = differences(lines, rows)
        in_clickhouse = Agreement.DIFFERS if sentences else Agreement.AGREES
        wrong += [f"ClickHouse: {sentence}" for sentence in sentences]
    return Comparison(in_topic, in_clickhouse, tuple(wrong))


def stray_rows(story: Story, location: EventLocation) -> list[str]:
    """A sentence for each row of the event in ClickHouse that no event of the log explains."""
    accepted = {arrival.place.offset for arrival in story.arrivals if arrival.outcome is ArrivalOutcome.ACCEPTED}
    strays = sorted({int(row["source_offset"]) for row in location.rows or ()} - accepted)
    return [f"ClickHouse: it has lines of input offset {offset}, where the log has no such event" for offset in strays]


def _billed(pipeline: Pipeline, story: Story, place: RecordedPlace) -> tuple[list[dict[str, Any]] | None, Agreement]:
    """The event's lines in the billed topic; None, and why, where they cannot be there."""
    results = pipeline.results
    if results.rated().get(place.partition, 0) <= place.offset:
        return None, Agreement.NOT_YET
    topic = pipeline.names.billed
    records = results.caused_by(place.partition, [place.offset]).get(place.offset, {}).get(topic, [])
    lines = [line for line in records if (line["account_id"], line["event_id"]) == (story.account_id, story.event_id)]
    if not lines:
        log = pipeline.own_output(topic)
        positions = map(source_position, log.read(place.partition, *log.bounds(place.partition)))
        first, _ = next((position for position in positions if position != NO_OUTPUT), NO_OUTPUT)
        if first > place.offset:
            return None, Agreement.DELETED
    return lines, Agreement.AGREES

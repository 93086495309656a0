"""What `creditmeter explain` found out, gathered: the story, where its owners stand, and whether the bill agrees."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from application.explaining.locating import Found
from application.pipeline import Cluster
from metering.explanation import Claimant, Explanation
from replay.event_story import Arrival, Place, Story, differences
from schemas.batches import read_head

OwnerAt = Callable[[Claimant, Place], "Place | None"]

AGREES, DIFFERS = "agrees", "differs"


@dataclass(frozen=True, slots=True)
class Comparison:
    """Whether what was billed is what was explained: `agrees`, `differs`, or why it cannot be said."""

    billed: str
    clickhouse: str
    differences: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Explained:
    """An event's story up to the log's offset `stop`; `owners`: where the events stand that made its lines free."""

    story: Story
    stop: int
    comparison: Comparison
    owners: dict[str, Place] = field(default_factory=dict)

    @property
    def told(self) -> Arrival:
        """The arrival that the story is about."""
        if self.story.told is None:
            raise RuntimeError(f"event {self.story.event_id!r} has no story")
        return self.story.told

    def as_plain(self) -> dict[str, Any]:
        """Everything, for JSON: times in ms, amounts in credits."""
        story, told, present = self.story, self.told, self.story.present
        return {
            "event_id": story.event_id,
            "account_id": story.account_id,
            "became": told.became,
            "place": plain_place(story.topic, told.place),
            "credits": told.explanation.credits,
            **asdict(told.explanation),
            "owners": {event_id: plain_place(story.topic, place) for event_id, place in self.owners.items()},
            "refunds": [
                {
                    "refund_id": each.request["refund_id"],
                    "became": each.became,
                    "place": plain_place(story.topic, each.place),
                    "outputs": list(each.outputs),
                }
                for each in story.refunds_since
            ],
            "other_arrivals": [
                {
                    "became": each.became,
                    "place": plain_place(story.topic, each.place),
                    "occurred_at": each.explanation.event["occurred_at"],
                }
                for each in story.others
            ],
            "now": None if present is None else plain_present(present.at, present.explanation),
            "compared": asdict(self.comparison),
            "base": story.base,
            "replayed_to": self.stop,
        }


def plain_place(topic: str, place: Place) -> dict[str, Any]:
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


def owners_of(story: Story, place_of: OwnerAt) -> dict[str, Place]:
    """Where the events stand that made lines free, as far as the log still holds them."""
    told = story.told
    found: dict[str, Place] = {}
    for line in () if told is None else told.explanation.lines:
        owner = None if line.unique is None else line.unique.owner
        if told is not None and owner is not None and owner.event_id not in found:
            place = place_of(owner, told.place)
            if place is not None:
                found[owner.event_id] = place
    return found


def compared(cluster: Cluster, story: Story, found: Found) -> Comparison:
    """Holds the lines explained against the billed topic's and ClickHouse's. Raises LogError."""
    told = story.told
    wrong = stray_rows(story, found)
    if told is None or told.became != "accepted":
        return Comparison("not billed", DIFFERS if wrong else "not billed", tuple(wrong))
    lines = [line.line for line in told.explanation.lines]
    place = told.place
    billed, told_of_topic = _billed(cluster, story, place)
    if billed is not None:
        sentences = differences(lines, billed)
        told_of_topic = DIFFERS if sentences else AGREES
        wrong += [f"{cluster.names.billed}[{place.partition}]: {each}" for each in sentences]
    rows = found.lines(place.offset)
    told_of_rows = "was not asked" if found.rows is None else "has no lines of it yet"
    if rows:
        sentences = differences(lines, rows)
        told_of_rows = DIFFERS if sentences else AGREES
        wrong += [f"ClickHouse: {each}" for each in sentences]
    return Comparison(told_of_topic, told_of_rows, tuple(wrong))


def stray_rows(story: Story, found: Found) -> list[str]:
    """What ClickHouse has of the event that comes from no event of the log, a sentence each."""
    accepted = {arrival.place.offset for arrival in story.arrivals if arrival.became == "accepted"}
    strays = sorted({int(row["source_offset"]) for row in found.rows or ()} - accepted)
    return [f"ClickHouse: it has lines of input offset {each}, where the log has no such event" for each in strays]


def _billed(cluster: Cluster, story: Story, place: Place) -> tuple[list[dict[str, Any]] | None, str]:
    """The event's lines in the billed topic; None, and why, where they cannot be there (yet, or any more)."""
    results = cluster.results()
    if results.rated().get(place.partition, 0) <= place.offset:
        return None, "has not got it yet: no worker has reached it"
    topic = cluster.names.billed
    caused = results.caused_by(place.partition, [place.offset]).get(place.offset, {})
    lines = [
        each
        for each in caused.get(topic, [])
        if (each["account_id"], each["event_id"]) == (story.account_id, story.event_id)
    ]
    if not lines:
        log = cluster.log(topic)
        for message in log.read(place.partition, *log.bounds(place.partition)):
            if read_head(message.value).source_offset > place.offset:
                return None, "no longer holds it: retention has deleted it"
            break
    return lines, ""

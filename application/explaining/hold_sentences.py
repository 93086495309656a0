"""The story of a hold in plain words: sentences that a support person can give to a customer as they are."""

from __future__ import annotations

from collections.abc import Iterator

from application.explaining.holds import ExplainedHold, became
from application.wording import amount, amounts, shown_time
from metering.records import HoldStatus, Kind, OnEmpty
from replay.event_story import RecordedPlace
from replay.hold_story import AskedCredits, HoldArrival, HoldChange


def hold_in_words(explained: ExplainedHold) -> Iterator[str]:
    """The whole story, a line each."""
    story = explained.story
    decided = story.decided
    yield f"Hold {story.hold_id} of account {story.account_id}: {_headline(explained)}."
    yield ""
    for arrival in story.arrivals if decided is None else (decided,):
        yield from (f"  {sentence}" for sentence in _arrival(arrival, story.topic))
    if decided is not None:
        for changed in story.later_changes:
            yield from (f"  {sentence}" for sentence in _change(changed, story.topic))
        if _is_open(explained):
            yield f"  {_still_open(explained)}"
        for other in story.arrivals:
            if other is not decided:
                yield f"  {_other(other, story.topic)}"
    yield ""
    yield f"Read from {story.topic} up to offset {explained.stop}, from {story.base} on."


def _last(explained: ExplainedHold) -> HoldChange | None:
    changes = explained.story.changes
    return changes[-1] if changes else None


def _is_open(explained: ExplainedHold) -> bool:
    last = _last(explained)
    return last is not None and last.change["status"] in {HoldStatus.HELD, HoldStatus.DRAWN}


def _headline(explained: ExplainedHold) -> str:
    last = _last(explained)
    if last is None:
        return "not accepted, a dead letter"
    status = HoldStatus(last.change["status"])
    if status in {HoldStatus.HELD, HoldStatus.DRAWN}:
        return (
            "open" if last.change["expires_at"] > explained.at else "over, though no command has come since to say so"
        )
    return str(status)


def _arrival(arrival: HoldArrival, topic: str) -> Iterator[str]:
    request, output = arrival.request, arrival.output
    reason = f" ({request['reason']})" if request.get("reason") else ""
    yield (
        f"It was asked for at {shown_time(request['held_at'])}{reason}: {amounts(request['credits'])}, until "
        f"{shown_time(request['expires_at'])} by the log's clock."
    )
    sender = f", sent by {arrival.place.producer}" if arrival.place.producer else ""
    yield f"It entered the log at {shown_time(arrival.place.recorded_at)}, at {_place(topic, arrival.place)}{sender}."
    if output is None:
        yield "Its id had been accepted before: a repeat, which changes nothing."
    elif output.kind is Kind.DEAD_LETTER:
        record = output.record
        wrong = f" (field {record['field']})" if record["field"] else ""
        yield f"It was set aside as {record['reason']}{wrong}: {record['detail']}."
    elif output.record["status"] == HoldStatus.REJECTED:
        yield "The account refuses what it cannot cover, and there was not enough of every type:"
        yield from (f"- {_asked(asked, arrival)}" for asked in arrival.asked)
    elif arrival.on_empty == OnEmpty.ALLOW:
        yield "The account lets its balances become debt, so that every hold is held."
    else:
        yield "There was enough:"
        yield from (f"- {_asked(asked, arrival)}" for asked in arrival.asked)


def _asked(asked: AskedCredits, arrival: HoldArrival) -> str:
    kind = asked.credit_type
    holds = f"{arrival.open_holds:,} open hold{'' if arrival.open_holds == 1 else 's'}"
    held = f", of which {holds} set aside {asked.held:,}" if asked.held else ""
    return f"{amount(asked.asked, kind)} asked, {asked.available:,} available: a balance of {asked.balance:,}{held}."


def _change(changed: HoldChange, topic: str) -> Iterator[str]:
    change, place = changed.change, changed.place
    status = HoldStatus(change["status"])
    charged = amounts(change["charged"]) or "nothing"
    if status is HoldStatus.EXPIRED:
        yield (
            f"It expired at {shown_time(change['expires_at'])}, {charged} charged by then. That was seen when the "
            f"account's next command entered the log, at {shown_time(place.recorded_at)}, at {_place(topic, place)}."
        )
    elif status is HoldStatus.DRAWN:
        yield f"Event {change['event_id']} of {shown_time(change['at'])} drew on it: {charged} charged so far."
    elif status is HoldStatus.SETTLED:
        yield f"Event {change['event_id']} of {shown_time(change['at'])} settled it: {charged} charged in all."
    else:
        yield f"Event {change['event_id']} of {shown_time(change['at'])} released it: nothing was ever charged to it."


def _still_open(explained: ExplainedHold) -> str:
    last = _last(explained)
    if last is None:
        return ""
    change = last.change
    if change["expires_at"] <= explained.at:
        return f"Its time was over at {shown_time(change['expires_at'])}: it sets nothing aside any more."
    left = {
        name: max(0, asked - change["charged"].get(name, 0)) for name, asked in change["credits"].items()
    }  # fmt: skip
    return f"It still sets aside {amounts(left)}, until {shown_time(change['expires_at'])}."


def _other(arrival: HoldArrival, topic: str) -> str:
    when = f"{_place(topic, arrival.place)} ({shown_time(arrival.place.recorded_at)})"
    outcome = became(arrival)
    if outcome == "repeated":
        return f"The id came again at {when}: a repeat, which changed nothing."
    if outcome == "dead_letter":
        return f"A hold of this id at {when} was set aside: it changed nothing."
    return f"An earlier hold of this id, at {when}, was {outcome}; it was forgotten by the time of this one."


def _place(topic: str, place: RecordedPlace) -> str:
    return f"{topic}[{place.partition}]@{place.offset}" + ("" if place.index is None else f"/{place.index}")

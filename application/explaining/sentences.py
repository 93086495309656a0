"""An explanation in plain words: sentences that a support person can give to a customer as they are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from application.commands.outcome_sentences import REJECTED
from application.dead_letters.reading import DeadLetter
from application.explaining.explained import Agreement, Comparison, Explained
from application.explaining.reasons import (
    because,
    counted,
    headline,
    plan_sentence,
    price_sentence,
    unique_sentences,
    when_sentence,
)
from application.explaining.refusals import refused_because, remedy
from application.explaining.repeats import repeat_sentence
from application.wording import amount, amounts, shown_time
from metering.explanation import Explanation, LineStory
from metering.records import Decision, HoldStatus, Record, RejectReason
from replay.event_story import Arrival, ArrivalOutcome, Present, RecordedPlace, RefundAttempt, RefundOutcome, Story

_DESCRIBED = ("actor", "request_id", "user_id", "ip", "domain")


def story_in_words(explained: Explained) -> Iterator[str]:
    """The whole story, a line each."""
    story, subject = explained.story, explained.subject
    explanation = subject.explanation
    yield f"Event {story.event_id} of account {story.account_id}: {outcome(explanation)}."
    yield ""
    yield from (f"  {sentence}" for sentence in _event(explanation, subject.place, story.topic))
    if explanation.refusal is not None:
        yield from (f"  {sentence}" for sentence in _refusal(explanation, subject.place))
    yield from (f"  {sentence}" for sentence in _hold(subject))
    for line in explanation.lines:
        yield ""
        yield f"{headline(line)}"
        yield from (f"  {sentence}" for sentence in _line(explanation, line, explained.owners, story.topic))
    since = list(_since(story))
    if since:
        yield ""
        yield "Since then"
        yield from (f"  {sentence}" for sentence in since)
    if story.present is not None:
        yield ""
        yield from _present(story.present)
    yield ""
    yield f"Read from {story.topic}[{subject.place.partition}] up to offset {explained.stop}, from {story.base} on."
    yield from _compared(explained.comparison)


def letter_in_words(letter: DeadLetter, hint: str | None) -> Iterator[str]:
    """A dead letter outside its account's replay: it is in another partition, or names no account."""
    record = letter.record
    whose = f" of account {record['account_id']}" if record["account_id"] else ""
    yield f"Event {record['id']}{whose}: not accepted, so that nothing was charged; it is a dead letter."
    yield ""
    sender = f", sent by {record['producer']}" if record["producer"] else ""
    yield f"  It entered the log at {shown_time(record['recorded_at'])}, at {letter.place}{sender}."
    field = f" (field {record['field']})" if record["field"] else ""
    yield f"  It was set aside as {record['reason']}{field}: {record['detail']}."
    if hint is not None:
        yield f"  {hint[:1].upper()}{hint[1:]}."
    yield f"  {remedy(record['reason'], str(letter.place))}"


def outcome(explanation: Explanation) -> str:
    """What became of an event, in a few words."""
    if explanation.refusal is not None:
        return "not accepted, so that nothing was charged; it is a dead letter"
    if explanation.repeat_of is not None:
        return "a repeat, which changes nothing"
    return f"charged {amounts(explanation.credits)}" if explanation.credits else "charged nothing"


def _event(explanation: Explanation, place: RecordedPlace, topic: str) -> Iterator[str]:
    event = explanation.event
    given = ", ".join(f"{name} {event[name]}" for name in _DESCRIBED if event.get(name))
    maps = {**(event.get("quantities") or {}), **(event.get("attributes") or {})}
    more = ", ".join(f"{name}={value}" for name, value in maps.items())
    about = "".join(f"; {text}" for text in (given, more) if text)
    yield (
        f"It occurred at {_time(event.get('occurred_at'))}: {event.get('endpoint')}, channel {event.get('channel')}, "
        f"outcome {event.get('outcome')}{about}."
    )
    sender = f", sent by {place.producer}" if place.producer else ""
    yield f"It entered the log at {shown_time(place.recorded_at)}, at {_named(topic, place)}{sender}."


def _hold(subject: Arrival) -> Iterator[str]:
    """Which hold the event drew on, or why the one that it names was not open."""
    explanation = subject.explanation
    hold, named = explanation.hold, explanation.event.get("hold_id")
    if hold is not None:
        left = amounts({name: left for name, left in hold.remaining.items() if left}) or "nothing"
        now = "stays open" if hold.change["status"] == HoldStatus.DRAWN else f"is {hold.change['status']} by it"
        yield f"It drew on hold {hold.hold_id}, which still set aside {left}; the hold {now}."
    elif named and explanation.lines:
        why = _end_of(subject.hold_before)
        yield f"It names hold {named}, which {why}, so that it was decided as if it named none."
    for over in explanation.expired_holds:
        yield f"By the log's clock hold {over['hold_id']} had expired, and what it set aside was free again."


def _end_of(change: Record | None) -> str:
    """Why a hold was no longer open, by its last change."""
    if change is None:
        return "was not open then"
    status, at = HoldStatus(change["status"]), shown_time(change["at"])
    if status is HoldStatus.REJECTED:
        had = amounts(change["available_after"])
        return f"had been rejected at {at} ({amounts(change['credits'])} asked, {had} available)"
    if status in {HoldStatus.SETTLED, HoldStatus.RELEASED}:
        return f"had been {status} by event {change['event_id']} at {at}"
    return f"had expired at {shown_time(change['expires_at'])}"


def _named(topic: str, place: RecordedPlace) -> str:
    """topic[partition]@offset, and /index in its batch."""
    return f"{topic}[{place.partition}]@{place.offset}" + ("" if place.index is None else f"/{place.index}")


def _time(value: Any) -> str:
    """An event's own time; a wrong one as it is."""
    return shown_time(value) if type(value) is int else str(value)


def _refusal(explanation: Explanation, place: RecordedPlace) -> Iterator[str]:
    refusal = explanation.refusal
    if refusal is not None:
        yield refused_because(explanation, refusal)
        yield remedy(refusal.reason, str(place))


def _line(explanation: Explanation, line: LineStory, owners: dict[str, RecordedPlace], topic: str) -> Iterator[str]:
    """Why the charge applied, at which price, who had paid, and where the credits came from."""
    decision = line.line["decision"]
    if line.line["charge"] is None:
        yield from because(explanation, line)
        return
    yield when_sentence(line)
    yield price_sentence(explanation)
    if explanation.plan is not None:
        yield from plan_sentence(explanation, line)
    yield counted(line)
    yield from because(explanation, line)
    owner = None if line.unique is None else line.unique.owner
    if owner is not None and owner.event_id in owners:
        place = owners[owner.event_id]
        yield f"That event entered the log at {shown_time(place.recorded_at)}, at {_named(topic, place)}."
    if line.unique is not None:
        yield from unique_sentences(line, line.unique)
    if decision == Decision.CHARGED:
        yield from _money(explanation, line)


def _money(explanation: Explanation, line: LineStory) -> Iterator[str]:
    credit_type = line.line["credit_type"]
    gone = [sentence for sentence in explanation.expired if sentence["credit_type"] == credit_type]
    for sentence in gone if line is explanation.lines[0] else ():
        yield f"By then {amount(sentence['credits'], credit_type)} of grant {sentence['grant_id']} had expired."
    before, after = line.balance_before or 0, line.line["balance_after"]
    yield f"Balance: {amount(before, credit_type)} before, {amount(after, credit_type)} after."
    for draw in line.draws:
        ends = "never expires" if draw.expires_at is None else f"expires {shown_time(draw.expires_at)}"
        yield f"{draw.credits:,} came from grant {draw.grant_id}, which {ends} and had {draw.left_after:,} left then."
    if line.debt:
        yield f"{line.debt:,} were covered by no grant: the account owes them, and the next grant fills them first."


def _since(story: Story) -> Iterator[str]:
    refunds, others = story.refunds_since, story.others
    for attempt in refunds:
        yield from _refund(attempt, story.topic)
    if not refunds and story.subject is not None and story.subject.explanation.credits:
        yield "Nothing was given back, and nobody asked for it."
    for arrival in others:
        yield _other(arrival, story)


def _refund(attempt: RefundAttempt, topic: str) -> Iterator[str]:
    request = attempt.request
    what = f"Refund {request['refund_id']} at {_time(request['requested_at'])}"
    reason = f" ({request['reason']})" if request.get("reason") else ""
    if attempt.outcome is RefundOutcome.REPEATED:
        yield f"{what}: asked for again, which changes nothing."
    elif attempt.outcome is RefundOutcome.DEAD_LETTER:
        yield f"{what}: not accepted, a dead letter at {attempt.place} of {topic}."
    for output in attempt.outputs:
        if output["reject_reason"] is not None:
            yield f"{what}: rejected: {REJECTED[RejectReason(output['reject_reason'])]}."
            continue
        lost = (
            f", {output['forfeited']:,} of them forfeited because their grant had ended" if output["forfeited"] else ""
        )
        left = output["remaining_charge"]
        kept = f"{amount(left, output['credit_type'])} of the charge left" if left else "all of the charge"
        yield (
            f"{what}{reason}: {amount(output['credits'], output['credit_type'])} given back for "
            f"{output['charge']}{lost}: {kept}; balance then {amount(output['balance_after'], output['credit_type'])}."
        )


def _other(arrival: Arrival, story: Story) -> str:
    where = f"{_named(story.topic, arrival.place)} ({shown_time(arrival.place.recorded_at)})"
    if arrival.outcome is ArrivalOutcome.REPEATED:
        repeated = story.accepted_before(arrival)
        event = None if repeated is None else repeated.explanation.event
        return repeat_sentence(where, arrival.explanation.event, event)
    if arrival.outcome is ArrivalOutcome.DEAD_LETTER:
        refusal = arrival.explanation.refusal
        reason = "" if refusal is None else f" ({refusal.reason})"
        return f"An event of this id at {where} was set aside{reason}: it cost nothing."
    occurred = _time(arrival.explanation.event["occurred_at"])
    return (
        f"An earlier event of this id, of {occurred}, at {where} was {outcome(arrival.explanation)}; it was forgotten "
        "by the time of this one, because ids are remembered as long as late events are accepted."
    )


def _present(present: Present) -> Iterator[str]:
    explanation = present.explanation
    at = shown_time(present.at)
    if explanation.refusal is not None:
        yield f"The same request now ({at}) would not be accepted either."
        yield f"  {refused_because(explanation, explanation.refusal)}"
        return
    if explanation.credits:
        yield f"The same request now ({at}) would be charged {amounts(explanation.credits)}."
    else:
        yield f"The same request now ({at}) would be charged nothing."
    for line in explanation.lines:
        yield f"  {headline(line)}"
        if line.debt:
            owed = amount(line.debt, line.line["credit_type"])
            yield f"    {owed} of it would be owed, because grants do not suffice."
        for sentence in because(explanation, line):
            yield f"    {sentence}"


_IN_TOPIC = {
    Agreement.AGREES: "says the same",
    Agreement.DIFFERS: "SAYS SOMETHING ELSE",
    Agreement.NOT_YET: "does not have it yet: no worker has reached it",
    Agreement.DELETED: "no longer has it: retention has deleted it",
}
_IN_CLICKHOUSE = {
    Agreement.AGREES: "says the same",
    Agreement.DIFFERS: "SAYS SOMETHING ELSE",
    Agreement.NOT_YET: "has no lines of it yet",
    Agreement.NOT_ASKED: "was not asked",
}


def _compared(comparison: Comparison) -> Iterator[str]:
    if comparison.billed is Agreement.NOT_BILLED:
        return
    billed, rows = _IN_TOPIC[comparison.billed], _IN_CLICKHOUSE[comparison.clickhouse]
    yield f"Compared with the bill: the billed topic {billed}; ClickHouse {rows}."

"""Each reason of an explanation as a sentence. Nothing is computed here: the explanation holds everything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from application.wording import amount, listed, shown_duration, shown_time
from metering.explanation import (
    Condition,
    Explanation,
    LineStory,
    LockReason,
    NearMiss,
    PlanSource,
    PriceStory,
    UniqueStory,
    VersionReason,
)
from metering.records import Decision


def headline(line: LineStory) -> str:
    """The charge, and what became of it."""
    billed = line.line
    names = ": ".join(part for part in (billed["feature"], billed["action"]) if part)
    charge = billed["charge"] or "No charge"
    return f"{charge}{f' ({names})' if names else ''}: {_decided(billed)}"


def _decided(billed: Mapping[str, Any]) -> str:
    match billed["decision"]:
        case Decision.CHARGED:
            return f"charged {amount(billed['credits'], billed['credit_type'])}"
        case Decision.DUPLICATE:
            return "free, because it was paid for already"
        case Decision.FREE:
            return "free of charge"
        case Decision.NOTHING_FOUND:
            return "free, because nothing was found"
        case Decision.MISSING_SUBJECT:
            return "free, because what it is charged by is missing"
        case Decision.INSUFFICIENT_CREDITS:
            return "refused for lack of credits, and not charged"
        case Decision.NOT_BILLABLE:
            return "such a request is never charged"
        case _:
            return "no price applies, so that nothing was charged"


def when_sentence(line: LineStory) -> str:
    """Why the charge applies to the event."""
    if not line.conditions:
        return "The charge applies to every request."
    conditions = listed(
        [f"{condition.field} is {condition.value}{_pattern(condition)}" for condition in line.conditions], "and"
    )
    return f"The charge applies because {conditions}."


def _pattern(condition: Condition) -> str:
    if condition.value in condition.wanted:
        return ""
    return f" (which fits {listed(list(condition.wanted), 'or')})"


def price_sentence(explanation: Explanation) -> str:
    """Which version applied, and why."""
    price = explanation.price
    if price is None or price.version is None:
        return "No price version applies."
    since = shown_time(price.effective_from or 0)
    if price.reason is VersionReason.IN_FORCE:
        return f"Price version {price.version} applies: it was in force, since {since}, when the event occurred."
    plan = "" if explanation.plan is None else f" {explanation.plan.name}"
    begun = shown_time(price.chosen_at)
    if price.reason is VersionReason.PLAN_LOCK:
        why = f"it was in force, since {since}, when the plan{plan} began at {begun}, and a plan keeps its prices"
    elif price.reason is VersionReason.OVERRIDDEN_LOCK:
        why = f"the plan{plan} keeps its prices, and this version, in force since {since}, overrides that for everybody"
    else:
        why = f"the plan{plan} began at {begun}, before there were prices, so that it keeps the first ones"
    unlocked = "" if price.unlocked == price.version else f" (Without that plan it would be version {price.unlocked}.)"
    return f"Price version {price.version} applies: {why}.{unlocked}"


def plan_sentence(explanation: Explanation, line: LineStory) -> Iterator[str]:
    """What the plan did, where it did something, or might have."""
    plan, price = explanation.plan, explanation.price
    if plan is None:
        return
    own = plan.account_plan
    if plan.source is PlanSource.EVENT and own is not None and own.counts and own.name != plan.name:
        yield f"The event itself names the plan {plan.name}, in place of the account's plan {own.name}."
    elif plan.source is PlanSource.EVENT:
        yield f"The event itself names the plan {plan.name}."
    elif own is not None and not own.counts:
        ended = "has ended" if own.started_at <= explanation.event["occurred_at"] else "had not begun"
        yield f"The account's plan {own.name} {ended} at the event's time, and does not count."
    if price is not None and price.lock is LockReason.OTHER_PLAN:
        yield "So the prices are not those kept for the account's own plan."
    if line.plan_price:
        own_price = f"{line.line['unit_credits']:,} in place of {line.base_credits:,}"
        yield f"The plan {plan.name} has a price of its own: {own_price}."


def counted(line: LineStory) -> str:
    """Units and price."""
    billed = line.line
    units, unit_credits = billed["units"], billed["unit_credits"]
    what = "request" if line.per is None else line.per
    product = amount(units * unit_credits, billed["credit_type"])
    would = "" if billed["decision"] == Decision.CHARGED or not units * unit_credits else ", had it been charged"
    return f"{units:,} {what} at {amount(unit_credits, billed['credit_type'])} each: {product}{would}."


def because(explanation: Explanation, line: LineStory) -> Iterator[str]:
    """Why the line was decided as it was, where its price alone does not say it."""
    billed = line.line
    match billed["decision"]:
        case Decision.DUPLICATE:
            if line.unique is not None:
                yield _paid_already(explanation, line.unique)
        case Decision.NOTHING_FOUND:
            yield f"It is charged by the number of {line.per}, and there were none."
        case Decision.MISSING_SUBJECT:
            missing = (
                []
                if line.unique is None
                else [subject.field for subject in line.unique.subjects if not subject.compared]
            )
            names = _subject_names(line.unique)
            yield f"It is charged once for each {names}, and the event has no {listed(missing, 'or')}."
        case Decision.INSUFFICIENT_CREDITS:
            yield from _shortages(explanation)
        case Decision.NOT_BILLABLE:
            yield f"Its outcome was {explanation.event['outcome']}; only processed requests are charged."
        case Decision.UNPRICED:
            yield from _unpriced(explanation)


def _shortages(explanation: Explanation) -> Iterator[str]:
    for short in explanation.shortages:
        cost, available = amount(short.cost, short.credit_type), amount(short.available, short.credit_type)
        held = f", beside {short.held:,} that its hold set aside" if short.held else ""
        yield f"The whole event would have cost {cost}, and {available} were available{held}."
    yield "This account's requests are refused, and not charged, when credits do not suffice."


def _paid_already(explanation: Explanation, unique: UniqueStory) -> str:
    owner = unique.owner
    if owner is None:
        return ""
    paid = shown_time(owner.occurred_at)
    later = owner.occurred_at > explanation.event["occurred_at"]
    order = " (later than this event, yet it came to the log before it)" if later else ""
    until = "for ever" if owner.ends_at is None else f"until {shown_time(owner.ends_at)}"
    return (
        f"It is {_rule(unique)}, and event {owner.event_id} of {paid}{order} paid for {_subjects(unique)}: others are "
        f"free {until}."
    )


def unique_sentences(line: LineStory, unique: UniqueStory) -> Iterator[str]:
    """Of a line that was charged and claims its subject: until when it has paid, and who had paid before."""
    if line.line["decision"] != Decision.CHARGED:
        return
    ends_at = line.line["window_ends_at"]
    until = "for ever" if ends_at is None else f"until {shown_time(ends_at)}"
    yield f"It is {_rule(unique)}: this event has paid for {_subjects(unique)}, so that others are free {until}."
    earlier = unique.earlier
    if earlier is not None and earlier.ends_at is not None:
        paid, ended = shown_time(earlier.occurred_at), shown_time(earlier.ends_at)
        yield f"Event {earlier.event_id} had paid for it before, at {paid}; that ended at {ended}."


def _rule(unique: UniqueStory) -> str:
    names = _subject_names(unique)
    if unique.window == "ever":
        return f"charged once for each {names}, ever"
    length = "calendar day (UTC)" if unique.window == "calendar_day" else shown_duration(unique.window_ms)
    return f"charged once for each {names} within {'a' if unique.window == 'calendar_day' else ''} {length}".replace(
        "  ", " "
    )


def _subject_names(unique: UniqueStory | None) -> str:
    return "" if unique is None else listed([subject.field for subject in unique.subjects], "and")


def _subjects(unique: UniqueStory) -> str:
    subjects = []
    for subject in unique.subjects:
        spelled = "" if subject.given == subject.compared else f" (given as {subject.given})"
        subjects.append(f"{subject.field} {subject.compared}{spelled}")
    return listed(subjects, "and")


def _unpriced(explanation: Explanation) -> Iterator[str]:
    price = explanation.price
    if price is None or price.reason is VersionReason.NO_BOOK:
        yield "No price book had been published when it entered the log."
        return
    if price.reason is VersionReason.NONE_YET:
        yield f"Prices begin at {shown_time(price.first_from or 0)}, and it occurred before that."
        return
    yield from _near_misses(price, explanation.near_misses)


def _near_misses(price: PriceStory, misses: tuple[NearMiss, ...]) -> Iterator[str]:
    yield f"No charge of price version {price.version} applies to it. The nearest:"
    for miss in misses:
        wrong = [
            f"{condition.field} is {condition.value or 'absent'}, not {listed(list(condition.wanted), 'or')}"
            for condition in miss.failed
        ]
        yield f"- {miss.charge}: {listed(wrong, 'and')}."

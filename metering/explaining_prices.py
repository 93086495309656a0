"""The part of an explanation that is about prices: which plan counted, which version applied, which charges matched."""

from __future__ import annotations

from dataclasses import dataclass

from metering.account import Account
from metering.book import ATTRIBUTE, Book, Charge, Pair, Version, fits
from metering.explanation import (
    AccountPlan,
    Condition,
    LockReason,
    NearMiss,
    PlanSource,
    PlanStory,
    PriceStory,
    VersionReason,
)
from metering.records import Outcome, Record

NEAREST = 3
"""How many charges are named that nearly applied, where none did."""


@dataclass(frozen=True, slots=True)
class Prices:
    """What the book says of one event: the version, its charges that match, each with its credits, and why."""

    plan: PlanStory
    story: PriceStory | None
    version: Version | None
    pairs: tuple[Pair, ...]
    near_misses: tuple[NearMiss, ...]


def prices_of(account: Account, event: Record, book: Book | None, book_id: str | None) -> Prices:
    """Asks the account and the book what the machine asks them; an event that cannot be billed has no prices."""
    name, locked_to = account.plan_for(event["occurred_at"], event["plan"])
    plan = _plan_story(account, event, name)
    if event["outcome"] != Outcome.PROCESSED:
        return Prices(plan, None, None, (), ())
    version = None if book is None else book.version_for(event["occurred_at"], locked_to)
    story = _price_story(book, book_id, version, event["occurred_at"], _lock(book, plan, locked_to), locked_to)
    if book is None or version is None:
        return Prices(plan, story, None, (), ())
    pairs = tuple(book.matching(version, event["endpoint"], event["channel"], name, event["attributes"]))
    return Prices(plan, story, version, pairs, () if pairs else _near_misses(version, event, name))


def conditions_of(charge: Charge, event: Record, plan: str | None) -> tuple[Condition, ...]:
    """Each condition of the charge's `when` beside what the event holds."""
    fields = {"endpoint": event["endpoint"], "channel": event["channel"], "plan": plan}
    conditions = []
    for field, wanted in charge.when.items():
        value = fields[field] if field in fields else event["attributes"].get(field.removeprefix(ATTRIBUTE))
        conditions.append(Condition(field, wanted, value, fits(value, wanted)))
    return tuple(conditions)


def _plan_story(account: Account, event: Record, name: str | None) -> PlanStory:
    own = account.plan
    counts = account.plan_for(event["occurred_at"], None)[0] is not None
    source = PlanSource.EVENT if event["plan"] is not None else PlanSource.ACCOUNT if counts else PlanSource.NONE
    return PlanStory(name, source, None if own is None else AccountPlan(own[0], own[1], own[2], counts))


def _lock(book: Book | None, plan: PlanStory, locked_to: int | None) -> LockReason:
    if book is None or book.price_lock != "plan_period":
        return LockReason.NOT_IN_BOOK
    if locked_to is not None:
        return LockReason.LOCKED
    is_overridden = plan.account_plan is not None and plan.account_plan.counts
    return LockReason.OTHER_PLAN if is_overridden else LockReason.NO_PLAN


def _price_story(
    book: Book | None, book_id: str | None, version: Version | None, occurred_at: int, lock: LockReason,
    locked_to: int | None,
) -> PriceStory:  # fmt: skip
    if book is None:
        return PriceStory(VersionReason.NO_BOOK, lock, occurred_at)
    first_from = book.versions[0].effective_from
    unlocked = book.version_at(occurred_at)
    if version is None or unlocked is None:
        return PriceStory(VersionReason.NONE_YET, lock, occurred_at, first_from=first_from, book_id=book_id)
    reason, chosen_at = VersionReason.IN_FORCE, occurred_at
    if lock is LockReason.LOCKED and locked_to is not None:
        chosen_at = book.locked_at(occurred_at, locked_to)
        if chosen_at != locked_to:
            reason = VersionReason.OVERRIDDEN_LOCK
        else:
            reason = VersionReason.PLAN_LOCK if locked_to >= first_from else VersionReason.FIRST_VERSION
    return PriceStory(
        reason, lock, chosen_at, version.version, version.effective_from, unlocked.version, first_from, book_id
    )


def _near_misses(version: Version, event: Record, plan: str | None) -> tuple[NearMiss, ...]:
    """The charges with the fewest conditions that fail; among equals the book's order."""
    misses = [
        NearMiss(
            charge.charge, tuple(condition for condition in conditions_of(charge, event, plan) if not condition.holds)
        )
        for charge in version.charges
    ]
    return tuple(sorted(misses, key=lambda miss: len(miss.failed))[:NEAREST])

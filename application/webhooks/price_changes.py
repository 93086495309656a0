"""What a new price book announces: versions that begin later, and what each changes, for all or for one plan. Pure.

Of an account it is what its own plan pays that counts: a new price for another plan, or a version that does not reach
an account whose prices are locked, changes nothing for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from application.prices.differences import BookChange, charge_changes
from application.prices.price_list import AccountPlan
from metering.book import Charge, Version, fits
from metering.prices import Book


@dataclass(frozen=True, slots=True)
class AnnouncedVersion:
    """A version that begins later than its book is published. `index`: its place among the book's versions."""

    index: int
    version: Version
    before: Version | None
    """The version that it follows."""


def announced_versions(old: Book | None, new: Book, published_at: int) -> Iterator[AnnouncedVersion]:
    """The versions of `new` that begin after `published_at` (ms) and were not announced in the same words by `old`."""
    known = {version.version: version for version in old.versions} if old else {}
    for index, version in enumerate(new.versions):
        if version.effective_from <= published_at:
            continue
        before = new.versions[index - 1] if index else None
        if not _is_same(known.get(version.version), version):
            yield AnnouncedVersion(index, version, before)


def changes_for_everybody(announced: AnnouncedVersion) -> list[BookChange]:
    """What a version changes against the one that it follows, for any plan."""
    return charge_changes(announced.before, announced.version)


def changes_for_account(book: Book, announced: AnnouncedVersion, plan: AccountPlan | None) -> list[BookChange]:
    """What changes for an account with this plan at the version's beginning; empty where nothing does."""
    start = announced.version.effective_from
    counting = plan if plan is not None and plan.counts(start) else None
    plan_started_at = None if counting is None else counting.started_at
    now = book.version_for(start, plan_started_at)
    if now is not announced.version:  # the plan keeps its prices
        return []
    before = book.version_for(start - 1, plan_started_at) if announced.before is not None else None
    name = None if counting is None else counting.name
    was = None if before is None else _for_plan(before, name)
    return charge_changes(was, _for_plan(now, name))


def _for_plan(version: Version, plan: str | None) -> Version:
    """The version as somebody with this plan meets it: charges that may apply, with the plan's own credits."""
    return replace(
        version, charges=tuple(_charge_for(charge, plan) for charge in version.charges if _may(charge, plan))
    )


def _charge_for(charge: Charge, plan: str | None) -> Charge:
    credits_ = charge.credits if plan is None else charge.plans.get(plan, charge.credits)
    return replace(charge, credits=credits_, plans={})


def _may(charge: Charge, plan: str | None) -> bool:
    wanted = charge.when.get("plan")
    return wanted is None or (plan is not None and fits(plan, wanted))


def _is_same(old: Version | None, new: Version) -> bool:
    return (
        old is not None
        and (old.effective_from, old.overrides_lock) == (new.effective_from, new.overrides_lock)
        and not charge_changes(old, new)
    )

"""The prices of an account, or of everybody: in force, announced, free; and the rate limits beside them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from application.prices.differences import BookChange, charge_changes
from application.prices.publishing import PublishedBook
from application.prices.rate_limit_counters import Count
from application.wording import shown_duration, shown_time
from metering.book import Charge, RateLimit, Version, fits
from metering.windows import Window


@dataclass(frozen=True, slots=True)
class AccountPlan:
    """A plan and its time (ms), as an account's settings have it."""

    name: str
    started_at: int
    ends_at: int | None

    def counts(self, at: int) -> bool:
        """Whether it counts for a request of that time."""
        return self.started_at <= at and (self.ends_at is None or at < self.ends_at)


@dataclass(frozen=True, slots=True)
class Announced:
    """A version that begins later. `applies`: whether these prices will be the account's then.

    A plan that keeps its prices is not reached by a version that does not override that.
    """

    version: Version
    applies: bool
    changes: list[BookChange]


@dataclass(frozen=True, slots=True)
class PriceList:
    """Prices at the instant `at` (ms). `plan`: whose prices they are, None for everybody's.

    `version`: None before the first. `locked_since`: the time whose prices the plan keeps, None where it keeps none.
    """

    published: PublishedBook
    at: int
    plan: str | None
    version: Version | None
    locked_since: int | None
    announced: list[Announced]

    def charges(self) -> list[Charge]:
        """The charges that may apply, in the book's order."""
        return [] if self.version is None else [charge for charge in self.version.charges if self._is_for(charge)]

    def _is_for(self, charge: Charge) -> bool:
        wanted = charge.when.get("plan")
        return wanted is None or self.plan is None or fits(self.plan, wanted)

    def as_plain(self) -> dict[str, Any]:
        """For programs. An account is shown its own plan's credits, everybody all plans'."""
        book = self.published.book
        return {
            "as_of": self.published.book_id,
            "published_at": shown_time(self.published.published_at),
            "at": shown_time(self.at),
            "plan": self.plan,
            "price_lock": book.price_lock,
            "locked_since": None if self.locked_since is None else shown_time(self.locked_since),
            "version": None if self.version is None else _plain_version(self.version),
            "charges": [self._plain_charge(charge) for charge in self.charges()],
            "announced": [
                {
                    **_plain_version(announced.version),
                    "applies": announced.applies,
                    "changes": [_plain_change(change) for change in announced.changes],
                }
                for announced in self.announced
            ],
            "free_endpoints": sorted(
                {
                    endpoint
                    for charge in self.charges()
                    if not self._credits(charge)
                    for endpoint in charge.when.get("endpoint", ())
                }
            ),
        }

    def _credits(self, charge: Charge) -> int:
        return charge.credits if self.plan is None else charge.plans.get(self.plan, charge.credits)

    def _plain_charge(self, charge: Charge) -> dict[str, Any]:
        unique = charge.unique
        plain: dict[str, Any] = {
            "charge": charge.charge,
            "feature": charge.feature,
            "action": charge.action,
            "credit_type": charge.credit_type,
            "credits": self._credits(charge),
            "per": charge.per or "request",
            "when": {name: list(wanted) for name, wanted in charge.when.items()},
            "unique": None if unique is None else {"by": list(unique.by), "within": _window(unique.window)},
        }
        return plain | {"plans": dict(charge.plans)} if self.plan is None else plain


def price_list(published: PublishedBook, at: int, plan: AccountPlan | None = None) -> PriceList:
    """The prices of a request at `at` (ms): of an account with this plan, or of everybody."""
    book = published.book
    counting = plan if plan is not None and plan.counts(at) else None
    started_at = None if counting is None else counting.started_at
    version = book.version_for(at, started_at)
    is_locked = counting is not None and book.price_lock == "plan_period" and version is not None
    locked_since = book.locked_at(at, counting.started_at) if is_locked and counting is not None else None
    announced = []
    for coming in book.versions:
        if coming.effective_from > at:
            then = coming.effective_from
            keeps = counting is not None and counting.counts(then)
            applied = book.version_for(then, started_at if keeps else None)
            announced.append(Announced(coming, applied is coming, charge_changes(version, coming)))
    return PriceList(published, at, None if counting is None else counting.name, version, locked_since, announced)


CountUse = Callable[[RateLimit, int], Count | None]
"""Tells what an account has used of a limit of so many requests; None: not known."""


def rate_limits(published: PublishedBook, plan: str | None, count: CountUse | None = None) -> list[dict[str, Any]]:
    """Each limit with the plan's number of requests. What is used is null where nobody counts it for all processes."""
    return [_plain_limit(limit, plan, count) for limit in published.book.rate_limits]


def _plain_limit(limit: RateLimit, plan: str | None, count: CountUse | None) -> dict[str, Any]:
    requests = limit.requests if plan is None else limit.plans.get(plan, limit.requests)
    larger = {name: number for name, number in limit.plans.items() if number > requests}
    counted = None if count is None else count(limit, requests)
    return {
        "name": limit.name,
        "when": {name: list(wanted) for name, wanted in limit.when.items()},
        "requests": requests,
        "window": shown_duration(limit.per),
        "window_ms": limit.per,
        "used": None if counted is None else counted.used,
        "remaining": None if counted is None else counted.remaining,
        "reset": None if counted is None else shown_time(counted.reset_at),
        "larger_plan": min(larger, key=larger.__getitem__) if larger else None,
    }


def _plain_version(version: Version) -> dict[str, Any]:
    return {
        "version": version.version,
        "effective_from": shown_time(version.effective_from),
        "overrides_lock": version.overrides_lock,
    }


def _plain_change(change: BookChange) -> Mapping[str, Any]:
    return {
        "kind": change.kind.value, "charge": change.charge, "field": change.field, "old": change.old, "new": change.new,
    }  # fmt: skip


def _window(window: Window) -> str:
    return shown_duration(window.ms) if window.kind == "rolling" else window.kind

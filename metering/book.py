"""A price book as the state machine reads it: versions of charges, which of them apply, and to what.

`metering.book_parser` makes and checks these values; they are not checked again here.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

from metering.windows import DAY_MS, Window

ATTRIBUTE: Final = "attributes."  # what the name of an attribute begins with in `when` and in `unique.by`
_REMEMBERED = 8_192


class Limits(NamedTuple):
    """How late and how early an event may come, in ms."""

    accept_window: int
    future_skew: int


DEFAULT_LIMITS = Limits(accept_window=35 * DAY_MS, future_skew=5 * 60_000)


@dataclass(frozen=True, slots=True)
class Unique:
    """A charge is made once for each combination of the values of `by`, in this order, while `window` lasts."""

    by: tuple[str, ...]
    window: Window


@dataclass(frozen=True, slots=True)
class Charge:
    """One priced item. `per` is None for a price per request, else the name of the quantity that is multiplied."""

    charge: str
    feature: str | None
    action: str | None
    credit_type: str
    when: Mapping[str, tuple[str, ...]]
    per: str | None
    credits: int
    plans: Mapping[str, int]
    unique: Unique | None


@dataclass(frozen=True, slots=True)
class Version:
    """The charges in force from `effective_from` (ms) until the next version.

    `overrides_lock`: from its beginning it also applies to accounts whose plans keep earlier prices.
    """

    version: str
    effective_from: int
    charges: tuple[Charge, ...]
    overrides_lock: bool = False


@dataclass(frozen=True, slots=True)
class RateLimit:
    """How many requests may be made in `per` ms where `when` matches; `plans`: other numbers for these plans.

    It is no price and decides nothing here: whoever serves the requests enforces it.
    """

    name: str
    when: Mapping[str, tuple[str, ...]]
    requests: int
    per: int
    plans: Mapping[str, int]


Pair = tuple[Charge, int]
Conditions = tuple[tuple[str, tuple[str, ...]], ...]
# What is remembered of an endpoint, a channel and a plan: the charges that may match, and beside each the conditions
# on attributes that are left to look at; None where no charge has any.
_Candidates = tuple[tuple[Pair, ...], tuple[Conditions, ...] | None]


@dataclass(frozen=True, slots=True, eq=False)
class Book:
    """A whole price book; `versions` are sorted by `effective_from`, and there is at least one.

    `accept_window` and `future_skew` are ms. `positions` holds, for each version, its place in the file it came from.
    """

    price_lock: Literal["none", "plan_period"]
    accept_window: int
    future_skew: int
    versions: tuple[Version, ...]
    positions: tuple[int, ...] = ()
    rate_limits: tuple[RateLimit, ...] = ()
    _overrides: list[int] = field(init=False, repr=False)
    _starts: list[int] = field(init=False, repr=False)
    _remembered: dict[tuple[str, str, str, str | None], _Candidates] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_starts", [version.effective_from for version in self.versions])
        overriding = [version.effective_from for version in self.versions if version.overrides_lock]
        object.__setattr__(self, "_overrides", overriding)
        object.__setattr__(self, "_remembered", {})

    def version_at(self, t: int) -> Version | None:
        """The last version with effective_from <= t (ms); None before the first."""
        place = bisect_right(self._starts, t)
        return self.versions[place - 1] if place else None

    def version_for(self, occurred_at: int, plan_started_at: int | None) -> Version | None:
        """The version that prices an event of this time; None where none was in force then.

        `plan_started_at` is given only where the account's own plan counts and the event names no other: with
        `price_lock: plan_period` that plan keeps the prices of its start, or the first ones if it began before them;
        or those of the beginning of the last version since then that overrides the lock (SPEC 2).
        """
        current = self.version_at(occurred_at)
        if current is None or plan_started_at is None or self.price_lock != "plan_period":
            return current
        return self.version_at(self.locked_at(occurred_at, plan_started_at)) or self.versions[0]

    def locked_at(self, occurred_at: int, plan_started_at: int) -> int:
        """The time (ms) whose prices a locked plan has: its start, or the later one of a version that overrides it."""
        place = bisect_right(self._overrides, occurred_at)
        return max(plan_started_at, self._overrides[place - 1]) if place else plan_started_at

    def matching(
        self, version: Version, endpoint: str, channel: str, plan: str | None, attributes: Mapping[str, str]
    ) -> Sequence[Pair]:
        """The charges of `version` whose `when` matches, in the book's order, each with its credits for this plan.

        It is called for every event, so the result for an endpoint, channel and plan is computed once and remembered.
        """
        key = (version.version, endpoint, channel, plan)
        candidates = self._remembered.get(key)
        if candidates is None:
            if len(self._remembered) >= _REMEMBERED:  # endpoints come from callers, so their number has no bound
                self._remembered.clear()
            candidates = self._remembered[key] = _candidates(version, endpoint, channel, plan)
        pairs, conditions = candidates
        if conditions is None:
            return pairs
        return [pair for pair, wanted in zip(pairs, conditions, strict=True) if _all_hold(wanted, attributes)]


def _candidates(version: Version, endpoint: str, channel: str, plan: str | None) -> _Candidates:
    fields = {"endpoint": endpoint, "channel": channel, "plan": plan}
    pairs: list[Pair] = []
    conditions: list[Conditions] = []
    for charge in version.charges:
        if not all(fits(fields[name], wanted) for name, wanted in charge.when.items() if name in fields):
            continue
        credit = charge.credits if plan is None else charge.plans.get(plan, charge.credits)
        pairs.append((charge, credit))
        conditions.append(
            tuple((name.removeprefix(ATTRIBUTE), wanted) for name, wanted in charge.when.items() if name not in fields)
        )
    return tuple(pairs), (tuple(conditions) if any(conditions) else None)


def _all_hold(conditions: Conditions, attributes: Mapping[str, str]) -> bool:
    return all(fits(attributes.get(name), wanted) for name, wanted in conditions)


def fits(value: str | None, wanted: tuple[str, ...]) -> bool:
    """Whether a field is there and is one of `wanted`, of which one that ends in * is a prefix: a condition holds."""
    if value is None:
        return False
    return any(value.startswith(one[:-1]) if one.endswith("*") else value == one for one in wanted)

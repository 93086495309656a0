"""The shape of an explanation: everything that decided what became of one request event, as plain values.

Times are ms since the epoch (UTC), amounts are credits. `dataclasses.asdict` turns it into plain data.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from metering.records import Record


class VersionReason(StrEnum):
    """Why a price version applied, or why none did."""

    IN_FORCE = "in_force"
    """It was in force when the event occurred."""
    PLAN_LOCK = "plan_lock"
    """It was in force when the account's plan began, and the book locks prices to the plan."""
    OVERRIDDEN_LOCK = "overridden_lock"
    """The prices are locked to the plan, and this version has begun since and overrides the lock."""
    FIRST_VERSION = "first_version"
    """The plan is locked and began before there were prices: it has the first ones."""
    NO_BOOK = "no_book"
    """The log held no price book before the event."""
    NONE_YET = "none_yet"
    """The event occurred before the first version was in force."""


class LockReason(StrEnum):
    """Whether the prices were locked to the account's plan, or why not."""

    LOCKED = "locked"
    NOT_IN_BOOK = "not_in_book"
    NO_PLAN = "no_plan"
    """The account has no plan, or not at the event's time."""
    OTHER_PLAN = "other_plan"
    """The event itself names another plan."""


class PlanSource(StrEnum):
    """Where the name of the plan that counted came from."""

    ACCOUNT = "account"
    EVENT = "event"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class AccountPlan:
    """The account's settings when the event was decided; `counts`: the event occurred in the plan's time."""

    name: str
    started_at: int
    ends_at: int | None
    counts: bool


@dataclass(frozen=True, slots=True)
class PlanStory:
    """The plan that counted (None: none), and the account's own."""

    name: str | None
    source: PlanSource
    account_plan: AccountPlan | None


@dataclass(frozen=True, slots=True)
class PriceStory:
    """The version that priced the event and why; `chosen_at` is the time that it had to be in force at.

    `unlocked` is the version that would have applied without the lock. `first_from`: when the book's prices begin.
    """

    reason: VersionReason
    lock: LockReason
    chosen_at: int
    version: str | None = None
    effective_from: int | None = None
    unlocked: str | None = None
    first_from: int | None = None
    book_id: str | None = None


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition of a charge's `when`: the field, what it may be, what it was, and whether that fits."""

    field: str
    wanted: tuple[str, ...]
    value: str | None
    holds: bool


@dataclass(frozen=True, slots=True)
class NearMiss:
    """A charge of the version that did not apply, with the conditions that did not hold."""

    charge: str
    failed: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Subject:
    """What a charge is unique by: the field, its value as given and as compared (None: missing)."""

    field: str
    given: str | None
    compared: str | None


@dataclass(frozen=True, slots=True)
class Claimant:
    """A charged event that claimed the same subject; `ends_at` None: for ever."""

    event_id: str
    occurred_at: int
    ends_at: int | None


@dataclass(frozen=True, slots=True)
class UniqueStory:
    """Uniqueness of one line. `window` is rolling, calendar_day or ever; `window_ms` the length of a rolling one.

    `owner` made this line free. `earlier` had paid for the same subject before, too long ago to make it free.
    """

    window: str
    window_ms: int
    subjects: tuple[Subject, ...]
    owner: Claimant | None = None
    earlier: Claimant | None = None


@dataclass(frozen=True, slots=True)
class Draw:
    """Credits that a line took from one grant, and what the grant had left before and after."""

    grant_id: str
    credits: int
    expires_at: int | None
    left_before: int
    left_after: int


@dataclass(frozen=True, slots=True)
class LineStory:
    """One line: the billed record itself, and all that led to it.

    `per` is the quantity that was counted (None: the request). `plan_price`: the price is the plan's own and not the
    charge's `base_credits`. `balance_before` is just before this line; `debt` the credits of it that no grant covered.
    """

    line: Record
    conditions: tuple[Condition, ...] = ()
    per: str | None = None
    base_credits: int = 0
    plan_price: bool = False
    unique: UniqueStory | None = None
    balance_before: int | None = None
    draws: tuple[Draw, ...] = ()
    debt: int = 0


@dataclass(frozen=True, slots=True)
class BalanceStory:
    """One credit type over the whole event: before, less the grants that had expired by then, less what was charged."""

    credit_type: str
    before: int
    expired: int
    charged: int
    after: int
    debt_before: int
    debt_after: int


@dataclass(frozen=True, slots=True)
class Shortage:
    """A credit type that an event refused as a whole would have overdrawn.

    `available`: the balance less open holds. `held`: what the event's own hold still set aside, which comes on top.
    """

    credit_type: str
    cost: int
    available: int
    held: int = 0


@dataclass(frozen=True, slots=True)
class HoldStory:
    """The open hold that an event drew on. `remaining`: still set aside before it, by credit type.

    `change` is the hold as the event left it, a HoldChange record.
    """

    hold_id: str
    remaining: dict[str, int]
    change: Record


@dataclass(frozen=True, slots=True)
class RepeatStory:
    """The command that a repeat repeats: its time (ms) and place, None where an older version kept none.

    `same_content`: whether this one says the same; None where that is not known.
    """

    occurred_at: int
    offset: int | None
    index: int | None
    same_content: bool | None


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an event became a dead letter. `earliest` and `latest`: what its time could have been, where that is why."""

    reason: str
    field: str | None
    detail: str
    value: object = None
    earliest: int | None = None
    latest: int | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """What became of one request event, and why.

    Exactly one holds: it has `lines`; it was a dead letter (`refusal`); or it was the repeat of an event that the
    account had accepted already, which occurred at `repeat_of` (`repeat` says more). `event` is its plain form,
    `stream_time` the account's before it (None: its first command). `expired` are grants that were over by the event's
    time, `expired_holds` holds that were over when it was recorded, `alerts` what the event set off. `hold` is None
    where the event names no hold, or one that was not open.
    """

    event: Record
    recorded_at: int
    stream_time: int | None
    on_empty: str | None
    refusal: Refusal | None = None
    repeat_of: int | None = None
    repeat: RepeatStory | None = None
    plan: PlanStory | None = None
    price: PriceStory | None = None
    lines: tuple[LineStory, ...] = ()
    near_misses: tuple[NearMiss, ...] = ()
    shortages: tuple[Shortage, ...] = ()
    balances: tuple[BalanceStory, ...] = ()
    expired: tuple[Record, ...] = ()
    expired_holds: tuple[Record, ...] = ()
    hold: HoldStory | None = None
    alerts: tuple[Record, ...] = ()

    @property
    def credits(self) -> dict[str, int]:
        """What the event was charged, by credit type; empty where nothing."""
        return {balance.credit_type: balance.charged for balance in self.balances if balance.charged}

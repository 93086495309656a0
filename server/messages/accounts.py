"""Answers about accounts: where they stand, their prices, their rate limits."""

from __future__ import annotations

from typing import Annotated, Any, NotRequired, TypedDict

from msgspec import Meta

from metering.records import OnEmpty
from server.messages.scalars import AsOfText, Time


class PeriodShown(TypedDict):
    """The plan's month, else the UTC month: start <= t < end."""

    start: Time
    end: Time


class CreditsShown(TypedDict):
    """Credits of one type; `granted`, `used` and `refunded` are of this period."""

    balance: int
    held: int
    available: int
    granted: int
    used: int
    refunded: int


class GrantShown(TypedDict):
    """What is left of an open grant."""

    grant_id: str
    credit_type: str
    credits: int
    expires_at: Time | None
    reason: str


class PlanShown(TypedDict):
    """A plan and its time."""

    name: str
    started_at: Time
    ends_at: Time | None


class AccountShown(TypedDict):
    """Where an account stands."""

    account_id: str
    as_of: AsOfText
    at: Time
    period: PeriodShown
    credits: dict[str, CreditsShown]
    grants: list[GrantShown]
    plan: PlanShown | None
    on_empty: OnEmpty
    alert_below: dict[str, int]
    webhooks: list[str]


class AccountInfo(TypedDict):
    """Exactly the credits that are available, and the webhooks' addresses."""

    credits: int
    webhooks: list[str]


class ListedAccount(TypedDict):
    """An account and its balances, by credit type."""

    account_id: str
    balances: dict[str, int]


class AccountList(TypedDict):
    """Accounts in order of name; `next` is `after` of the list behind, null at the end."""

    accounts: list[ListedAccount]
    next: str | None


class UniqueShown(TypedDict):
    """What is paid once: by which subjects, and for how long."""

    by: list[str]
    within: str


class ChargeShown(TypedDict):
    """One priced item. `plans` stand in everybody's list only."""

    charge: str
    feature: str | None
    action: str | None
    credit_type: str
    credits: int
    per: str
    when: dict[str, list[str]]
    unique: UniqueShown | None
    plans: NotRequired[dict[str, int]]


class VersionShown(TypedDict):
    """A version of the price book."""

    version: str
    effective_from: Time
    overrides_lock: bool


class PriceChange(TypedDict):
    """What a version changes."""

    kind: str
    charge: str | None
    field: str | None
    old: Any
    new: Any


class AnnouncedVersion(VersionShown):
    """A version that begins later. `applies`: whether these prices will be the account's then."""

    applies: bool
    changes: list[PriceChange]


class PricesShown(TypedDict):
    """Prices in force and announced."""

    as_of: Annotated[str, Meta(description="the price book's id")]
    published_at: Time
    at: Time
    plan: str | None
    price_lock: str
    locked_since: Time | None
    version: VersionShown | None
    charges: list[ChargeShown]
    announced: list[AnnouncedVersion]
    free_endpoints: list[str]


class RateLimitShown(TypedDict):
    """One limit with the plan's number of requests. `used` is null where counters are not shared."""

    name: str
    when: dict[str, list[str]]
    requests: int
    window: str
    window_ms: int
    used: int | None
    remaining: int | None
    reset: Time | None
    larger_plan: Annotated[str | None, Meta(description="the plan that allows a little more")]


class RateLimitsShown(TypedDict):
    """The rate limits of an account."""

    as_of: Annotated[str, Meta(description="the price book's id")]
    plan: str | None
    rate_limits: list[RateLimitShown]

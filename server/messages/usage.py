"""Bodies and answers about usage: history, sums, explanations."""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired, TypedDict

from msgspec import Meta, Struct, field

from application.usage.aggregation import MOST_GROUPS
from application.usage.buckets import Granularity
from application.usage.measures import Measure
from application.usage.query import REFUNDED
from metering.records import Decision, Outcome
from server.messages.scalars import AsOfText, Instant, Texts, Time

RowDecision = Annotated[str, Meta(extra_json_schema={"enum": [*map(str, Decision), REFUNDED]})]


class GrantUsed(TypedDict):
    """What was taken of one grant."""

    grant_id: str
    credits: int


class UsageRowShown(TypedDict):
    """A row of the history: a billed line, or the refund of one (its credits are negative)."""

    date: Time
    kind: Literal["line", "refund"]
    feature: str | None
    action: str | None
    description: str
    credits: int
    data_requested: str | None
    user: str | None
    account_id: str
    event_id: str
    line: int
    occurred_at: Time
    endpoint: str
    channel: str
    outcome: Outcome
    request_id: str | None
    actor: str | None
    user_id: str | None
    ip: str | None
    domain: str | None
    plan: str | None
    quantities: dict[str, int]
    attributes: dict[str, str]
    decision: RowDecision
    charge: str | None
    credit_type: str | None
    price_version: str | None
    units: int
    unit_credits: int
    owner_event_id: str | None
    window_ends_at: Time | None
    balance_after: int | None
    grants_used: list[GrantUsed]
    hold_id: str | None
    refund_id: str | None
    reason: str | None
    forfeited: int | None
    remaining_charge: int | None


class UsagePage(TypedDict):
    """A page of the history; `next` is the cursor of the page behind it, null at the end."""

    as_of: AsOfText
    rows: list[UsageRowShown]
    next: str | None


class FilterBody(Struct, kw_only=True):
    """Which lines count: for each filter any of its values."""

    actor: Texts = ()
    feature: Texts = ()
    action: Texts = ()
    charge: Texts = ()
    endpoint: Texts = ()
    decision: Texts = ()
    credit_type: Texts = ()
    request_id: Texts = ()
    event_id: Texts = ()
    subject: Texts = ()
    text: str | None = None


class UsageQueryBody(Struct, kw_only=True):
    """What is added up. With a granularity both times are needed."""

    from_: Instant | None = field(default=None, name="from")
    to: Instant | None = None
    granularity: Granularity | None = None
    time_zone: Annotated[str, Meta(description="a name of the IANA database; UTC unless given")] | None = None
    group_by: Annotated[Texts, Meta(description=f"fields, or attributes.NAME; at most {MOST_GROUPS}")] = ()
    filters: FilterBody | None = None
    measures: Annotated[Texts, Meta(description=f"of {', '.join(Measure)}; credits unless given")] = ()


class RateShown(TypedDict):
    """`numerator` of `denominator` events; `apart`: events that are in neither, by outcome."""

    numerator: int
    denominator: int
    ratio: str | None
    apart: dict[str, int]


class CellShown(TypedDict):
    """One bucket and group, with the measures that were asked for."""

    start: Time | None
    end: Time | None
    group: dict[str, str | int | None]
    credits: NotRequired[int]
    refunded: NotRequired[int]
    net: NotRequired[int]
    events: NotRequired[int]
    lines: NotRequired[int]
    units: NotRequired[int]
    free_repeats: NotRequired[int]
    success_rate: NotRequired[RateShown]
    failure_rate: NotRequired[RateShown]


class AggregationShown(TypedDict):
    """The cells, by bucket and then by group."""

    as_of: AsOfText
    granularity: Granularity
    time_zone: str
    group_by: list[str]
    cells: list[CellShown]


class HoldChangeShown(TypedDict):
    """One change of the hold that an event drew on."""

    hold_id: str
    status: str
    event_id: str | None
    expires_at: Time
    at: Time


class LetterOfEvent(TypedDict):
    """Why an event of this id was set aside."""

    reason: str
    field: str | None
    detail: str | None
    recorded_at: Time


class ExplanationShown(TypedDict):
    """Why an event cost what it cost, as data and in sentences."""

    as_of: AsOfText
    event_id: str
    account_id: str
    credits: dict[str, int]
    refunded: dict[str, int]
    lines: list[UsageRowShown]
    refunds: list[UsageRowShown]
    holds: list[HoldChangeShown]
    dead_letters: list[LetterOfEvent]
    sentences: list[str]

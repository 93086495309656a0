"""The Overview page."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from application.access.identity import Action
from application.access.webhooks import list_webhooks
from application.accounts.standing import AccountStanding, account_standing
from application.errors import ErrorCode, Failed
from application.prices.price_list import price_list, rate_limits
from application.usage.query import Filters
from application.usage.scope import UsageScope, scope_of
from server.api.problems import Mistake, Problem, ProblemType
from server.api.reads import Reads, reads_of
from server.api.usage import query_problems
from server.pages import times
from server.pages.charts import Chart, credits_chart
from server.pages.overview.balances import CreditCard, credit_cards
from server.pages.overview.endpoints import (
    DEFAULT_SORT,
    MOST,
    SORTS,
    Requests,
    all_requests,
    requests_by_endpoint,
    sorted_requests,
)
from server.pages.page_call import PageCall
from server.pages.rendering import page
from server.pages.routing import Page
from sinks.printable import without_secrets
from streams import clock

PERIODS = {"7d": "7 days", "30d": "30 days", "90d": "90 days"}
_DAYS = {"7d": 7, "30d": 30, "90d": 90}
_DEFAULT_PERIOD = "30d"


@dataclass(frozen=True, slots=True)
class Overview:
    """What the page shows. `endpoints`: None where there are too many. `prices`: None where no book is published."""

    standing: AccountStanding
    cards: list[CreditCard]
    unit: str | None
    chart: Chart | None
    requests: Requests
    endpoints: list[Requests] | None
    prices: dict[str, Any] | None
    limits: list[dict[str, Any]]


async def get_overview(call: PageCall) -> Response:
    """Where the account stands."""
    period, sort = call.first("period") or _DEFAULT_PERIOD, call.first("sort") or DEFAULT_SORT
    mistakes = [] if period in PERIODS else [Mistake("period", f"should be one of {', '.join(PERIODS)}")]
    mistakes += [] if sort in SORTS else [Mistake("sort", f"should be one of {', '.join(SORTS)}")]
    if mistakes:
        raise Problem(ProblemType.INVALID_PARAMETERS, "what was chosen cannot be read", mistakes)
    scope, now = scope_of(call.who, call.account, Action.READ_ACCOUNT), clock.now_ms()
    with query_problems(lambda name: name):
        view = await asyncio.to_thread(_overview, call, scope, now, _DAYS[period])
    parameters = {"period": period, "sort": sort, "unit": view.unit}
    return page(
        call, "overview.html", view=view, period=period, periods=PERIODS, sorts=SORTS, sort=sort, now=now,
        rows=None if view.endpoints is None else sorted_requests(view.endpoints, sort), most=MOST,
        troubles=_troubles(call), here=call.account_url("", parameters),
        with_=lambda name, value: call.account_url("", parameters | {name: value}),
    )  # fmt: skip


def _overview(call: PageCall, scope: UsageScope, now: int, days: int) -> Overview:
    reads = reads_of(call)
    usage = reads.usage.at_one_instant(scope)
    standing = account_standing(usage, scope, now, call.parts.unloaded)
    units = list(standing.credits)
    unit = next(
        (unit for unit in (call.first("unit"), reads.primary_credit_type) if unit in units), units[0] if units else None
    )
    filters = Filters(times.day_start(now, call.zone, 1 - days), times.day_start(now, call.zone, 1))
    chart = None
    if unit is not None:
        of_unit = Filters(filters.from_ms, filters.to_ms, credit_type=(unit,))
        chart = credits_chart(usage, scope, of_unit, unit, call.zone)
    prices, limits = _prices(reads, standing, now)
    cards = credit_cards(usage, scope, standing, now, call.zone)
    requests = all_requests(usage, scope, filters)
    endpoints = requests_by_endpoint(usage, scope, filters, unit)
    return Overview(standing, cards, unit, chart, requests, endpoints, prices, limits)


def _prices(reads: Reads, standing: AccountStanding, now: int) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
    try:
        published = reads.book()
    except Failed as error:
        if error.code not in {ErrorCode.UNAVAILABLE, ErrorCode.NOT_FOUND}:
            raise
        return None, []
    plan = standing.plan
    name = plan.name if plan is not None and plan.counts(now) else None
    return price_list(published, now, plan).as_plain(), rate_limits(published, name)


def _troubles(call: PageCall) -> list[tuple[str, str]]:
    """Webhooks that are off, with the reason; addresses without their secrets."""
    if call.parts.access is None:
        return []
    webhooks = list_webhooks(call.parts.access, call.account)
    return [
        (without_secrets(webhook.url), webhook.disabled_reason or "") for webhook in webhooks if webhook.disabled_at
    ]


PAGES = (Page("GET", "/accounts/{account}", Action.READ_ACCOUNT, get_overview, "Where an account stands"),)

"""Prices in force and announced, an account's and everybody's; rate limits (SERVER 2)."""

from __future__ import annotations

import asyncio
from functools import partial

from starlette.responses import Response

from application.access.identity import Action
from application.prices.price_list import AccountPlan, price_list, rate_limits
from application.prices.rate_limit_counters import Count, RedisCounters
from metering.book import RateLimit
from server.api.after import DECIDED_ITEM, wait_until_decided
from server.api.answers import json_answer
from server.api.call import Call
from server.api.contract import PREFER
from server.api.problems import Problem, ProblemType
from server.api.reads import reads_of
from server.api.routing import Operation
from server.messages.accounts import PricesShown, RateLimitsShown
from streams import clock


async def account_prices(call: Call) -> Response:
    """The prices of an account: of its plan, and as old as that keeps them."""
    published, plan = reads_of(call).book(), await _plan(call)
    return json_answer(price_list(published, clock.now_ms(), plan).as_plain())


async def public_prices(call: Call) -> Response:
    """The prices of everybody, where they are public."""
    reads = reads_of(call)
    if not reads.public_prices:
        raise Problem(ProblemType.NOT_FOUND, "prices are not public here: ask for an account's, with its key")
    return json_answer(price_list(reads.book(), clock.now_ms()).as_plain())


async def account_rate_limits(call: Call) -> Response:
    """The rate limits that the account's plan has."""
    published, plan, now = reads_of(call).book(), await _plan(call), clock.now_ms()
    name, counters, account_id = None, reads_of(call).counters, call.account or ""
    if plan is not None and plan.counts(now):
        name = plan.name
    count = None if counters is None else partial(_counted, counters, account_id)
    limits = await asyncio.to_thread(rate_limits, published, name, count)
    return json_answer({"as_of": published.book_id, "plan": name, "rate_limits": limits})


def _counted(counters: RedisCounters, account_id: str, limit: RateLimit, allowed: int) -> Count | None:
    return counters.count(limit, allowed, account_id)


async def _plan(call: Call) -> AccountPlan | None:
    if call.account is None:
        raise Problem(ProblemType.NOT_FOUND, "name an account")
    await wait_until_decided(call)
    return await asyncio.to_thread(reads_of(call).plans.of, call.account, call.parts.unloaded)


OPERATIONS = (
    Operation(
        "GET", "/v1/prices", None, public_prices, "Prices in force and announced", (), None, {200: PricesShown},
        (ProblemType.NOT_FOUND, ProblemType.UNAVAILABLE),
    ),
    Operation(
        "GET", "/v1/accounts/{account}/prices", Action.READ_PRICES, account_prices, "An account's prices",
        (DECIDED_ITEM, PREFER), None, {200: PricesShown},
    ),
    Operation(
        "GET", "/v1/accounts/{account}/rate-limits", Action.READ_RATE_LIMITS, account_rate_limits,
        "An account's rate limits", (DECIDED_ITEM, PREFER), None, {200: RateLimitsShown},
    ),
)  # fmt: skip

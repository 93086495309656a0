"""Where an account stands (SERVER 2)."""

from __future__ import annotations

import asyncio
from typing import Annotated

from msgspec import Meta
from starlette.responses import Response

from application.access.identity import Action
from application.accounts.listing import AccountFilters, listed_accounts
from application.accounts.standing import AccountStanding, account_standing
from application.status.pipeline import PipelineStatus
from application.usage.scope import scope_of
from server.api.answers import json_answer
from server.api.call import Call
from server.api.contract import Link, Parameter
from server.api.problems import Mistake, Problem, ProblemType
from server.api.reads import reads_of, webhook_urls_of
from server.api.routing import Operation
from server.messages.accounts import AccountInfo, AccountList, AccountShown
from streams import clock


async def account(call: Call) -> Response:
    """Credits by type, this period's grants and use, open grants, plan and settings."""
    return json_answer((await _standing(call)).as_plain() | {"webhooks": webhook_urls_of(call)})


async def account_info(call: Call) -> Response:
    """Exactly the credits that are available, and the webhooks' addresses."""
    standing = await _standing(call)
    credits_ = standing.available(reads_of(call).primary_credit_type)
    return json_answer({"credits": credits_, "webhooks": webhook_urls_of(call)})


async def accounts(call: Call) -> Response:
    """Accounts by name; `after` is the last one of the page before."""
    limit = call.parameter("limit") or "100"
    if not (limit.isascii() and limit.isdigit() and 1 <= int(limit[:9]) <= 1_000):
        raise Problem(
            ProblemType.INVALID_PARAMETERS, "parameters are wrong", [Mistake("limit", "a number from 1 to 1,000")]
        )
    filters = AccountFilters(call.parameter("search"), call.parameter("after"))
    listed = await asyncio.to_thread(listed_accounts, reads_of(call).usage.store, filters, int(limit))
    return json_answer({"accounts": listed, "next": listed[-1]["account_id"] if len(listed) == int(limit) else None})


async def status(call: Call) -> Response:
    """The whole pipeline at one look, as `creditmeter status` shows it."""
    look = reads_of(call).status
    if look is None:
        raise Problem(ProblemType.UNAVAILABLE, "this server cannot look at the whole pipeline")
    return json_answer(await asyncio.to_thread(look))


async def _standing(call: Call) -> AccountStanding:
    if call.account is None:
        raise Problem(ProblemType.NOT_FOUND, "this key is for all accounts: name one, at /v1/accounts/{account}")
    scope = scope_of(call.who, call.account, Action.READ_ACCOUNT)
    return await asyncio.to_thread(account_standing, reads_of(call).usage, scope, clock.now_ms())


_LIST = (
    Parameter("search", "a part of the name, in either case"),
    Parameter("after", "`next` of the list before"),
    Parameter("limit", "how many, 100 unless given", Annotated[int, Meta(ge=1, le=1_000)]),
)
_TO_ONE = Link("GET /v1/accounts/{account}", {"account": "$response.body#/accounts/0/account_id"})
OPERATIONS = (
    Operation(
        "GET", "/v1/accounts/{account}", Action.READ_ACCOUNT, account, "Where an account stands", (), None,
        {200: AccountShown},
    ),
    Operation(
        "GET", "/account/info", Action.READ_ACCOUNT, account_info, "The credits that are available", (), None,
        {200: AccountInfo}, (ProblemType.CONFLICT,),
    ),
    Operation(
        "GET", "/v1/status", Action.READ_STATUS, status, "The whole pipeline at one look", (), None,
        {200: PipelineStatus},
    ),
    Operation(
        "GET", "/v1/accounts", Action.LIST_ACCOUNTS, accounts, "Accounts by name", _LIST, None, {200: AccountList},
        links={"account": _TO_ONE},
    ),
)  # fmt: skip

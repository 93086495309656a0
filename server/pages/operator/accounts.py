"""Finding an account."""

from __future__ import annotations

import asyncio

from starlette.responses import Response

from application.access.identity import Action
from application.accounts.listing import AccountFilters, listed_accounts
from server.api.paths import segment_of
from server.api.reads import reads_of
from server.pages.page_call import PageCall, url_of
from server.pages.rendering import page
from server.pages.routing import Page

LIMIT = 50


async def get_accounts(call: PageCall) -> Response:
    """Accounts by name, and those whose name holds what is looked for."""
    search, after = call.first("search"), call.query.get("after", [""])[-1]
    filters = AccountFilters(search or None, after or None)
    accounts = await asyncio.to_thread(listed_accounts, reads_of(call).usage.store, filters, LIMIT + 1)
    shown = accounts[:LIMIT]
    is_more = len(accounts) > LIMIT
    return page(
        call, "operator_accounts.html", accounts=shown, search=search, segment=segment_of,
        following=url_of("/operator", {"search": search, "after": shown[-1]["account_id"]}) if is_more else None,
        first=url_of("/operator", {"search": search}) if after else None,
    )  # fmt: skip


PAGES = (Page("GET", "/operator", Action.LIST_ACCOUNTS, get_accounts, "Accounts by name"),)

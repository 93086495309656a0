"""The whole pipeline at one look: how far it is, and what is wrong."""

from __future__ import annotations

import asyncio

from starlette.responses import Response

from application.access.identity import Action
from server.api.problems import Problem, ProblemType
from server.api.reads import reads_of
from server.pages.page_call import PageCall
from server.pages.rendering import page
from server.pages.routing import Page
from streams import clock


async def get_status(call: PageCall) -> Response:
    """As `creditmeter status` shows it."""
    look = reads_of(call).status
    if look is None:
        raise Problem(ProblemType.UNAVAILABLE, "this server cannot look at the whole pipeline")
    status = await asyncio.to_thread(look)
    return page(call, "operator_status.html", pipeline=status, now=clock.now_ms())


PAGES = (Page("GET", "/operator/status", Action.READ_STATUS, get_status, "The whole pipeline at one look"),)

"""The entry of a page in the table: as an operation of the API, but for a handler that takes a `PageCall`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import cast

from starlette.responses import Response

from application.access.identity import Action
from server.api.routing import Handler, Operation
from server.pages.page_call import PageCall

SIGNED_IN = Action.READ_PRICES
"""What everybody may who can sign in."""
PageHandler = Callable[[PageCall], Awaitable[Response]]


def Page(method: str, path: str, action: Action | None, handler: PageHandler, summary: str) -> Operation:  # noqa: N802
    """A page. `action`: what who has signed in must be allowed; None: nobody needs to sign in."""
    return Operation(method, path, action, cast("Handler", handler), summary)

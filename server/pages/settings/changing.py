"""What the forms of Settings have in common: who changes, and what was wrong, said on the page."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from application.access.authors import Author
from application.access.checks import BadAccessFields
from application.errors import ErrorCode, Failed
from server.api.problems import Mistake, Problem, ProblemType
from server.pages.page_call import PageCall

T = TypeVar("T")


def author_of(call: PageCall) -> Author:
    """Who has signed in, and from where."""
    return Author(call.who, call.address)


async def changed(work: Callable[..., T], *arguments: object) -> T:
    """The use case's result, from a thread. Raises Problem for wrong fields, UseCaseError."""
    try:
        return await asyncio.to_thread(work, *arguments)
    except BadAccessFields as error:
        mistakes = [Mistake(field, text) for field, text in error.mistakes]
        raise Problem(ProblemType.INVALID_ITEMS, "nothing was changed: go back and try again", mistakes) from error


def raise_unless_of_account(call: PageCall, account_id: str | None, what: str) -> None:
    """Raises Failed (NOT_FOUND) for a thing of another account than the page's."""
    if account_id != call.account:
        raise Failed(f"there is no {what} {call.ids['id']}", ErrorCode.NOT_FOUND)

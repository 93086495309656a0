"""Answers requests for pages: finds the page, who has signed in, and whether they may; then the page's handler.

The same table of actions decides as for keys (SERVER 3), before any handler runs. A request that changes something has
to come from a page of this server (`Origin`) and carry its session's token. A session opens pages and never /v1.
"""

from __future__ import annotations

import asyncio
from urllib.parse import parse_qsl

from starlette.responses import Response
from starlette.types import Receive, Scope

from application.access.errors import KeyRefused
from application.access.identity import allows
from application.access.sessions import Session, find_session, is_csrf_token, known_session
from application.errors import UseCaseError
from application.pipeline import translated_causes
from server.api.problems import Problem, ProblemType, problem_of
from server.api.routing import OWN, Match, Router
from server.limits import Usage
from server.pages.cookies import session_cookie_name
from server.pages.origins import check_origin
from server.pages.page_call import PageCall
from server.pages.rendering import page
from server.pages.sign_in import SIGN_IN_PATHS
from server.pages.table import PAGES
from server.parts import Parts

_FIRST_SEGMENTS = {page.segments[0] for page in PAGES}
_READING = {"GET", "HEAD"}
CSRF = "csrf"
"""The field of a form that carries its session's token."""


def is_page(raw_path: bytes) -> bool:
    """Whether a path is a page's and not the API's."""
    return raw_path[1:].partition(b"/")[0].decode("latin-1") in _FIRST_SEGMENTS


class Pages:
    """The pages over a server's parts."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._router = Router(PAGES)

    async def answer(self, scope: Scope, receive: Receive, usage: Usage) -> Response:
        """The page, or one that says what is wrong."""
        observed = scope["state"]["observed"]
        call = PageCall(self._parts, scope, receive, None, {}, None, usage, observed.facts)
        try:
            match = self._router.match(scope["method"], scope["raw_path"])
            observed.route = match.operation.path
            call.ids = match.ids
            with translated_causes():
                await self._identify(call, match)
                await _check_change(call, match)
                return await match.operation.handler(call)
        except Problem as problem:
            return _problem_page(call, problem)
        except UseCaseError as error:
            return _problem_page(call, problem_of(error))

    async def _identify(self, call: PageCall, match: Match) -> None:
        """Puts into the call who has signed in, and which account it is about. Raises Problem: 401, 403, 404, 429."""
        action = match.operation.action
        if action is None:
            return
        call.session = await _session_of(call)
        call.identity = identity = call.session.identity
        call.facts["session"] = identity.key_id
        call.usage.of_key(identity.key_id)
        call.account = identity.account_id
        if "account" in match.ids:
            account = match.ids["account"]
            call.account = identity.account_id if account == OWN else account
            if call.account is None or identity.account_id not in {None, call.account}:
                call.account = identity.account_id
                raise Problem(ProblemType.NOT_FOUND, "there is no such account, or you may not see it")
        if not allows(identity, action, call.account):
            raise Problem(ProblemType.FORBIDDEN, f"somebody who has signed in as {identity.role} may not do that")


async def _session_of(call: PageCall) -> Session:
    """Who has signed in. Raises Problem 401 where nobody has."""
    token = call.cookies.get(session_cookie_name(over_tls=call.over_tls))
    if token is None:
        raise Problem(ProblemType.UNAUTHENTICATED, "open the link that you were sent, or ask for a new one")
    try:
        known = known_session(call.access, token)
        return known if known is not None else await asyncio.to_thread(find_session, call.access, token)
    except KeyRefused as error:
        raise Problem(ProblemType.UNAUTHENTICATED, error.message) from error


async def _check_change(call: PageCall, match: Match) -> None:
    """Raises Problem 403 where a change comes from elsewhere than a page of this server and session."""
    if call.scope["method"] in _READING:
        return
    check_origin(call.headers, call.parts.face)
    call.fields = await call.form()
    if match.operation.path in SIGN_IN_PATHS:
        return  # nobody has signed in yet; the link itself is what is needed
    session = call.session
    if session is None or not is_csrf_token(call.access, session, call.field(CSRF)):
        raise Problem(ProblemType.FORBIDDEN, "this form is of another session: go back, reload the page and try again")


def _problem_page(call: PageCall, problem: Problem) -> Response:
    try:
        parse_qsl(call.scope["query_string"].decode("ascii"), strict_parsing=False)
    except ValueError:
        return problem.response()
    is_signed_out = problem.type is ProblemType.UNAUTHENTICATED
    response = page(call, "signed_out.html" if is_signed_out else "problem.html", problem.type.status, problem=problem)
    for name, value in (problem.headers or {}).items():
        response.headers[name] = value
    return response

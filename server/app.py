"""Makes the ASGI app. Nothing is made when this is imported.

A request passes, from outside in: `ObservedMiddleware` (its id, log line, metrics), `HostMiddleware`, `CorsMiddleware`,
the limits, the router, and who asks and may (`_identified`); then its operation. Whatever is refused on the way is a
problem document.
"""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from application.access.errors import KeyRefused, NotAllowed
from application.access.identity import Identity, allows
from application.errors import UseCaseError
from application.pipeline import translated_causes
from server.api.call import Call
from server.api.problems import Problem, ProblemType, problem_of
from server.api.routing import OWN, Match, Router
from server.api.table import OPERATIONS
from server.limits import Usage
from server.middleware.cors import CorsMiddleware
from server.middleware.hosts import HostMiddleware
from server.middleware.observed import ObservedMiddleware
from server.openapi.documentation import Documentation
from server.pages.dispatch import Pages, is_page
from server.parts import Parts

_BEARER = "bearer "


def make_app(parts: Parts) -> ASGIApp:
    """The whole app over these parts. Its lifespan is empty: who makes the parts begins and ends them."""
    parts.documentation = Documentation(OPERATIONS)
    app: ASGIApp = _Dispatch(parts)
    app = CorsMiddleware(app, parts.face.origins)
    app = HostMiddleware(app, parts.face.hosts)
    return ObservedMiddleware(app, parts.metrics, over_tls=parts.face.over_tls)


class _Dispatch:
    """Routes a request to its operation, once its key was seen to allow it."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._router = Router(OPERATIONS)
        self._pages = Pages(parts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        try:
            with self._parts.limits.request() as usage:
                response = await self._answer(scope, receive, usage)
                await response(scope, receive, send)
        except Problem as problem:
            await problem.response()(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, usage: Usage) -> Response:
        observed = scope["state"]["observed"]
        if is_page(scope["raw_path"]):
            return await self._pages.answer(scope, receive, usage)
        try:
            match = self._router.match(scope["method"], scope["raw_path"])
            observed.route = match.operation.path
            identity, account = await self._identified(scope, match, usage)
            if identity is not None:
                observed.facts["key"] = identity.key_id
            call = Call(self._parts, scope, receive, identity, match.ids, account, usage, observed.facts)
            if match.operation.parameters is not None:
                call.only_parameters(*(one.name for one in match.operation.parameters if one.where == "query"))
            with translated_causes():
                return await match.operation.handler(call)
        except Problem as problem:
            return problem.response()
        except UseCaseError as error:
            return problem_of(error).response()

    async def _identified(self, scope: Scope, match: Match, usage: Usage) -> tuple[Identity | None, str | None]:
        """Who asks, and the account that it is about. Raises Problem: 401, 403, 404, 429."""
        action = match.operation.action
        if action is None:
            return None, None
        identity = await self._identity(scope)
        usage.of_key(identity.key_id)
        account = match.ids.get("account")
        if account == OWN:
            if identity.account_id is None:
                raise Problem(ProblemType.NOT_FOUND, "this key is for all accounts: name one in place of self")
            account = identity.account_id
        asked = account if "account" in match.ids else identity.account_id
        if not allows(identity, action, asked):
            if "account" in match.ids and identity.account_id not in {None, account}:
                raise Problem(ProblemType.NOT_FOUND, "there is no such account, or this key may not see it")
            raise Problem(ProblemType.FORBIDDEN, f"a key of role {identity.role} may not do that")
        return identity, asked

    async def _identity(self, scope: Scope) -> Identity:
        key = _presented_key(scope)
        if key is None:
            raise Problem(
                ProblemType.UNAUTHENTICATED, "send the key as Authorization: Bearer or as x-api-key",
                headers={"www-authenticate": "Bearer"},
            )  # fmt: skip
        authenticator = self._parts.authenticator
        try:
            known = authenticator.known(key)
            return await run_in_threadpool(authenticator.identify, key) if known is None else known
        except KeyRefused as error:
            raise Problem(ProblemType.UNAUTHENTICATED, error.message, headers={"www-authenticate": "Bearer"}) from error
        except NotAllowed as error:
            raise Problem(ProblemType.FORBIDDEN, error.message) from error


def _presented_key(scope: Scope) -> str | None:
    """The key; None where none was sent. Raises Problem where there are two, or another way than Bearer."""
    keys = []
    for name, raw in scope["headers"]:
        value = raw.decode("latin-1")
        if name == b"x-api-key":
            keys.append(value.strip())
        elif name == b"authorization":
            if value[: len(_BEARER)].lower() != _BEARER:
                raise Problem(
                    ProblemType.UNAUTHENTICATED, "Authorization: only Bearer is known here",
                    headers={"www-authenticate": "Bearer"},
                )  # fmt: skip
            keys.append(value[len(_BEARER) :].strip())
    if len(set(keys)) > 1:
        raise Problem(
            ProblemType.UNAUTHENTICATED, "two keys were sent: send one", headers={"www-authenticate": "Bearer"}
        )
    return keys[0] if keys else None

"""Lets pages of configured origins ask the API from browsers (CORS); without any, none may.

Keys alone identify: credentials of browsers, such as cookies, are never allowed. Only paths of the API are opened,
never pages.
"""

from __future__ import annotations

from collections.abc import Collection

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_METHODS = b"GET, POST, PUT, DELETE"
_SENT = (
    b"authorization, x-api-key, accept, content-type, content-encoding, prefer, idempotency-key, x-request-id, "
    b"traceparent"
)
_EXPOSED = (
    b"x-request-id, retry-after, ratelimit, ratelimit-policy, creditmeter-rows, creditmeter-as-of, location, "
    b"preference-applied, content-disposition"
)
_SECONDS = b"600"
_OPENED = ("/v1/", "/account/", "/openapi.json", "/health/")
_VARY = (b"vary", b"Origin")


class CorsMiddleware:
    """`origins`: scheme, host and port as browsers send them."""

    def __init__(self, app: ASGIApp, origins: Collection[str]) -> None:
        self._app = app
        self._origins = {origin.lower().encode() for origin in origins}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self._origins or scope["type"] != "http" or not scope["path"].startswith(_OPENED):
            await self._app(scope, receive, send)
            return
        origins = [value for name, value in scope["headers"] if name == b"origin"]
        is_allowed = len(origins) == 1 and origins[0].lower() in self._origins
        allowed = [_VARY, (b"access-control-allow-origin", origins[0])] if is_allowed else [_VARY]
        if is_allowed and _is_preflight(scope):
            await _answer_preflight(send, allowed)
            return

        async def send_opened(message: Message) -> None:
            if message["type"] == "http.response.start":
                exposed = [(b"access-control-expose-headers", _EXPOSED)] if is_allowed else []
                message = {**message, "headers": [*message.get("headers", []), *allowed, *exposed]}
            await send(message)

        await self._app(scope, receive, send_opened)


def _is_preflight(scope: Scope) -> bool:
    names = {name for name, _ in scope["headers"]}
    return scope["method"] == "OPTIONS" and b"access-control-request-method" in names


async def _answer_preflight(send: Send, allowed: list[tuple[bytes, bytes]]) -> None:
    headers = [
        *allowed,
        (b"access-control-allow-methods", _METHODS),
        (b"access-control-allow-headers", _SENT),
        (b"access-control-max-age", _SECONDS),
    ]
    await send({"type": "http.response.start", "status": 204, "headers": headers})
    await send({"type": "http.response.body", "body": b""})

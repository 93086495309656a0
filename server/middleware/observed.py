"""The outermost of every request: its id, one log line, its metrics, headers that every answer has, and 500s.

The log line has no key and no body. Trace context (`traceparent`) is taken from the request, beside the receipt.
"""

from __future__ import annotations

import logging
import re
import uuid
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from application.access.links import SIGN_IN_PATH
from server.api.problems import Problem, ProblemType
from server.metrics import HttpMetrics
from sinks.printable import MASK, visible
from streams import clock

logger = logging.getLogger("creditmeter.http")

_SANE_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}", re.ASCII)
_TRACE = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}.*", re.ASCII)
_LONGEST_PATH = 200


@dataclass
class Observed:
    """What is known of a request for its log line and metrics; further in, `route` and `facts` are filled in."""

    request_id: str
    trace_id: str | None
    route: str = "(none)"
    facts: dict[str, str] = field(default_factory=dict)
    status: int = 0


class ObservedMiddleware:
    """Puts an `Observed` into the scope's state under "observed"."""

    def __init__(self, app: ASGIApp, metrics: HttpMetrics, *, over_tls: bool) -> None:
        self._app = app
        self._metrics = metrics
        self._headers = _always(over_tls=over_tls)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        observed = _observed(scope)
        scope.setdefault("state", {})["observed"] = observed
        began = clock.monotonic()

        async def send_observed(message: Message) -> None:
            if message["type"] == "http.response.start":
                observed.status = message["status"]
                headers = list(message.get("headers", []))
                names = {name for name, _ in headers}
                headers.extend(header for header in self._headers if header[0] not in names)
                headers.append((b"x-request-id", observed.request_id.encode()))
                message = {**message, "headers": headers}
            await send(message)

        try:
            await self._answered(scope, receive, send_observed, observed)
        finally:
            self._note(scope, observed, clock.monotonic() - began)

    async def _answered(self, scope: Scope, receive: Receive, send: Send, observed: Observed) -> None:
        try:
            await self._app(scope, receive, send)
        except ClientDisconnect:
            observed.facts["client"] = "left"
        except Exception:
            logger.exception("request %s failed", observed.request_id)
            if observed.status:
                raise  # the answer has begun: the connection is cut, so that nobody takes it for whole
            problem = Problem(
                ProblemType.INTERNAL,
                f"see the server's log for request {observed.request_id}; sending it again is safe",
            )
            await problem.response()(scope, receive, send)

    def _note(self, scope: Scope, observed: Observed, seconds: float) -> None:
        method = scope["method"] if scope["method"] in _METHODS else "(other)"
        self._metrics.requests.labels(method, observed.route, observed.status).observe(seconds)
        facts: dict[str, Any] = {
            "method": method, "path": _shown_path(scope["path"]), "status": observed.status,
            "ms": f"{seconds * 1_000:.1f}", "request": observed.request_id,
        }  # fmt: skip
        if observed.trace_id is not None:
            facts["trace"] = observed.trace_id
        facts |= observed.facts
        logger.info("%s", " ".join(f"{name}={value}" for name, value in facts.items()))


_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}


def _observed(scope: Scope) -> Observed:
    request_id, trace_id = None, None
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _SANE_ID.fullmatch(value):
            request_id = value.decode()
        elif name == b"traceparent" and (trace := _TRACE.fullmatch(value)):
            trace_id = trace[1].decode()
    return Observed(request_id or uuid.uuid4().hex, trace_id)


def _shown_path(path: str) -> str:
    """A link's token signs somebody in: it is in no log."""
    if path.startswith(SIGN_IN_PATH):
        return f"{SIGN_IN_PATH}{MASK}"
    return visible(path[:_LONGEST_PATH])


def _always(*, over_tls: bool) -> list[tuple[bytes, bytes]]:
    headers = [
        (b"x-content-type-options", b"nosniff"),
        (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
        (b"referrer-policy", b"no-referrer"),
        (b"cross-origin-resource-policy", b"same-origin"),
        (b"cache-control", b"no-store"),
    ]
    if over_tls:
        headers.append((b"strict-transport-security", b"max-age=31536000"))
    return headers

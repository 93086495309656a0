"""The middleware for ASGI applications: Starlette, FastAPI, Litestar, Django. Stands inside compression."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from creditmeter_client.aio import answered_within
from creditmeter_client.meter import Meter
from creditmeter_client.middleware import inline
from creditmeter_client.middleware.calls import Call, _current
from creditmeter_client.middleware.policies import MiddlewareSettings
from creditmeter_client.middleware.problems import ProblemAnswer
from creditmeter_client.middleware.session import Session, Shared
from creditmeter_client.results import Decision

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_START = "http.response.start"
_BODY = "http.response.body"


class CreditMiddleware:
    """`app.add_middleware(CreditMiddleware, meter=meter, settings=MiddlewareSettings(describe))`.

    WebSockets and lifespan pass untouched. An answer is changed only where its caller asked for credit usage, and is
    not delayed otherwise (docs/client.md lists what is left alone).
    """

    def __init__(self, app: App, *, meter: Meter, settings: MiddlewareSettings) -> None:
        self._app = app
        self._settings = settings
        self._shared = Shared(meter, settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        call = _call_of(scope)
        session = Session(self._shared, call)
        token = _current.set(call)
        try:
            refusal = await self._refusal(session)
            if refusal is not None:
                await _send_problem(refusal, call, send)
                return
            response = _Response(session, self._settings, send)
            try:
                await self._app(scope, receive, response.send)
            except BaseException:
                # The application failed, unless the answer was complete or it was its reader who went.
                session.finish(failed=not response.is_complete and not response.reader_left)
                raise
            await response.ended()
        finally:
            _current.reset(token)

    async def _refusal(self, session: Session) -> ProblemAnswer | None:
        limits = self._settings.rate_limits
        if limits is not None:
            shared = limits.is_shared
            problem = await asyncio.to_thread(session.rate_limited) if shared else session.rate_limited()
            if problem is not None:
                return problem
        question = session.ask_admission()
        if question is None:
            return None
        in_time = await answered_within(question, self._settings.admission_wait)
        return session.admitted(question, in_time=in_time)


class _Response:
    """Passes an answer on. Holds back its start until the first part of its body shows what it is."""

    def __init__(self, session: Session, settings: MiddlewareSettings, send: Send) -> None:
        self._session = session
        self._settings = settings
        self._send = send
        self._start: Message | None = None
        self._parts: list[bytes] = []
        self._is_candidate = False
        self.is_complete = False
        self.reader_left = False

    async def send(self, message: Message) -> None:
        kind = message["type"]
        if kind == _START:
            await self._begin(message)
        elif kind == _BODY:
            await self._body(message)
        else:
            await self._flush()
            await self._pass(message)

    async def ended(self) -> None:
        """The application has returned."""
        await self._flush()
        self._session.finish(failed=self._session.call.status is None)

    async def _begin(self, message: Message) -> None:
        call = self._session.call
        headers = [(bytes(name), bytes(value)) for name, value in message.get("headers", ())]
        call.answered(message["status"], headers)
        largest = self._settings.largest_body
        self._is_candidate = not message.get("trailers") and inline.could_have_usage(
            call.method, message["status"], headers, largest
        )
        if self._is_candidate:
            self._start = {**message, "headers": headers}
        else:
            await self._pass(message)

    async def _body(self, message: Message) -> None:
        body, more = message.get("body", b""), message.get("more_body", False)
        if self._is_candidate:
            self._parts.append(body)
            if more and self._may_wait_for_more():
                return
            await self._settle(complete=not more)
            self.is_complete = not more
            return
        if more:
            await self._pass(message)
        else:
            self._session.finish()
            await self._pass(message)
            self.is_complete = True

    def _may_wait_for_more(self) -> bool:
        """Whether the answer is held until it is whole: its caller asked, its length is known, and it is an object."""
        start = self._start or {}
        length = inline.content_length(start["headers"])
        size = sum(map(len, self._parts))
        if length is None or size > length:
            return False
        return size == 0 or (self._parts_begin() == b"{" and inline.is_asked(self._session.call.headers))

    def _parts_begin(self) -> bytes:
        return next((part[:1] for part in self._parts if part), b"")

    async def _settle(self, *, complete: bool) -> None:
        """Sends what is held back, with credit usage where it is asked for and possible."""
        start, body = self._start, b"".join(self._parts)
        self._start, self._parts, self._is_candidate = None, [], False
        if start is None:
            return
        headers = start["headers"]
        length = inline.content_length(headers)
        fits = len(body) <= self._settings.largest_body and (length is None or length == len(body) or not complete)
        could_differ = (
            body[:1] == b"{"
            and fits
            and (complete or length is not None)
            and self._session.is_metered(is_over=complete)
        )
        if could_differ and complete and (not inline.is_object(body) or inline.has_member(body)):
            could_differ = False
        if could_differ and complete and inline.is_asked(self._session.call.headers):
            changed = inline.with_usage(body, await self._usage())
            if changed is not None:
                body = changed
                headers = inline.headers_with_usage(headers, body)
        elif could_differ:
            headers = inline.with_vary(headers)
        if complete:
            self._session.finish()
        await self._pass({**start, "headers": headers})
        await self._pass({"type": _BODY, "body": body, "more_body": not complete})

    async def _usage(self) -> dict[str, Any]:
        question = self._session.ask_decision()
        decisions: list[Decision] | None = None
        if (
            question is not None
            and await answered_within(question, self._settings.wait)
            and question.exception() is None
        ):
            decisions = question.result()
        return self._session.credit_usage(decisions, asked=question is not None)

    async def _flush(self) -> None:
        """Something else than a body follows, or nothing at all: the answer is left as it is."""
        if self._start is not None:
            start, parts = self._start, self._parts
            self._start, self._parts, self._is_candidate = None, [], False
            await self._pass(start)
            if parts:
                await self._pass({"type": _BODY, "body": b"".join(parts), "more_body": True})

    async def _pass(self, message: Message) -> None:
        try:
            await self._send(message)
        except BaseException:
            self.reader_left = True
            raise


def _call_of(scope: Scope) -> Call:
    client = scope.get("client")
    return Call(
        scope["method"],
        scope["path"],
        inline.decoded(scope.get("headers", ())),
        query_string=scope.get("query_string", b"").decode("latin-1"),
        client_ip=client[0] if client else None,
        raw=scope,
    )


async def _send_problem(problem: ProblemAnswer, call: Call, send: Send) -> None:
    await send({"type": _START, "status": problem.status, "headers": list(problem.headers)})
    await send({"type": _BODY, "body": b"" if call.method == "HEAD" else problem.body, "more_body": False})

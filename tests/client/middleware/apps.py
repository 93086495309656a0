"""Small ASGI and WSGI applications, and drivers that return what a server would send, message by message."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from creditmeter_client import Meter, MeterSettings, Usage
from creditmeter_client.middleware import Call, CreditMiddleware, MiddlewareSettings, WsgiCreditMiddleware
from creditmeter_client.testing import MemoryTransport, Price

PRICES = {
    "/v1/people": Price(2, per="results", charge="people"),
    "/v1/ip": Price(20, charge="ip", unique=("ip",)),
    "/v1/free": Price(0, charge="free"),
    "/v1/both": (Price(1, charge="email", credit_type="email"), Price(10, charge="mobile", credit_type="mobile")),
}


@dataclass
class Answer:
    """What the client gets: status, header lines in order, and the body in its parts."""

    status: int
    headers: list[tuple[bytes, bytes]]
    parts: list[bytes]
    others: list[str] = field(default_factory=list)
    """Messages that are neither start nor body."""

    @property
    def body(self) -> bytes:
        return b"".join(self.parts)

    def header(self, name: str) -> list[str]:
        return [value.decode() for key, value in self.headers if key.lower() == name.encode()]


def describe(call: Call) -> Usage | None:
    if call.path.startswith("/v1/"):
        account = call.headers.get("x-account", "acme")
        return call.usage(account, call.path, attributes={"mode": call.headers.get("x-mode", "fast")})
    return None


class Served:
    """An application behind the middleware, with an in-memory meter."""

    def __init__(
        self, app: Any = None, *, balances: Mapping[str, Mapping[str, int]] | None = None, **settings: Any
    ) -> None:
        self.transport = MemoryTransport(PRICES, balances)
        self.meter = Meter(self.transport, settings=MeterSettings(linger=0.0))
        # Waits are long, since other processes load the machine; nothing here waits for their end.
        self.settings = MiddlewareSettings(**{"describe": describe, "wait": 20.0, "admission_wait": 20.0, **settings})
        self.app = app
        self.asgi = CreditMiddleware(app, meter=self.meter, settings=self.settings)
        self.wsgi = WsgiCreditMiddleware(app, meter=self.meter, settings=self.settings)

    def close(self) -> None:
        assert self.meter.close(30)


def answering(
    body: bytes | Sequence[bytes],
    headers: Iterable[tuple[bytes, bytes]] = ((b"content-type", b"application/json"),),
    status: int = 200,
    *,
    length: bool = True,
    found: Mapping[str, int] | None = None,
) -> Any:
    """An ASGI application that gives this answer; a list of parts is sent part by part."""
    parts = [body] if isinstance(body, bytes) else list(body)
    lines = list(headers)
    if length:
        lines.append((b"content-length", b"%d" % sum(map(len, parts))))

    async def app(scope: Any, receive: Any, send: Any) -> None:
        from creditmeter_client.middleware import current_call

        current_call().found(**(found or {"results": 3}))
        await send({"type": "http.response.start", "status": status, "headers": lines})
        for number, part in enumerate(parts, 1):
            await send({"type": "http.response.body", "body": part, "more_body": number < len(parts)})

    return app


def wsgi_answering(
    body: bytes | Sequence[bytes],
    headers: Iterable[tuple[bytes, bytes]] = ((b"content-type", b"application/json"),),
    status: int = 200,
    *,
    length: bool = True,
    as_list: bool = False,
) -> Any:
    parts = [body] if isinstance(body, bytes) else list(body)
    lines = [(name.decode(), value.decode()) for name, value in headers]
    if length:
        lines.append(("content-length", str(sum(map(len, parts)))))

    def app(environ: Any, start_response: Any) -> Any:
        from creditmeter_client.middleware import current_call

        current_call().found(results=3)
        start_response(f"{status} Whatever", lines)
        return parts if as_list else iter(parts)

    return app


def scope_of(path: str = "/v1/people", method: str = "GET", headers: Mapping[str, str] | None = None) -> dict[str, Any]:
    lines = [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()]
    return {
        "type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": b"",
        "headers": lines, "http_version": "1.1", "client": ("192.0.2.1", 5), "server": ("127.0.0.1", 80), "asgi": {},
    }  # fmt: skip


async def call_asgi(app: Any, scope: dict[str, Any], body: bytes = b"") -> Answer:
    """One request to an ASGI application, and its whole answer. Raises what the application raises."""
    messages: list[dict[str, Any]] = []

    requests = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def receive() -> dict[str, Any]:
        for request in requests:
            return request
        await asyncio.Event().wait()  # the client stays until it has its answer
        raise AssertionError

    async def send(message: Any) -> None:
        messages.append(dict(message))

    await app(scope, receive, send)
    starts = [message for message in messages if message["type"] == "http.response.start"]
    assert len(starts) == 1
    return Answer(
        starts[0]["status"],
        [tuple(line) for line in starts[0]["headers"]],
        [message["body"] for message in messages if message["type"] == "http.response.body"],
        [
            message["type"]
            for message in messages
            if message["type"] not in {"http.response.start", "http.response.body"}
        ],
    )


def get(app: Any, path: str = "/v1/people", method: str = "GET", **headers: str) -> Answer:
    """One request, from code that isn't asynchronous. `credit_usage="true"` is the header `credit-usage: true`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return asyncio.run(call_asgi(app, scope_of(path, method, named)))


def get_wsgi(app: Any, path: str = "/v1/people", method: str = "GET", **headers: str) -> Answer:
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method, "PATH_INFO": path, "SCRIPT_NAME": "", "QUERY_STRING": "", "REMOTE_ADDR": "192.0.2.1",
        **{f"HTTP_{name.upper()}": value for name, value in headers.items()},
    }  # fmt: skip
    started: list[tuple[str, list[tuple[str, str]]]] = []
    written: list[bytes] = []

    def start_response(status: str, lines: list[tuple[str, str]], exc_info: Any = None) -> Any:
        started.append((status, lines))
        return written.append

    result = app(environ, start_response)
    try:
        parts = [*result]
    finally:
        if hasattr(result, "close"):
            result.close()
    status, lines = started[-1]
    headers_ = [(name.encode(), value.encode()) for name, value in lines]
    return Answer(int(status[:3]), headers_, [*written, *parts])

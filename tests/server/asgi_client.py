"""Asks an ASGI app without a socket: one request, its whole answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.types import ASGIApp, Message


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


async def request(
    app: ASGIApp, method: str, target: str, body: bytes | list[bytes] = b"", *, key: str | None = None,
    headers: Mapping[str, str] | None = None, client: str = "127.0.0.1",
) -> Answer:  # fmt: skip
    """One request; a list of byte strings is a body in chunks."""
    path, _, query = target.partition("?")
    given = {"host": "localhost", **(headers or {})}
    if key is not None:
        given["authorization"] = f"Bearer {key}"
    scope: dict[str, Any] = {
        "type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": query.encode(),
        "headers": [(name.lower().encode(), value.encode()) for name, value in given.items()],
        "client": (client, 1), "server": ("localhost", 80), "scheme": "http", "http_version": "1.1",
    }  # fmt: skip
    chunks = _messages([body] if isinstance(body, bytes) else body)
    sent: list[Message] = []

    async def receive() -> Message:
        return await anext(chunks)

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)
    start = next(message for message in sent if message["type"] == "http.response.start")
    whole = b"".join(message.get("body", b"") for message in sent if message["type"] == "http.response.body")
    return Answer(start["status"], {name.decode(): value.decode() for name, value in start["headers"]}, whole)


async def _messages(chunks: list[bytes]) -> AsyncIterator[Message]:
    for index, chunk in enumerate(chunks):
        yield {"type": "http.request", "body": chunk, "more_body": index < len(chunks) - 1}
    await asyncio.Event().wait()

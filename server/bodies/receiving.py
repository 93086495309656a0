"""Reads a request's body within bounds of size and time, and decompresses it (SERVER.md 1).

The bound holds for what comes over the wire and for what it decompresses to; neither is ever exceeded, not by a chunk.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING

from starlette.requests import ClientDisconnect
from starlette.types import Receive

from server.api.problems import Problem, ProblemType
from server.bodies.compression import Damaged, TooLarge, decompressed
from streams import clock

if TYPE_CHECKING:
    from server.limits import Usage

_LONGEST_LENGTH = 19


async def receive_body(headers: Mapping[str, str], receive: Receive, usage: Usage) -> bytes:
    """The decompressed body. Raises Problem: 400, 408, 413, 415, 429, 503; ClientDisconnect where the client left."""
    most = usage.bounds.body_bytes
    coding = _coding(headers)
    _check_length(headers.get("content-length"), most)
    raw = await _received(receive, usage)
    if coding is None:
        return raw
    try:
        body = decompressed(coding, raw, most)
    except TooLarge as error:
        raise _too_large(most, "decompressed") from error
    except Damaged as error:
        raise Problem(ProblemType.MALFORMED, f"the body is no whole {coding}: {error}") from error
    usage.take(len(body))
    return body


async def _received(receive: Receive, usage: Usage) -> bytes:
    bounds = usage.bounds
    body = bytearray()
    deadline = clock.monotonic() + bounds.body_seconds
    while True:
        seconds = min(bounds.idle_seconds, deadline - clock.monotonic())
        try:
            async with asyncio.timeout(seconds):
                message = await receive()
        except TimeoutError as error:
            raise Problem(
                ProblemType.TIMEOUT,
                f"the body stalled for {bounds.idle_seconds:g} s or took more than {bounds.body_seconds:g} s; "
                "nothing was stored",
                headers={"connection": "close"},
            ) from error
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk = message.get("body", b"")
        if len(body) + len(chunk) > bounds.body_bytes:
            raise _too_large(bounds.body_bytes, "on the wire")
        usage.take(len(chunk))
        body += chunk
        if not message.get("more_body", False):
            return bytes(body)


def _coding(headers: Mapping[str, str]) -> str | None:
    coding = headers.get("content-encoding", "identity").strip().lower()
    if coding in {"identity", ""}:
        return None
    if coding not in {"gzip", "zstd"}:
        raise Problem(
            ProblemType.UNSUPPORTED_MEDIA_TYPE,
            "content-encoding: gzip, zstd and identity are read here, one at a time",
            headers={"accept-encoding": "gzip, zstd"},
        )
    return coding


def _check_length(given: str | None, most: int) -> None:
    if given is not None and (len(given) > _LONGEST_LENGTH or int(given) > most):
        raise _too_large(most, "on the wire")


def _too_large(most: int, where: str) -> Problem:
    return Problem(
        ProblemType.TOO_LARGE,
        f"a body has at most {most} bytes {where}; nothing was stored: send fewer events in a request",
        headers={"connection": "close"},
    )

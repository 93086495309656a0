"""One try: a POST over a connection of its own, to an address that was checked. It ends within seconds.

Redirects are not followed and no proxy is asked. The status decides; of the rest little is read and nothing is kept.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import NamedTuple

import h11

from application.webhooks.dispatching import MOST_TRIES
from application.webhooks.schedule import Outcome, TryResult
from application.webhooks.targets import Address, Refused, Target, TargetRules, checked, target_of
from streams import clock
from streams.deliveries.records import DeliveryAttempt

SECONDS = 15.0
MOST_BYTES = 64 * 1024
_CONNECT_SECONDS = 5.0
_DRAIN_SECONDS = 1.0
_BLOCK = 16 * 1024
_RESOLVERS = 2 * MOST_TRIES
"""A lookup that nobody answers goes on behind its try, up to half a minute: others must not stand behind it."""
_LONGEST_REASON = 100
_GONE, _MULTIPLE_CHOICES, _BAD_REQUEST = 410, 300, 400
_OK = range(200, 300)

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""The addresses of a host, in numbers. Raises OSError."""


class _Answer(NamedTuple):
    status: int
    reason: str
    retry_after: str | None


class HttpSender:
    """Makes tries. `now` gives ms; `resolve` is asked once a try. Belongs to one event loop."""

    def __init__(
        self, rules: TargetRules, *, resolve: Resolve | None = None, now: Callable[[], int] = clock.now_ms,
        seconds: float = SECONDS,
    ) -> None:  # fmt: skip
        self._rules = rules
        self._resolvers = ThreadPoolExecutor(_RESOLVERS, thread_name_prefix="resolving")
        self._resolve = resolve or self._system_resolve
        self._now = now
        self._seconds = seconds
        self._tls = rules.tls or ssl.create_default_context()

    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> TryResult:
        """What came of one try. Never raises for what a receiver does."""
        began, started = self._now(), clock.monotonic()
        answer: _Answer | None = None
        try:
            answer = await self._exchange(url, headers, body)
            error = "" if answer.status in _OK else _shown(answer)
        except TimeoutError:
            error = f"no answer within {self._seconds:g} s"
        except Refused as refused:
            error = f"not allowed: {refused}"
        except ssl.SSLCertVerificationError as failure:
            error = f"the certificate is not valid: {failure.verify_message}"
        except (OSError, ssl.SSLError) as failure:
            error = f"no connection: {_why(failure)}"
        except h11.ProtocolError:
            error = "the answer is not HTTP"
        duration = max(0, round((clock.monotonic() - started) * 1_000))
        attempt = DeliveryAttempt(began, duration, None if answer is None else answer.status, error)
        if answer is None:
            return TryResult(Outcome.FAILED, attempt)
        outcome = {True: Outcome.DELIVERED, False: Outcome.FAILED}[not error]
        if answer.status == _GONE:
            outcome = Outcome.GONE
        return TryResult(outcome, attempt, _wait_of(answer.retry_after, self._now()))

    def close(self) -> None:
        """Wait for no lookup that is under way."""
        self._resolvers.shutdown(wait=False, cancel_futures=True)

    async def _exchange(self, url: str, headers: Mapping[str, str], body: bytes) -> _Answer:
        target = target_of(url, self._rules)
        writer: asyncio.StreamWriter | None = None
        connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=_BLOCK)
        try:
            async with asyncio.timeout(self._seconds):
                addresses = checked(await self._resolve(target.host, target.port), target, self._rules)
                reader, writer = await self._connected(target, addresses)
                answer, size = await _posted(reader, writer, connection, _request(target, headers, body), body)
            with suppress(TimeoutError, OSError, h11.ProtocolError):  # it has answered: what follows is of no concern
                async with asyncio.timeout(_DRAIN_SECONDS):
                    await _drain(reader, connection, MOST_BYTES - size)
            return answer
        finally:
            if writer is not None:
                writer.transport.abort()  # nothing waits for a receiver that does not let go

    async def _connected(
        self, target: Target, addresses: Sequence[Address]
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to the first of these very addresses that takes one; Host and SNI are the target's name."""
        tls = {"ssl": self._tls, "server_hostname": target.host} if target.is_https else {}
        failure: OSError | None = None
        for address in addresses:
            try:
                async with asyncio.timeout(_CONNECT_SECONDS):
                    return await asyncio.open_connection(str(address), target.port, limit=MOST_BYTES, **tls)  # type: ignore[arg-type]
            except ssl.SSLError:
                raise
            except OSError as error:  # TimeoutError is one
                failure = error
        raise ConnectionError(0, "no address answers") if failure is None else failure

    async def _system_resolve(self, host: str, port: int) -> list[str]:
        loop = asyncio.get_running_loop()
        try:
            infos = await loop.run_in_executor(
                self._resolvers, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            )
        except UnicodeError as error:
            raise Refused("the host cannot be a name") from error
        return [str(info[4][0]) for info in infos]


def _request(target: Target, headers: Mapping[str, str], body: bytes) -> h11.Request:
    own = {
        "host": target.authority, "user-agent": "creditmeter-webhooks", "accept": "*/*",
        "content-type": "application/json", "content-length": str(len(body)), "connection": "close",
    }  # fmt: skip
    return h11.Request(method="POST", target=target.path, headers=[*own.items(), *headers.items()])


async def _posted(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: h11.Connection, request: h11.Request,
    body: bytes,
) -> tuple[_Answer, int]:  # fmt: skip
    """The answer, and how many bytes were read. It may come before everything is sent: it is read meanwhile."""
    events = (request, h11.Data(data=body), h11.EndOfMessage())
    writer.write(b"".join(connection.send(event) or b"" for event in events))
    taken = asyncio.create_task(writer.drain())
    try:
        return await _head(reader, connection)
    finally:
        taken.cancel()
        with suppress(asyncio.CancelledError, OSError):
            await taken


async def _head(reader: asyncio.StreamReader, connection: h11.Connection) -> tuple[_Answer, int]:
    """The answer's status, and how many bytes were read. Raises RemoteProtocolError for what is none."""
    size = 0
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            block = await reader.read(_BLOCK)
            size += len(block)
            if size > MOST_BYTES:
                raise h11.RemoteProtocolError("the head of the answer is too long")
            connection.receive_data(block)
        elif isinstance(event, h11.Response):
            given = dict(event.headers)
            retry_after = given.get(b"retry-after")
            return _Answer(
                event.status_code, event.reason.decode("ascii", "replace"),
                None if retry_after is None else retry_after.decode("ascii", "replace"),
            ), size  # fmt: skip
        elif not isinstance(event, h11.InformationalResponse):
            raise h11.RemoteProtocolError("the connection ended without an answer")


async def _drain(reader: asyncio.StreamReader, connection: h11.Connection, most: int) -> None:
    """Reads the rest of the answer, so that its sender sees no error, as far as it is short."""
    while most > 0:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            block = await reader.read(_BLOCK)
            most -= len(block)
            connection.receive_data(block)
        elif not isinstance(event, h11.Data):
            return


def _shown(answer: _Answer) -> str:
    reason = "".join(character for character in answer.reason if character.isprintable())[:_LONGEST_REASON]
    text = f"{answer.status} {reason}".strip()
    if _MULTIPLE_CHOICES <= answer.status < _BAD_REQUEST:
        return f"{text}: redirects are not followed"
    return text


def _why(failure: OSError) -> str:
    """The system's words, without the address that was tried."""
    if failure.errno is not None and failure.errno > 0:
        return os.strerror(failure.errno)
    return failure.strerror or type(failure).__name__


def _wait_of(retry_after: str | None, now: int) -> int | None:
    """What Retry-After asks for, ms; None where it says nothing that can be read."""
    text = (retry_after or "").strip()
    if text.isascii() and text.isdigit() and len(text) <= 9:
        return int(text) * 1_000
    try:
        moment = parsedate_to_datetime(text)
        return max(0, round(moment.timestamp() * 1_000) - now)
    except (ValueError, OverflowError):
        return None

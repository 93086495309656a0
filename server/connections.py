"""Connections that cannot hurt others: bounded in number, in the size of their headers, and in how long they dawdle.

Where all places are taken, who has sent no whole head for longest gives way to the next who comes.

uvicorn's own protocol waits for ever for the rest of a request's head, and for a client that does not read its answer.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from server.api.problems import Problem, ProblemType
from server.limits import Bounds

logger = logging.getLogger("creditmeter.http")

HEAD_BYTES = 64 << 10
"""The most that a request's line and headers take."""


_END_OF_HEAD = b"\r\n\r\n"


class GuardedProtocol(HttpToolsProtocol):
    """uvicorn's protocol with bounds. `guarded` makes a class with those that are wanted."""

    bounds = Bounds()
    _without_head: dict[GuardedProtocol, None] = {}  # noqa: RUF012 -- `guarded` gives each class its own

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._head_bytes = 0
        self._is_in_head = True
        self._head_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        if len(self.connections) >= self.bounds.connections and not self._make_room():
            logger.warning("%d connections are open, the most: another one is refused", self.bounds.connections)
            transport.abort()
            return
        super().connection_made(transport)
        self._expect_head()

    def _make_room(self) -> bool:
        """Drop the connection that has waited longest without a whole request's head: who asks is served first."""
        longest = next(iter(self._without_head), None)
        if longest is None:
            return False
        longest._drop()  # noqa: SLF001 -- of this class
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timers()
        if self.transport is not None:
            super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._is_in_head:
            end = data.find(_END_OF_HEAD)
            self._head_bytes += len(data) if end < 0 else end  # what follows belongs to the body
            if self._head_bytes > HEAD_BYTES:
                self._refuse_head()
                return
        super().data_received(data)

    def send_400_response(self, msg: str) -> None:
        self._write(Problem(ProblemType.MALFORMED, msg))

    def on_message_begin(self) -> None:
        self._is_in_head = True
        if self._head_timer is None:
            self._expect_head()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._stop_waiting_for_head()
        self._is_in_head = False
        self._head_bytes = 0
        super().on_headers_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stop(self._write_timer)
        self._write_timer = self.loop.call_later(self.bounds.idle_seconds, self._drop)

    def resume_writing(self) -> None:
        self._stop(self._write_timer)
        self._write_timer = None
        super().resume_writing()

    def _expect_head(self) -> None:
        self._head_bytes = 0
        self._is_in_head = True
        self._head_timer = self.loop.call_later(self.bounds.idle_seconds, self._drop)
        self._without_head[self] = None

    def _stop_waiting_for_head(self) -> None:
        self._stop(self._head_timer)
        self._head_timer = None
        self._without_head.pop(self, None)

    def _drop(self) -> None:
        """Close without waiting for what the client does not read."""
        self._stop_timers()
        if not self.transport.is_closing():
            self.transport.abort()

    def _refuse_head(self) -> None:
        self._write(
            Problem(ProblemType.HEADERS_TOO_LARGE, f"a request's line and headers have at most {HEAD_BYTES} bytes")
        )

    def _write(self, problem: Problem) -> None:
        """Answer what is no request yet, and close."""
        response = problem.response()
        lines = [f"HTTP/1.1 {response.status_code} {problem.type.title}".encode(), b"connection: close"]
        lines += [name + b": " + value for name, value in response.raw_headers]
        self.transport.write(b"\r\n".join([*lines, b"", bytes(response.body)]))
        self._stop_timers()
        self.transport.close()

    def _stop_timers(self) -> None:
        self._stop_waiting_for_head()
        self._stop(self._write_timer)
        self._write_timer = None

    @staticmethod
    def _stop(timer: asyncio.TimerHandle | None) -> None:
        if timer is not None:
            timer.cancel()


def guarded(bounds: Bounds) -> type[GuardedProtocol]:
    """The protocol with these bounds."""
    return type("GuardedProtocol", (GuardedProtocol,), {"bounds": bounds, "_without_head": {}})

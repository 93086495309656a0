"""Runs an app until it is asked to end, then ends it in order.

On SIGTERM or SIGINT: no new connection is taken; waits for decisions end within a moment as pending; what is in hand is
answered; then the sender is flushed. All of it within 30 s (SERVER.md 1).
"""

from __future__ import annotations

import asyncio
import logging
import resource
import signal
import socket
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from types import FrameType

import uvicorn
import uvloop

from application.errors import Failed
from local.port_holder import why_not_listening
from server.app import make_app
from server.connections import guarded
from server.parts import Parts

logger = logging.getLogger("creditmeter.http")

_ANSWER_SECONDS = 20
_KEEP_ALIVE_SECONDS = 30
_OPEN_FILES = 65_536


def listening_socket(host: str, port: int) -> socket.socket:
    """A socket that listens there. Raises Failed with the setting to change, and who has the port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2_048)
    except OSError as error:
        raise Failed(f"serve_port {port} of {host}: {why_not_listening('serve_port', error, port)}") from error


def run(
    opened_parts: Callable[[], AbstractAsyncContextManager[Parts]],
    listener: socket.socket,
    on_ready: Callable[[], None],
) -> None:
    """Serve until SIGTERM or SIGINT. `opened_parts` is entered in the server's own loop; `on_ready` once it answers."""
    _raise_open_files()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(opened_parts, listener, on_ready))


async def _serve(
    opened_parts: Callable[[], AbstractAsyncContextManager[Parts]],
    listener: socket.socket,
    on_ready: Callable[[], None],
) -> None:
    async with opened_parts() as parts:
        config = uvicorn.Config(
            make_app(parts), http=guarded(parts.bounds), loop="none", ws="none", lifespan="off", log_config=None,
            access_log=False, server_header=False, proxy_headers=False, timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=_ANSWER_SECONDS,
        )  # fmt: skip
        server = _Server(config, parts, on_ready)
        await server.serve(sockets=[listener])


class _Server(uvicorn.Server):
    """uvicorn's, which ends with exit code 0 when it was asked to, and says when it is ready."""

    def __init__(self, config: uvicorn.Config, parts: Parts, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._parts = parts
        self._on_ready = on_ready
        self._loop = asyncio.get_running_loop()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 -- uvicorn's signature
        logger.info("%s: answering what is in hand, then ending", signal.Signals(sig).name)
        self.should_exit = True
        self._loop.call_soon_threadsafe(self._drain)

    def _drain(self) -> None:
        self._parts.is_draining = True
        self._parts.decisions.end()


def _raise_open_files() -> None:
    """A connection is an open file: as many as this process may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _OPEN_FILES)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))

"""A deliverer of the pipeline under the pages, and the one receiver that it can reach."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path

from application.webhooks.delivering import Deliverer, DelivererParts
from application.webhooks.sending import HttpSender
from application.webhooks.targets import TargetRules
from streams.metrics import Metrics
from tests.application.webhooks.receivers import Receiver, Reply, certificate, receiving
from tests.server.pages.world import PagesWorld

HOST = "hooks.example.com"


@contextmanager
def delivering(pages: PagesWorld, folder: Path, reply: Reply) -> Iterator[Receiver]:
    """A receiver that answers with `reply` at https://HOST:port, and a deliverer for the time of the block."""
    theirs, ours = certificate(folder, HOST)
    begun: Future[tuple[Receiver, asyncio.Event]] = Future()
    reads = pages.server.parts.reads
    assert reads is not None
    store = reads.usage.store

    async def here(_host: str, _port: int) -> Sequence[str]:
        return ["127.0.0.1"]

    async def run() -> None:
        sender = HttpSender(TargetRules(allow_http_to_this_machine=True, tls=ours), resolve=here)
        parts = DelivererParts(pages.server.pipeline, pages.access, sender, store, Metrics())
        stop = asyncio.Event()
        async with receiving(reply, theirs) as receiver:
            begun.set_result((receiver, stop))
            await Deliverer(parts).run(stop)

    running = asyncio.run_coroutine_threadsafe(run(), pages.server.loop)
    receiver, stop = begun.result(60)
    try:
        yield receiver
    finally:
        pages.server.loop.call_soon_threadsafe(stop.set)
        running.result(60)

"""A server over a pipeline, in an event loop of its own thread: asked by the tests as by clients."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from starlette.types import ASGIApp

from application.in_memory import MemoryWorker
from application.pipeline import Pipeline
from server.api.reads import Reads
from server.app import make_app
from server.limits import Bounds
from server.opening import opened_parts
from server.parts import Parts, PublicFace
from tests.server.asgi_client import Answer, request
from tests.server.conformance import conformance_of
from tests.server.keys import PRODUCER, KnownKeys

T = TypeVar("T")
NOW = 1_790_000_000_000
JSON = "application/json"


class ServerWorld:
    """`app` over `parts`, and the loop that both belong to."""

    def __init__(self, loop: asyncio.AbstractEventLoop, parts: Parts) -> None:
        self.loop = loop
        self.parts = parts
        self.pipeline = parts.pipeline
        self.app: ASGIApp = make_app(parts)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """What a coroutine gives, run in the server's loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(60)

    def ask(self, method: str, target: str, body: bytes | list[bytes] = b"", **options: Any) -> Answer:
        """The answer, which is one that the OpenAPI document describes."""
        answer = self.run(request(self.app, method, target, body, **options))
        conformance_of(self.parts.documentation.operations).check(method, target, answer)
        return answer

    def post(
        self,
        target: str,
        document: Any,
        *,
        kind: str = JSON,
        key: str = PRODUCER,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """A POST; a document that is bytes goes as it is."""
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        return self.ask("POST", target, body, key=key, headers={"content-type": kind, **(headers or {})})


@contextmanager
def opened_world(
    pipeline: Pipeline,
    face: PublicFace | None = None,
    bounds: Bounds | None = None,
    reads: Reads | None = None,
) -> Iterator[ServerWorld]:
    """A server over the pipeline for the time of the block."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="server-loop", daemon=True)
    thread.start()
    try:
        context = opened_parts(pipeline, KnownKeys(), face, bounds, reads)
        parts = asyncio.run_coroutine_threadsafe(context.__aenter__(), loop).result(60)
        try:
            yield ServerWorld(loop, parts)
        finally:
            asyncio.run_coroutine_threadsafe(context.__aexit__(None, None, None), loop).result(60)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def memory_worker(pipeline: Pipeline) -> MemoryWorker:
    """The worker and loader of a pipeline in memory."""
    worker = getattr(getattr(pipeline.connections, "after_sending", None), "__self__", None)
    assert isinstance(worker, MemoryWorker)
    return worker


@contextmanager
def not_loading(worker: MemoryWorker) -> Iterator[None]:
    """A block in which what is decided is not loaded; it is at its end."""
    worker.is_loading = False
    try:
        yield
    finally:
        worker.is_loading = True
        worker.run()

"""A whole server process over a pipeline in memory, with small bounds: `python -m tests.server.serving PORT READY`."""

from __future__ import annotations

import sys
import tempfile
from functools import partial
from pathlib import Path

from application.in_memory import in_memory_pipeline
from application.prices.publishing import publish_book
from server.limits import Bounds
from server.logs import set_up_logs
from server.opening import opened_parts
from server.running import listening_socket, run
from streams import clock
from tests.server.contract import BOOK
from tests.server.keys import KnownKeys

BOUNDS = Bounds(connections=300, idle_seconds=5.0, body_seconds=9.0)


def main() -> None:
    port, ready = int(sys.argv[1]), Path(sys.argv[2])
    set_up_logs()
    with tempfile.TemporaryDirectory() as folder:
        pipeline = in_memory_pipeline(Path(folder))
        publish_book(pipeline, BOOK, clock.now_ms())
        if "no-worker" in sys.argv:
            pipeline.connections.after_sending = lambda: None  # type: ignore[attr-defined]
        parts = partial(opened_parts, pipeline, KnownKeys(), None, BOUNDS)
        with listening_socket("127.0.0.1", port) as listener:
            run(parts, listener, ready.touch)


if __name__ == "__main__":
    main()

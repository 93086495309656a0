"""A whole server process over a pipeline in memory, with small bounds: `python -m tests.server.serving PORT READY`.

`reads` behind them: with chDB, reads and access; `no-worker`: nothing is decided.
"""

from __future__ import annotations

import sys
import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from application.access.access import opened_access
from application.access.secret_keys import SecretKeys
from application.in_memory import in_memory_pipeline
from application.prices.publishing import publish_book
from application.usage.store import SinkUsage
from server.api.reads import opened_reads
from server.limits import Bounds
from server.logs import set_up_logs
from server.opening import opened_parts
from server.running import listening_socket, run
from sinks.embedded import EmbeddedSink
from streams import clock
from tests.application.usage.conftest import PATIENT
from tests.server.contract import BOOK
from tests.server.keys import KnownKeys
from tests.stores import with_schema

BOUNDS = Bounds(connections=300, idle_seconds=5.0, body_seconds=9.0)


def main() -> None:
    port, ready = int(sys.argv[1]), Path(sys.argv[2])
    set_up_logs()
    with tempfile.TemporaryDirectory() as folder:
        sink = None
        if "reads" in sys.argv:
            sink = EmbeddedSink(with_schema(Path(folder) / "clickhouse"))
        pipeline = in_memory_pipeline(Path(folder), sink=sink)
        publish_book(pipeline, BOOK, clock.now_ms())
        if "no-worker" in sys.argv:
            pipeline.connections.after_sending = lambda: None  # type: ignore[attr-defined]
        with ExitStack() as stack:
            known: dict[str, Any] = {}
            if "reads" in sys.argv and sink is not None:
                secrets = SecretKeys([b"s" * 32])
                known["reads"] = stack.enter_context(opened_reads(pipeline, SinkUsage(sink, PATIENT), secrets))
                known["access"] = stack.enter_context(opened_access(pipeline, secrets))
            parts = partial(opened_parts, pipeline, KnownKeys(), None, BOUNDS, **known)
            listener = stack.enter_context(listening_socket("127.0.0.1", port))
            run(parts, listener, ready.touch)


if __name__ == "__main__":
    main()

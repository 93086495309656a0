"""What the client's middleware adds to an answer: the application alone beside it, in one process and in turns.

`python -m bench.client_latency`. The meter is in memory, so that it is the client's own time that is measured; what a
decision of the server takes is measured by the server's benchmarks.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "client"))

from creditmeter_client import Meter
from creditmeter_client.middleware import (
    Admission,
    Call,
    CreditMiddleware,
    MiddlewareSettings,
    RoutePolicy,
    current_call,
)
from creditmeter_client.testing import MemoryTransport, Price
from creditmeter_client.usage import Usage

Contestants = dict[str, tuple[Any, list[tuple[bytes, bytes]]]]

CALLS = 2_000
PAUSE = 0.002
"""Seconds between two calls: an application that has time for each."""
BODY = b'{"people": [%s]}' % b", ".join([b'{"name": "somebody", "title": "Engineer"}'] * 25)
HEADERS = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(BODY))]


async def application(scope: Any, receive: Any, send: Any) -> None:  # noqa: ARG001 -- ASGI's
    current_call().found(results=25)
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": BODY})


def describe(call: Call) -> Usage:
    return call.usage("acme", call.path)


async def call_once(app: Any, headers: list[tuple[bytes, bytes]]) -> float:
    """Milliseconds of one call."""

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(_message: Any) -> None:
        """The server's part is the same for all."""

    scope = {"type": "http", "method": "GET", "path": "/v1/people", "headers": headers}
    began = time.perf_counter_ns()
    await app(scope, receive, send)
    return (time.perf_counter_ns() - began) / 1e6


async def processor_time(app: Any, headers: list[tuple[bytes, bytes]]) -> float:
    """Milliseconds of processor time that one call takes on the event loop's thread, many one after another."""
    began = time.thread_time_ns()
    for _ in range(CALLS):
        await call_once(app, headers)
    return (time.thread_time_ns() - began) / 1e6 / CALLS


async def measure(contestants: Contestants) -> dict[str, list[float]]:
    """All contestants in turns, so that what else the machine does disturbs them alike."""
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(CALLS):
        for name, (app, headers) in contestants.items():
            times[name].append(await call_once(app, headers))
            await asyncio.sleep(PAUSE)
    return times


def main() -> None:
    meter = Meter(MemoryTransport({"/v1/people": Price(1, per="results")}))
    plain = CreditMiddleware(application, meter=meter, settings=MiddlewareSettings(describe))
    holding = MiddlewareSettings(describe, routes={"/v1/*": RoutePolicy(Admission.HOLD)})
    held = CreditMiddleware(application, meter=meter, settings=holding)
    asked = [(b"credit-usage", b"true")]
    contestants: Contestants = {
        "the application alone": (application, []),
        "middleware": (plain, []),
        "middleware, credit usage asked for": (plain, asked),
        "middleware, hold before the work": (held, []),
    }
    times = asyncio.run(measure(contestants))
    print(f"{CALLS} calls each, in turns; the meter in memory. CPU: of the event loop's thread, calls without a pause")
    for name, some in times.items():
        some.sort()
        processor = asyncio.run(processor_time(*contestants[name]))
        p50, p99 = some[len(some) // 2], some[len(some) * 99 // 100]
        print(f"  {name:<36} p50 {p50:7.3f} ms   p99 {p99:7.3f} ms   CPU {processor:7.3f} ms")
    meter.close()


if __name__ == "__main__":
    main()

"""Events over HTTP: stored in batches and one by one, beside what is under it; and waits for decisions.

Beside the server in one run: an endpoint of the same web framework that does nothing with the same body, and
`CommandProducer` alone with the same events. The client, the server and the broker share the machine.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Self

from bench.backlog import prepare
from bench.contest import PATIENCE_SECONDS, STOP_SECONDS, Place, environment, pipeline
from bench.events import ACCOUNTS, batches
from bench.http_client import Connection, asked_for, request_of
from bench.machine import cpu_seconds
from local.ports import free_ports
from local.process import ServerProcess
from schemas.codec import Codec
from streams.log.command_producer import CommandProducer
from streams.log.topics import TopicNames

PREFIX = "bench-http"
WAITS_PREFIX = "bench-http-waits"
"""A pipeline of its own: a worker would first have to go through all that was stored for the rates."""
AT_ONCE = 100
"""Events of a request in a batch."""
BODIES = 80
WAITING = 300
"""Waiting events a second."""
ALONE = "CommandProducer alone"
EMPTY = "empty endpoint"
OWN = "POST /v1/events"
_SENDERS = 48
_LOOK = 0.05


class HttpSpeed(NamedTuple):
    """Events a second, and CPU µs an event of the process that serves them."""

    rate: float
    cpu_micros: float


class Waits(NamedTuple):
    """Seconds from sending a request to having its decision."""

    events: int
    decided: int
    p50: float
    p99: float
    worst: float


class OverHttp(NamedTuple):
    """`speeds`: by title, in the order in which they were measured."""

    speeds: dict[str, HttpSpeed]
    waits: Waits


def measure(place: Place, codec: Codec, seconds: float) -> OverHttp:
    """All of it, one after another; `seconds` each."""
    names = TopicNames(PREFIX)
    prepare(place.bootstrap, names, codec)
    events = [event for batch in batches(BODIES) for event in batch.events]
    speeds = {ALONE: _produced(place, names, codec, events, seconds)}
    (empty_port,) = free_ports(1)
    empty = [sys.executable, "-m", "bench.empty_endpoint", str(empty_port)]
    with _Process("empty endpoint", empty, place, lambda: _answers(empty_port)) as process:
        speeds |= _speeds(EMPTY, process, empty_port, "none", events, seconds)
    with _Server(place, PREFIX) as server:
        speeds |= _speeds(OWN, server.process, server.port, server.key, events, seconds)
    return OverHttp(speeds, _waited(place, codec, seconds))


def _waited(place: Place, codec: Codec, seconds: float) -> Waits:
    """Server and worker of a pipeline in which nothing else is to be done."""
    prepare(place.bootstrap, TopicNames(WAITS_PREFIX), codec)
    command, env, ready = pipeline(1)(place, WAITS_PREFIX)
    with (
        _Process("worker", command, place, lambda: ready is not None and ready.exists(), env),
        _Server(place, WAITS_PREFIX) as server,
    ):
        return _waits(server.port, server.key, seconds)


def _produced(place: Place, names: TopicNames, codec: Codec, events: list[dict[str, Any]], seconds: float) -> HttpSpeed:
    """CommandProducer in this process: encoded, sent, acknowledged."""
    with CommandProducer(place.bootstrap, names, codec, producer="bench") as producer:
        count, began, cpu = 0, time.perf_counter(), time.process_time()
        while time.perf_counter() - began < seconds:
            for event in events[:2_000]:
                producer.add(event)
            producer.flush()
            count += 2_000
        took, used = time.perf_counter() - began, time.process_time() - cpu
    return HttpSpeed(count / took, 1e6 * used / count)


def _speeds(
    title: str, process: ServerProcess, port: int, key: str, events: list[dict[str, Any]], seconds: float
) -> dict[str, HttpSpeed]:
    speeds = {}
    for size in (AT_ONCE, 1):
        some = events[: BODIES * size]
        bodies = [json.dumps(some[at : at + size]).encode() for at in range(0, len(some), size)]
        requests = [request_of("/v1/events", body, key) for body in bodies]
        asked_for(port, requests, seconds / 5)
        cpu, began = cpu_seconds(process.pid), time.perf_counter()
        count = asked_for(port, requests, seconds) * size
        took, used = time.perf_counter() - began, cpu_seconds(process.pid) - cpu
        speeds[title_of(title, size)] = HttpSpeed(count / took, 1e6 * used / count)
    return speeds


def _waits(port: int, key: str, seconds: float) -> Waits:
    """`WAITING` requests a second with one event each, whose decision is waited for; sent by the clock."""
    rng = random.Random(3)
    total = int(WAITING * seconds)
    took: list[float] = []
    decided = 0
    lock = threading.Lock()
    numbers = iter(range(total + WAITING))
    began = time.perf_counter()

    def run() -> None:
        nonlocal decided
        connection = Connection(port)
        while True:
            with lock:
                number = next(numbers, None)
                event = None if number is None else _waiting_event(rng, number)
            if number is None:
                break
            request = request_of("/v1/events?wait=decision", json.dumps(event).encode(), key)
            at = began + number / WAITING
            time.sleep(max(0.0, at - time.perf_counter()))
            answer = connection.ask(request)
            seen = time.perf_counter() - at
            with lock:
                if number >= WAITING:  # the first second warms up
                    took.append(seen)
                    decided += b'"status":"decided"' in answer.body
        connection.close()

    threads = [threading.Thread(target=run) for _ in range(_SENDERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took.sort()
    return Waits(len(took), decided, took[len(took) // 2], took[len(took) * 99 // 100], took[-1])


def _waiting_event(rng: random.Random, number: int) -> dict[str, Any]:
    bits = rng.getrandbits(48)
    return {
        "event_id": f"{rng.getrandbits(128):032x}", "account_id": f"waiting-{number % ACCOUNTS:03d}",
        "occurred_at": int(time.time() * 1_000), "endpoint": "/v1/ip-lookup", "channel": "api",
        "ip": f"10.{bits & 255}.{bits >> 8 & 255}.{bits >> 16 & 255}",
    }  # fmt: skip


class _Process:
    """A process for the time of the block, which begins once it is ready."""

    def __init__(
        self, title: str, command: list[str], place: Place, is_ready: Callable[[], bool],
        env: dict[str, str] | None = None,
    ) -> None:  # fmt: skip
        self._process = ServerProcess(title, command, log=place.folder / f"{PREFIX}-{title}.log", env=env)
        self._is_ready = is_ready

    def __enter__(self) -> ServerProcess:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not self._is_ready():
            if self._process.exit_code() is not None or time.monotonic() > deadline:
                raise self._process.failure("did not start")
            time.sleep(_LOOK)
        return self._process

    def __exit__(self, *_: object) -> None:
        self._process.terminate(STOP_SECONDS)


class _Server:
    """The API over the pipeline, and a producer's key."""

    def __init__(self, place: Place, prefix: str) -> None:
        (self.port,) = free_ports(1)
        self._ready = place.folder / f"{prefix}-server.ready"
        env = environment(place, prefix) | {"CREDITMETER_SERVE_PORT": str(self.port)}
        command = [sys.executable, "-m", "server", "--ready-file", str(self._ready)]
        self._process = _Process("server", command, place, self._ready.exists, env)
        keys = [sys.executable, "-m", "cli.main", "keys", "create", "producer"]
        made = subprocess.run(keys, env=os.environ | env, check=True, capture_output=True, text=True)
        self.key = made.stdout.split()[-1]

    def __enter__(self) -> Self:
        self.process = self._process.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.__exit__()


def _answers(port: int) -> bool:
    try:
        Connection(port).close()
    except OSError:
        return False
    return True


def title_of(what: str, size: int) -> str:
    """The title of a speed with so many events a request."""
    return f"{what}, {size} a request"


def comparisons() -> Iterator[tuple[str, str, str, float | None]]:
    """(name, above, below, at least) of what is compared in one run."""
    for size in (AT_ONCE, 1):
        own = title_of(OWN, size)
        yield f"HTTP, {size} a request / CommandProducer", own, ALONE, None
        yield f"HTTP, {size} a request / empty endpoint", own, title_of(EMPTY, size), None


def report(over_http: OverHttp) -> list[str]:
    """What the table of speeds does not say, as lines."""
    speeds, waits = over_http
    more = [speeds[title_of(OWN, size)].cpu_micros - speeds[title_of(EMPTY, size)].cpu_micros for size in (AT_ONCE, 1)]
    times = f"p50 {waits.p50 * 1e3:.1f} ms, p99 {waits.p99 * 1e3:.0f} ms, worst {waits.worst * 1e3:.0f} ms"
    return [
        f"HTTP: {more[0]:.1f} µs CPU an event more than the empty endpoint, one by one {more[1]:.1f}",
        f"wait=decision, {WAITING} requests/s: {waits.decided:,} of {waits.events:,} decided in time; {times}",
    ]

"""A service that records events all the time: `python -m tests.client.metered_service KIND FOLDER ADDRESS KEY`.

Two lists in the folder are written as it goes: `recorded`, the ids for which `record` has returned, and `reported`, the
ids that the meter said are lost or refused. Kinds:

- `forking`: durable, over HTTP. Its meter is made, and has recorded, before it forks, as with gunicorn's preload.
- `small`: a queue and a spool with little room, over HTTP. It ends without closing its meter.
- `kafka`: durable, straight to Kafka.
- `last`: records nothing, and takes over what the others have left.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
import time
from pathlib import Path

from creditmeter_client import BackoffPolicy, EventTransport, Failure, HttpTransport, Meter, MeterSettings
from creditmeter_client.kafka import KafkaTransport

KINDS = ("forking", "small", "kafka")
PAUSE = 0.05
"""Seconds between two events of a process."""


class IdList:
    """Ids in a file. One is with the kernel when `add` returns, so that a kill loses none."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def add(self, event_id: str) -> None:
        os.write(self._descriptor, f"{event_id}\n".encode())


def meter_of(kind: str, folder: Path, transport: EventTransport) -> Meter:
    reported = IdList(folder / "reported")

    def report(failure: Failure) -> None:
        reported.add(failure.command_id)

    small = kind == "small"
    settings = MeterSettings(
        queue_events=20 if small else 10_000,
        spool=folder / kind,
        spool_bytes=4_000 if small else 64 << 20,
        durable=not small,
        backoff=BackoffPolicy(0.05, 1.0),
        exit_timeout=2.0,
        on_lost=report,
        on_refused=report,
    )
    return Meter(transport, settings=settings)


def record_all_the_time(meter: Meter, folder: Path) -> None:
    recorded = IdList(folder / "recorded")
    for number in itertools.count():
        event_id = f"{os.getpid()}-{time.time_ns()}-{number}"
        meter.record(account_id=f"a{number % 7}", endpoint="/v1/search", quantities={"results": 1}, event_id=event_id)
        recorded.add(event_id)
        time.sleep(PAUSE)


def main() -> None:
    kind, folder, address, key = sys.argv[1], Path(sys.argv[2]), sys.argv[3], sys.argv[4]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # without closing: the interpreter's end has to do
    (folder / f"{kind}.ready").touch()
    if kind == "last":
        meters = [meter_of(one, folder, HttpTransport(address, key, timeout=4.0)) for one in KINDS]
        while True:
            for meter in meters:
                meter.wake()
            time.sleep(0.2)
    transport = KafkaTransport(address, timeout=4.0) if kind == "kafka" else HttpTransport(address, key, timeout=4.0)
    meter = meter_of(kind, folder, transport)
    if kind == "forking":
        meter.record(account_id="a0", endpoint="/v1/search", event_id=f"{os.getpid()}-{time.time_ns()}-parent")
        os.fork()
    record_all_the_time(meter, folder)


if __name__ == "__main__":
    main()

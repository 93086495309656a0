"""The process that holds an embedded ClickHouse for another one, so that a statement can always be ended.

Nothing interrupts one long expression inside the engine, and its memory comes back late; a process can be killed.
Started by `IsolatedSink` as ``python -m sinks.engine_process FOLDER DATABASE LIFE CHANNEL…``, the last ones numbers of
open sockets. It answers on each channel in a thread of its own, and ends at once when the socket LIFE is closed, that
is, with the process that started it, however that one ended.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sinks.channel import Channel, ChannelClosed, Frame, header_of_failure
from sinks.embedded import EmbeddedSink
from sinks.sink import Limits, SinkRejected, SinkUnavailable

_OOM_SCORE = "500"
"""Where the machine's memory ends, the kernel ends this process before the one that started it."""


def main(arguments: list[str]) -> None:
    """Serves until LIFE is closed, or asks for an orderly end."""
    folder, database, life_number, *numbers = arguments
    # Ctrl-C and the like are for the process that started this one: it still has rows to insert.
    for ending in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, signal.SIG_IGN)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_OOM_SCORE, encoding="ascii")
    life = Channel(socket.socket(fileno=int(life_number)))
    try:
        sink = EmbeddedSink(Path(folder), database, is_held=True)
    except (SinkUnavailable, SinkRejected) as error:
        life.send(header_of_failure(error))
        return
    # The engine's own handlers keep a crashed process for half a minute, which then answers nothing.
    for crash in (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGILL, signal.SIGFPE):
        signal.signal(crash, signal.SIG_DFL)
    for number in numbers:
        channel = Channel(socket.socket(fileno=int(number)))
        threading.Thread(target=_serve, args=(sink, channel), daemon=True).start()
    try:
        life.send({})
        life.receive()
        sink.close()
        life.send({})
    except ChannelClosed:
        os.kill(os.getpid(), signal.SIGKILL)
    os._exit(0)  # threads may be inside the engine still


def _serve(sink: EmbeddedSink, channel: Channel) -> None:
    header: dict[str, Any]
    try:
        while True:
            try:
                header, body = {}, _answer(sink, channel.receive())
            except (SinkUnavailable, SinkRejected) as error:
                header, body = header_of_failure(error), b""
            channel.send(header, body)
            del body  # it may be large, and the next question may be long in coming
    except ChannelClosed:
        return
    except BaseException:  # noqa: BLE001 -- the process ends
        traceback.print_exc()
        os._exit(1)  # whoever waits for the answer must not wait for ever


def _answer(sink: EmbeddedSink, question: Frame) -> bytes:
    header, body = question
    match header["call"]:
        case "insert":
            sink.insert_stream(header["table"], header["names"], body, header["rows"])
            return b""
        case "execute":
            sink.execute(body.decode())
            return b""
        case "query":
            return sink.query_json(body.decode(), readonly=header["readonly"], **_bounds(header))
        case "query_text":
            return sink.query_text(body.decode(), header["format"], **_bounds(header))
    raise SinkRejected(f"no such call: {header['call']}")


def _bounds(header: Mapping[str, Any]) -> dict[str, Any]:
    return {"limits": Limits(**header["limits"]), "parameters": header["parameters"]}


if __name__ == "__main__":
    main(sys.argv[1:])

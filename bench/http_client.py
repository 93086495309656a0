"""A client of bare sockets, so that what is measured is the server: requests made beforehand, answers hardly read."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

CONNECTIONS = 8
_BUFFER = 1 << 16
_LENGTH = b"content-length: "


class Answer(NamedTuple):
    """Status and body."""

    status: int
    body: bytes


class Connection:
    """One kept-alive connection. Raises RuntimeError where it is closed."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, request: bytes) -> Answer:
        self._socket.sendall(request)
        data = b""
        while (end := data.find(b"\r\n\r\n")) < 0:
            data += self._more()
        head = data[:end].lower()
        at = head.index(_LENGTH) + len(_LENGTH)
        size = int(head[at:].split(b"\r", 1)[0])
        body = data[end + 4 :]
        while len(body) < size:
            body += self._more()
        return Answer(int(data.split(b" ", 2)[1]), body)

    def close(self) -> None:
        self._socket.close()

    def _more(self) -> bytes:
        data = self._socket.recv(_BUFFER)
        if not data:
            raise RuntimeError("the server closed the connection")
        return data


def request_of(target: str, body: bytes, key: str) -> bytes:
    """A POST as it goes out."""
    head = (
        f"POST {target} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def asked_for(port: int, requests: Sequence[bytes], seconds: float) -> int:
    """Sends the requests over and over on some connections at once; returns how many were answered with 200."""
    counts = [0] * CONNECTIONS
    failures: list[object] = []
    until = time.perf_counter() + seconds

    def run(number: int) -> None:
        connection = Connection(port)
        try:
            for request in _in_turn(requests, number):
                if time.perf_counter() > until:
                    return
                answer = connection.ask(request)
                if answer.status != 200:
                    failures.append(f"{answer.status}: {answer.body[:500]!r}")
                    return
                counts[number] += 1
        except Exception as error:  # noqa: BLE001 -- raised below
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise RuntimeError(str(failures[0]))
    return sum(counts)


def _in_turn(requests: Sequence[bytes], number: int) -> Iterator[bytes]:
    while True:
        yield from requests[number::CONNECTIONS]

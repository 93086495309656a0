"""Questions and answers between two processes over a pair of sockets: a header in JSON, and a body of bytes."""

from __future__ import annotations

import json
import select
import socket
import struct
from collections.abc import Mapping
from typing import Any, NamedTuple

from sinks.sink import SinkRejected, SinkUnavailable

_SIZES = struct.Struct(">IQ")


class ChannelClosed(Exception):
    """The process at the other end is gone."""


class AnswerTooLate(Exception):
    """The other end did not begin to answer in time."""


class Frame(NamedTuple):
    """One question or answer."""

    header: dict[str, Any]
    body: bytes


class Channel:
    """One end. A question is answered before the next one is asked; one thread at a time uses an end."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end

    def ask(self, header: dict[str, Any], body: bytes = b"", seconds: float | None = None) -> Frame:
        """Send a question and return its answer. Raises ChannelClosed, AnswerTooLate after `seconds` (None: never).

        After either the channel is of no more use.
        """
        self.send(header, body)
        if seconds is not None:
            poll = select.poll()
            poll.register(self._socket, select.POLLIN)
            if not poll.poll(seconds * 1000):
                raise AnswerTooLate
        return self.receive()

    def send(self, header: dict[str, Any], body: bytes = b"") -> None:
        """Raises ChannelClosed."""
        head = json.dumps(header).encode()
        try:
            self._socket.sendall(_SIZES.pack(len(head), len(body)) + head)
            self._socket.sendall(body)
        except OSError as error:
            raise ChannelClosed from error

    def receive(self) -> Frame:
        """Wait for the next question or answer. Raises ChannelClosed."""
        head_size, body_size = _SIZES.unpack(self._exactly(_SIZES.size))
        header = json.loads(self._exactly(head_size))
        return Frame(header, self._exactly(body_size))

    def close(self) -> None:
        """The other end notices it as ChannelClosed."""
        self._socket.close()

    def __del__(self) -> None:
        self.close()

    def _exactly(self, size: int) -> bytes:
        """So many bytes, in one piece where the system has them: a large answer is not copied once more."""
        try:
            data = self._socket.recv(size, socket.MSG_WAITALL) if size else b""
            if len(data) < size:  # interrupted by a signal, or closed
                rest = bytearray(data)
                while len(rest) < size:
                    more = self._socket.recv(size - len(rest))
                    if not more:
                        raise ChannelClosed
                    rest += more
                data = bytes(rest)
        except OSError as error:
            raise ChannelClosed from error
        return data


def header_of_failure(error: SinkUnavailable | SinkRejected) -> dict[str, Any]:
    """The header of an answer that says what failed."""
    if isinstance(error, SinkRejected):
        return {"rejected": error.reason, "table": error.table, "column": error.column}
    return {"unavailable": str(error)}


def raise_failure(header: Mapping[str, Any]) -> None:
    """Raises the SinkRejected or SinkUnavailable that an answer's header holds; does nothing where it holds none."""
    if "rejected" in header:
        raise SinkRejected(header["rejected"], table=header["table"], column=header["column"])
    if "unavailable" in header:
        raise SinkUnavailable(header["unavailable"])

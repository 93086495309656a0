"""Connections to one server: kept open, handed out to one request at a time, bounded in number and in time."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from creditmeter_client.errors import MeterUnavailable

_MOST_IDLE = 32
_LARGEST_ANSWER = 64 << 20
_STALE = (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError)


@dataclass(frozen=True)
class Answer:
    """A whole answer. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Connections:
    """A pool of connections to one address. Safe in threads; a child after a fork begins with none."""

    def __init__(self, url: str, timeout: float, context: ssl.SSLContext | None = None) -> None:
        """`timeout`: seconds for connecting and for each answer. Raises ValueError for an address that isn't one."""
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
            raise ValueError(f"{url!r} is no address of a server: write http://HOST:PORT or https://HOST")
        if parts.username or parts.password:
            raise ValueError("the address must not hold a user or password: give the key as key=")
        self._is_tls = parts.scheme == "https"
        self._host = parts.hostname
        self._port = parts.port
        self._prefix = parts.path.rstrip("/")
        self._timeout = timeout
        self._context = context
        self.after_fork()

    def after_fork(self) -> None:
        """Forgets the parent's connections without a word to the server: they are still the parent's."""
        self._lock = threading.Lock()
        self._idle: list[http.client.HTTPConnection] = []

    def close(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def request(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None, timeout: float | None = None
    ) -> Answer:
        """One request and its whole answer. Raises MeterUnavailable.

        A kept connection that the server has closed meanwhile is tried once more with a new one: whatever this package
        sends may arrive twice.
        """
        connection = self._kept()
        if connection is not None:
            try:
                return self._on(connection, method, path, headers, body, timeout)
            except _STALE:
                connection.close()
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                raise self._unavailable(error) from error
        connection = self._new()
        try:
            return self._on(connection, method, path, headers, body, timeout)
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise self._unavailable(error) from error

    def _on(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes | None,
        timeout: float | None,
    ) -> Answer:
        seconds = self._timeout if timeout is None else timeout
        if connection.sock is None:
            connection.timeout = min(seconds, self._timeout)
            connection.connect()
        sock: socket.socket = connection.sock
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(seconds)
        connection.request(method, self._prefix + path, body, dict(headers))
        response = connection.getresponse()
        data = response.read(_LARGEST_ANSWER + 1)
        if len(data) > _LARGEST_ANSWER:
            raise http.client.HTTPException("the answer is larger than 64 MiB")
        answer = Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, data)
        if response.will_close:
            connection.close()
        else:
            self._keep(connection)
        return answer

    def _kept(self) -> http.client.HTTPConnection | None:
        with self._lock:
            return self._idle.pop() if self._idle else None

    def _keep(self, connection: http.client.HTTPConnection) -> None:
        with self._lock:
            # A child that was forked in the middle of this request has another pool.
            if len(self._idle) < _MOST_IDLE:
                self._idle.append(connection)
                return
        connection.close()

    def _new(self) -> http.client.HTTPConnection:
        if self._is_tls:
            context = self._context or ssl.create_default_context()
            return http.client.HTTPSConnection(self._host, self._port, timeout=self._timeout, context=context)
        return http.client.HTTPConnection(self._host, self._port, timeout=self._timeout)

    def _unavailable(self, error: Exception) -> MeterUnavailable:
        if isinstance(error, ssl.SSLCertVerificationError):
            return MeterUnavailable(f"the certificate of {self._host} is not trusted: {error.verify_message}")
        return MeterUnavailable(f"{self._host}:{self._port or ''} does not answer: {error}")

"""A read-only window on the loader's sink: with chDB only the loader's process can open the data, so others ask it.

``POST /query?format=NAME`` with a statement as its body, for analysts; ``POST /read?format=NAME`` with a statement and
its parameters as JSON, for what customers are shown, with turns and limits of its own; ``GET /health``. Answers are
text: 200 with the result, 400 for a statement that is refused, 503 when the store cannot answer now. It listens on this
machine only.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, NamedTuple, Self
from urllib.parse import parse_qs, quote, unquote, urlsplit

from sinks.bound_statement import read_statement, written_statement
from sinks.formats import CONTENT_TYPES, format_name
from sinks.parameters import Parameters
from sinks.printable import without_secrets
from sinks.sink import CUSTOMER_LIMITS, DEFAULT_LIMITS, NONE, Limits, Sink, SinkRejected, SinkUnavailable
from sinks.turns import AT_ONCE, WAIT, Turns, customers_turns

HOST = "127.0.0.1"
DEFAULT_FORMAT = "TabSeparatedWithNames"
MAX_STATEMENT = 1024 * 1024
"""Bytes of a statement."""
MAX_IN_MEMORY = 1024 * 1024
"""Bytes of an answer that is kept in memory while it is sent."""
IDLE = 30.0
"""Seconds after which a connection that sends nothing is given up."""


class StoreIdentity(NamedTuple):
    """Whose rows a server answers with, carried by every answer: programs must not take another pipeline's for theirs.

    `store_id` is the data directory's, `folder` its path for people.
    """

    store_id: str
    topic_prefix: str
    folder: str

    def headers(self) -> dict[str, str]:
        return {name: quote(value) for name, value in zip(_IDENTITY_HEADERS, self, strict=True)}

    @classmethod
    def of(cls, header: Callable[[str], str | None]) -> StoreIdentity | None:
        """What an answer says of itself, asked by a header's name; None where it says nothing."""
        values = [header(name) for name in _IDENTITY_HEADERS]
        parts = [unquote(value) for value in values if value is not None]
        return cls(*parts) if len(parts) == len(values) else None


class ForeignStore(SinkUnavailable):
    """Somebody answers, with the rows of another pipeline."""


class Answer(NamedTuple):
    """Status, content type and text of an answer; a large text is an open file, which its reader closes."""

    status: HTTPStatus
    content_type: str
    body: bytes | BinaryIO


class QueryServer:
    """Serves a sink's readers from threads of its own, between ``start`` and ``stop``, or as a context manager.

    ``port`` 0 takes a free one. Large answers wait in files without a name in ``spool`` until they are sent (None: the
    system's folder for such). Raises OSError from ``start`` when the port is taken.
    """

    def __init__(
        self,
        sink: Sink,
        port: int = 0,
        limits: Limits = DEFAULT_LIMITS,
        identity: StoreIdentity | None = None,
        spool: Path | None = None,
        customer_limits: Limits = CUSTOMER_LIMITS,
    ) -> None:
        self._sink = sink
        self._spool = spool
        self.identity = {} if identity is None else identity.headers()
        self._wanted = port
        self.analysts = Turns(AT_ONCE, WAIT, limits)
        self.customers = customers_turns(customer_limits)
        self._has_stopped = False
        self._server: ThreadingHTTPServer | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Where it listens. Raises RuntimeError before ``start``."""
        if self._server is None:
            raise RuntimeError("the query server has not been started")
        return f"http://{HOST}:{self._server.server_address[1]}"

    def start(self) -> Self:
        server = _Server((HOST, self._wanted), self._handler())
        self._server, self._has_stopped = server, False
        self._thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="query-server", daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Takes no more statements. Close the sink only after this. Stopping twice does nothing."""
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()
            self._has_stopped = True  # connections that were kept open live on in their threads
            # Whoever is still reading must be done before the sink may be closed.
            self.analysts.drain()
            self.customers.drain()
            self._server = None

    def answer(self, sql: str, output_format: str, turns: Turns, parameters: Parameters = NONE) -> Answer:
        """The answer to one statement, which waits its turn among the others of its kind."""
        if not turns.take():
            reason = f"{turns.at_once} other statements have run for {turns.wait:.0f} s: ask again later"
            return Answer(HTTPStatus.SERVICE_UNAVAILABLE, _TEXT, f"{reason}\n".encode())
        try:
            return self._answer(sql, output_format, turns.limits, parameters)
        finally:
            turns.release()

    def health(self) -> Answer:
        """Whether the store answers now; waits for no turn."""
        answer = self._answer("SELECT 1", "TabSeparated", self.analysts.limits, NONE)
        return answer._replace(body=b"ok\n") if answer.status is HTTPStatus.OK else answer

    def _answer(self, sql: str, output_format: str, limits: Limits, parameters: Parameters) -> Answer:
        try:
            name = format_name(output_format)
            if self._has_stopped:
                return Answer(HTTPStatus.SERVICE_UNAVAILABLE, _TEXT, b"the loader has stopped\n")
            body = self._sink.query_text(sql, name, limits=limits, parameters=parameters)
            kept = body if len(body) <= MAX_IN_MEMORY else self._on_disk(body)
        except SinkRejected as error:
            return Answer(HTTPStatus.BAD_REQUEST, _TEXT, f"{error}\n".encode())
        except SinkUnavailable as error:
            return Answer(HTTPStatus.SERVICE_UNAVAILABLE, _TEXT, f"{error}\n".encode())
        except OSError as error:
            return Answer(HTTPStatus.SERVICE_UNAVAILABLE, _TEXT, f"the answer cannot be kept: {error}\n".encode())
        return Answer(HTTPStatus.OK, CONTENT_TYPES.get(name, _TEXT), kept)

    def _on_disk(self, body: bytes) -> BinaryIO:
        """A large answer, out of memory while it is sent: whoever reads slowly holds a file and no memory of ours."""
        kept = tempfile.TemporaryFile(dir=self._spool)  # noqa: SIM115 -- closed when it has been sent
        try:
            kept.write(body)
            kept.seek(0)
        except OSError:
            kept.close()
            raise
        return kept

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        return type("Handler", (_Handler,), {"owner": self})


class _Server(ThreadingHTTPServer):
    """A thread for each connection."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Whoever goes away before the answer is no error of ours."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    owner: QueryServer
    protocol_version = "HTTP/1.1"
    server_version = "creditmeter"
    sys_version = ""
    timeout = IDLE

    def do_GET(self) -> None:
        if not self._is_local():
            return
        if urlsplit(self.path).path != "/health":
            self._send(HTTPStatus.NOT_FOUND, _TEXT, f"{_ENDPOINTS}\n".encode())
            return
        self._send(*self.owner.health())

    def do_POST(self) -> None:
        if not self._is_local():
            return
        address = urlsplit(self.path)
        length = self.headers.get("Content-Length", "")
        if address.path not in ("/query", "/read"):
            self._refuse(HTTPStatus.NOT_FOUND, _ENDPOINTS)
        elif not length.isascii() or not length.isdigit():
            self._refuse(HTTPStatus.LENGTH_REQUIRED, "send the statement as the body, with its Content-Length")
        elif len(length) > _DIGITS or int(length) > MAX_STATEMENT:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a statement has at most {MAX_STATEMENT} bytes")
        else:
            body = self.rfile.read(int(length))
            output_format = parse_qs(address.query).get("format", [DEFAULT_FORMAT])[-1]
            if address.path == "/query":
                sql = body.decode("utf-8", "replace")
                self._send(*self.owner.answer(sql, output_format, self.owner.analysts))
                return
            try:
                sql, parameters = read_statement(body)
            except SinkRejected as error:
                self._send(HTTPStatus.BAD_REQUEST, _TEXT, f"{error}\n".encode())
                return
            self._send(*self.owner.answer(sql, output_format, self.owner.customers, parameters))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name that http.server gives it
        """Nothing: statements may hold what should not be in a log."""

    def _is_local(self) -> bool:
        """A web page that the user looks at must not read the bills by way of a name that resolves to this machine."""
        try:
            host = urlsplit(f"//{self.headers.get('Host', '')}").hostname
        except ValueError:  # no name at all
            host = None
        if host in _LOCAL_NAMES and self.headers.get("Origin") is None:
            return True
        self._refuse(HTTPStatus.FORBIDDEN, "only programs of this machine may ask here")
        return False

    def _refuse(self, status: HTTPStatus, reason: str) -> None:
        """The body was not read, so that the connection cannot go on."""
        self.close_connection = True
        self._send(status, _TEXT, f"{reason}\n".encode())

    def _send(self, status: HTTPStatus, kind: str, body: bytes | BinaryIO) -> None:
        with BytesIO(body) if isinstance(body, bytes) else body as text:
            size = text.seek(0, os.SEEK_END)
            text.seek(0)
            self._send_head(status, kind, size)
            shutil.copyfileobj(text, self.wfile, MAX_IN_MEMORY)

    def _send_head(self, status: HTTPStatus, kind: str, size: int) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(size))
        for name, value in self.owner.identity.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()


def remote_query(
    url: str,
    sql: str,
    output_format: str = DEFAULT_FORMAT,
    *,
    timeout: float = 90.0,
    is_ours: Callable[[StoreIdentity | None], str | None] = lambda _identity: None,
    parameters: Parameters | None = None,
) -> bytes:
    """The statement's result as text, asked of the QueryServer at ``url``; ``timeout`` in seconds.

    With ``parameters``, even if there are none in it, it is a customer's statement, with those turns and limits.

    ``is_ours`` is given what the answer says of itself, and says what is wrong with it, None for nothing. Raises
    ForeignStore then, SinkRejected for a statement that is refused, SinkUnavailable when nobody answers or the store
    cannot.
    """
    path, statement = ("/query", sql.encode()) if parameters is None else ("/read", written_statement(sql, parameters))
    if len(statement) > MAX_STATEMENT:
        raise SinkRejected(f"a statement has at most {MAX_STATEMENT} bytes")
    status, identity, body = _exchange(url, "POST", f"{path}?format={quote(output_format)}", statement, timeout)
    wrong = is_ours(identity)
    if wrong is not None:
        raise ForeignStore(f"{without_secrets(url)}: {wrong}")
    if status == HTTPStatus.OK:
        return body
    reason = body.decode("utf-8", "replace").strip()
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        raise SinkUnavailable(reason)
    raise SinkRejected(reason)


def remote_health(url: str, *, timeout: float = 10.0) -> tuple[bool, StoreIdentity | None]:
    """Whether the QueryServer at ``url`` can answer now, and whose it is. Raises SinkUnavailable."""
    status, identity, _ = _exchange(url, "GET", "/health", b"", timeout)
    return status == HTTPStatus.OK, identity


def _exchange(url: str, method: str, path: str, body: bytes, timeout: float) -> tuple[int, StoreIdentity | None, bytes]:
    address = urlsplit(url)
    connection = HTTPConnection(address.hostname or "", address.port or 80, timeout=timeout)
    try:
        connection.request(method, path, body=body)
        response = connection.getresponse()
        return response.status, StoreIdentity.of(response.getheader), response.read()
    except (OSError, HTTPException) as error:
        raise SinkUnavailable(
            f"nobody answers at {without_secrets(url)}: {error}. Is `creditmeter load` or `up` running?"
        ) from error
    finally:
        connection.close()


_DIGITS = len(str(MAX_STATEMENT))
_ENDPOINTS = "there are POST /query?format=NAME, POST /read?format=NAME and GET /health"
_TEXT = "text/plain; charset=utf-8"
_IDENTITY_HEADERS = ("Creditmeter-Store", "Creditmeter-Topics", "Creditmeter-Folder")
_LOCAL_NAMES = ("127.0.0.1", "localhost", "::1")

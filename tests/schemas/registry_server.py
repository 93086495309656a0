"""A small HTTP server that answers as Confluent's schema registry does: its paths, codes and error bodies."""

import base64
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

MEDIA_TYPE = "application/vnd.schemaregistry.v1+json"
Answer = tuple[int, Any]


class RegistryServer(ThreadingHTTPServer):
    """``schemas`` by id and ``subjects`` as a registry keeps them; ``asked`` holds each request's method and path.

    ``fault`` answers in place of the registry: a status and a body, which need not be JSON.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.schemas: dict[int, dict[str, Any]] = {}
        self.subjects: dict[str, list[int]] = {}
        self.asked: list[str] = []
        self.credentials: str | None = None
        self.may_register = True
        self.fault: Callable[[], tuple[int, bytes]] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def add(self, schema: Any, **properties: Any) -> int:
        """Keeps a schema without a subject and returns its id."""
        text = schema if isinstance(schema, str) else json.dumps(schema)
        for known, answer in self.schemas.items():
            if answer == {"schema": text, **properties}:
                return known
        number = len(self.schemas) + 100
        self.schemas[number] = {"schema": text, **properties}
        return number

    def answer(self, method: str, path: str, body: Any) -> Answer:
        match [method, *map(unquote, path.strip("/").split("/"))]:
            case ["GET", "schemas", "ids", number]:
                schema = self.schemas.get(int(number))
                unknown = {"error_code": 40403, "message": f"Schema {number} not found"}
                return (200, schema) if schema else (404, unknown)
            case ["POST", "subjects", subject] if subject not in self.subjects:
                return 404, {"error_code": 40401, "message": f"Subject '{subject}' not found."}
            case ["POST", "subjects", subject]:
                for version, number in enumerate(self.subjects[subject], 1):
                    if json.loads(self.schemas[number]["schema"]) == json.loads(body["schema"]):
                        return 200, {"subject": subject, "id": number, "version": version, "schema": body["schema"]}
                return 404, {"error_code": 40403, "message": "Schema not found"}
            case ["POST", "subjects", subject, "versions"]:
                if not self.may_register:
                    return 403, {"error_code": 40301, "message": "User is denied operation Write on Subject"}
                number = self.add(body["schema"])
                self.subjects.setdefault(subject, []).append(number)
                return 200, {"id": number}
        return 404, {"error_code": 404, "message": "HTTP 404 Not Found"}


class _Handler(BaseHTTPRequestHandler):
    server: RegistryServer

    def do_GET(self) -> None:
        self._respond(None)

    def do_POST(self) -> None:
        if self.headers["Content-Type"] != MEDIA_TYPE:
            self._send(415, b'{"error_code": 415, "message": "HTTP 415 Unsupported Media Type"}')
            return
        self._respond(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def _respond(self, body: Any) -> None:
        server = self.server
        server.asked.append(f"{self.command} {self.path}")
        if server.fault is not None:
            self._send(*server.fault())
        elif server.credentials and self.headers["Authorization"] != _basic(server.credentials):
            self._send(401, b'{"error_code": 401, "message": "Unauthorized"}')
        else:
            status, answer = server.answer(self.command, self.path, body)
            self._send(status, json.dumps(answer).encode())

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", MEDIA_TYPE)
        self.send_header("Content-Length", str(len(body)))
        if status == 302:
            self.send_header("Location", "/schemas/ids/100")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """The tests' output is for the tests."""


def _basic(credentials: str) -> str:
    return f"Basic {base64.b64encode(credentials.encode()).decode()}"


@contextmanager
def registry_server() -> Iterator[RegistryServer]:
    server = RegistryServer()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

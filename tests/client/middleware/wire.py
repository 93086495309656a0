"""The same applications twice on sockets of this machine, alone and behind the middleware: uvicorn and wsgiref."""

import asyncio
import gzip
import io
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import uvicorn
from fastapi import BackgroundTasks, FastAPI, HTTPException
from fastapi.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response, StreamingResponse
from flask import Flask
from starlette.middleware.gzip import GZipMiddleware

from tests.client.middleware.apps import Served

OBJECTS = {
    "plain": b'{"people":[{"name":"Zo\xc3\xab"}]}',
    "braces": b'{"a":"}{\\"}","b":{"c":{"d":{}}}}',
    "pretty": b'{\n  "a": 1,\n  "b": [\n    {}\n  ]\n}\n',
    "empty-object": b"{}",
}
"""JSON objects that get one member more where somebody asks."""
OTHERS = {
    "empty": (b"", "application/json"),
    "list": (b'[{"a":1}]', "application/json"),
    "bom": (b'\xef\xbb\xbf{"a":1}', "application/json"),
    "utf-16": ('{"a":1}'.encode("utf-16"), "application/json; charset=utf-16"),
    "lines": (b'{"a":1}\n{"a":2}\n', "application/x-ndjson"),
    "problem": (b'{"status":400}', "application/problem+json"),
    "html": (b"<p>{}</p>", "text/html"),
}
BODIES = {**{name: (body, "application/json") for name, body in OBJECTS.items()}, **OTHERS}
GZIP = gzip.compress(OBJECTS["plain"], mtime=0)


def asgi_application() -> FastAPI:
    app = FastAPI()

    @app.api_route("/v1/body/{name}", methods=["GET", "HEAD", "POST"])
    def body(name: str) -> Response:
        content, kind = BODIES[name]
        return Response(content, headers={"content-type": kind, "etag": '"v1"', "X-Mixed": "A"})

    @app.get("/v1/gzip")
    def gzipped() -> Response:
        return Response(GZIP, media_type="application/json", headers={"content-encoding": "gzip"})

    @app.get("/v1/stream")
    def stream() -> StreamingResponse:
        return StreamingResponse(iter([b'{"a": ', b"1}"]), media_type="application/json")

    @app.get("/v1/sse")
    def events() -> StreamingResponse:
        return StreamingResponse(iter([b"data: {}\n\n"] * 3), media_type="text/event-stream")

    @app.get("/v1/status/{status}")
    def status(status: int) -> Response:
        return Response(status_code=status, headers={"etag": '"v1"', "content-type": "application/json"})

    @app.get("/v1/redirect")
    def redirect() -> RedirectResponse:
        return RedirectResponse("/v1/stream")

    @app.get("/v1/refused")
    def refused() -> None:
        raise HTTPException(403, {"why": "{}"})

    @app.get("/v1/broken")
    def broken() -> None:
        raise ZeroDivisionError

    @app.get("/v1/cut")
    def cut() -> StreamingResponse:
        def parts() -> Iterator[bytes]:
            yield b'{"a": 1'
            raise ZeroDivisionError

        return StreamingResponse(parts(), media_type="application/json")

    @app.get("/v1/background")
    def background(tasks: BackgroundTasks) -> JSONResponse:
        tasks.add_task(lambda: None)
        return JSONResponse({"a": 1}, background=tasks)

    @app.get("/v1/text")
    def text() -> PlainTextResponse:
        return PlainTextResponse("{}")

    return app


def wsgi_application() -> Any:
    app = Flask(__name__)

    @app.route("/v1/body/<name>", methods=["GET", "HEAD", "POST"])
    def body(name: str) -> Any:
        content, kind = BODIES[name]
        return app.response_class(content, headers={"content-type": kind, "etag": '"v1"', "X-Mixed": "A"})

    @app.get("/v1/gzip")
    def gzipped() -> Any:
        return app.response_class(GZIP, mimetype="application/json", headers={"content-encoding": "gzip"})

    @app.get("/v1/stream")
    def stream() -> Any:
        return app.response_class(iter([b'{"a": ', b"1}"]), mimetype="application/json")

    @app.get("/v1/status/<int:status>")
    def status(status: int) -> Any:
        return app.response_class(status=status, headers={"etag": '"v1"', "content-type": "application/json"})

    @app.get("/v1/broken")
    def broken() -> Any:
        raise ZeroDivisionError

    return app.wsgi_app


def exchange(port: int, request: str) -> bytes:
    """Every byte that comes back until the server closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(request.replace("\n", "\r\n").encode())
        data = b""
        while chunk := connection.recv(65_536):
            data += chunk
    return re.sub(rb"\r\nDate: [^\r]*", b"", data, count=1)


@contextmanager
def asgi_ports() -> Iterator[dict[str, int]]:
    """`alone`, `behind` the middleware, and both inside compression: `gzip-alone`, `gzip-behind`."""
    served = Served(asgi_application())
    apps: dict[str, Any] = {
        "alone": asgi_application(),
        "behind": served.asgi,
        "gzip-alone": GZipMiddleware(asgi_application(), minimum_size=1),
        "gzip-behind": GZipMiddleware(served.asgi, minimum_size=1),
    }
    listeners = {name: socket.create_server(("127.0.0.1", 0)) for name in apps}
    servers = {
        name: uvicorn.Server(
            uvicorn.Config(app, lifespan="off", log_level="critical", date_header=False, loop="asyncio")
        )
        for name, app in apps.items()
    }

    def run(name: str) -> None:
        asyncio.run(servers[name].serve([listeners[name]]))

    threads = [threading.Thread(target=run, args=(name,)) for name in apps]
    for thread in threads:
        thread.start()
    try:
        yield {name: listener.getsockname()[1] for name, listener in listeners.items()}
    finally:
        for server in servers.values():
            server.should_exit = True
        for thread in threads:
            thread.join(60)
        served.close()


class _SilentHandler(WSGIRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Tests print nothing."""

    def get_stderr(self) -> Any:
        return io.StringIO()


@contextmanager
def wsgi_ports() -> Iterator[dict[str, int]]:
    """`alone` and `behind` the middleware. The server speaks HTTP/1.0 and closes."""
    served = Served(wsgi_application())
    servers = {}
    for name, app in {"alone": wsgi_application(), "behind": served.wsgi}.items():
        server = servers[name] = WSGIServer(("127.0.0.1", 0), _SilentHandler)
        server.set_app(app)
    threads = [threading.Thread(target=server.serve_forever, args=(0.05,)) for server in servers.values()]
    for thread in threads:
        thread.start()
    try:
        yield {name: server.server_port for name, server in servers.items()}
    finally:
        for server in servers.values():
            server.shutdown()
            server.server_close()
        for thread in threads:
            thread.join(60)
        served.close()

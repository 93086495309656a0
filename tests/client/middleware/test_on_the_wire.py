"""Bytes on a socket, by uvicorn: HTTP/1.0 and 1.1, chunked, HEAD, 304; with the middleware and without."""

import asyncio
import re
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI
from fastapi.responses import JSONResponse, Response, StreamingResponse

from tests.client.middleware.apps import Served


def application() -> FastAPI:
    app = FastAPI()

    @app.api_route("/v1/people", methods=["GET", "HEAD"])
    def people() -> JSONResponse:
        return JSONResponse({"people": [{"name": "ä}"}]}, headers={"etag": '"v1"'})

    @app.get("/v1/stream")
    def stream() -> StreamingResponse:
        return StreamingResponse(iter([b'{"a": ', b"1}"]), media_type="application/json")

    @app.get("/v1/unchanged")
    def unchanged() -> Response:
        return Response(status_code=304, headers={"etag": '"v1"'})

    return app


@pytest.fixture(scope="module")
def ports() -> Iterator[tuple[int, int]]:
    """Of the application alone, and behind the middleware."""
    served = Served(application())
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    servers = [
        uvicorn.Server(uvicorn.Config(app, lifespan="off", log_level="warning", date_header=False, loop="asyncio"))
        for app in (application(), served.asgi)
    ]
    threads = [
        threading.Thread(target=lambda s=server, at=listener: asyncio.run(s.serve([at])))  # type: ignore[misc]
        for server, listener in zip(servers, listeners, strict=True)
    ]
    for thread in threads:
        thread.start()
    yield listeners[0].getsockname()[1], listeners[1].getsockname()[1]
    for server in servers:
        server.should_exit = True
    for thread in threads:
        thread.join(60)
    served.close()


def exchange(port: int, request: str) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(request.replace("\n", "\r\n").encode())
        data = b""
        while chunk := connection.recv(65_536):
            data += chunk
    return data


def request(path: str, version: str, method: str, asked: str) -> str:
    return f"{method} {path} HTTP/{version}\nHost: x\nConnection: close\ncredit-usage: {asked}\n\n"


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize(
    ("path", "method", "asked"),
    [("/v1/stream", "GET", "true"), ("/v1/people", "HEAD", "true"), ("/v1/unchanged", "GET", "true"),
     ("/v1/nowhere", "GET", "true"), ("/v1/stream", "GET", "no")],
)  # fmt: skip
def test_left_alone_to_the_byte(ports: Any, version: str, path: str, method: str, asked: str) -> None:
    alone, behind = (exchange(port, request(path, version, method, asked)) for port in ports)
    assert behind == alone


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_only_vary_where_nobody_asked(ports: Any, version: str) -> None:
    alone, behind = (exchange(port, request("/v1/people", version, "GET", "no")) for port in ports)
    assert behind == alone.replace(b"\r\n\r\n", b"\r\nvary: credit-usage\r\n\r\n", 1) or (
        behind.replace(b"vary: credit-usage\r\n", b"") == alone
    )


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_one_member_more_where_somebody_did(ports: Any, version: str) -> None:
    alone, behind = (exchange(port, request("/v1/people", version, "GET", "true")) for port in ports)
    head, _, body = behind.partition(b"\r\n\r\n")
    member = b',"credit_usage":{"total_results":0,"total_credits":0}}'
    assert body == alone.partition(b"\r\n\r\n")[2][:-1] + member
    (length,) = re.findall(rb"content-length: (\d+)", head)
    assert int(length) == len(body)
    assert b'etag: "v1"' not in head

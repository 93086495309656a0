"""HTTP receivers on this machine, good and bad, and a certificate of an authority of their own."""

from __future__ import annotations

import asyncio
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

Reply = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Request:
    """One request as it came."""

    line: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """Keeps requests; `reply` answers each."""

    reply: Reply
    port: int = 0
    requests: list[Request] = field(default_factory=list)

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            line, *rest = head.strip().split("\r\n")
            headers = {name.lower(): value for name, value in (text.split(": ", 1) for text in rest)}
            body = await reader.readexactly(int(headers["content-length"]))
            self.requests.append(Request(line, headers, body))
            await self.reply(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


def answers(status: int, *headers: str, body: bytes = b"") -> Reply:
    """Answers at once."""

    async def reply(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines = [f"HTTP/1.1 {status} Reason", *headers, f"content-length: {len(body)}", "", ""]
        writer.write("\r\n".join(lines).encode() + body)
        await writer.drain()

    return reply


def sends(*blocks: bytes, then_forever: bytes = b"", hold: bool = False) -> Reply:
    """Sends bytes as they are, then the last ones without end, or nothing and keeps the connection."""

    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for block in blocks:
            writer.write(block)
        await writer.drain()
        while then_forever:
            writer.write(then_forever)
            await writer.drain()
        if hold:
            await reader.read()

    return reply


def reserved_port() -> socket.socket:
    """A port of 127.0.0.1 that takes no connections, and that nobody else can have meanwhile."""
    place = socket.socket()
    place.bind(("127.0.0.1", 0))
    return place


@asynccontextmanager
async def receiving(
    reply: Reply, tls: ssl.SSLContext | None = None, place: socket.socket | None = None
) -> AsyncIterator[Receiver]:
    """A receiver at a free port of 127.0.0.1, or at a reserved one."""
    receiver = Receiver(reply)
    server = await asyncio.start_server(receiver, sock=place or reserved_port(), ssl=tls)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()


def certificate(folder: Path, name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's context with a certificate of this name, and a client's that trusts it alone."""
    key, made = folder / "key.pem", folder / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-keyout", key, "-out", made, "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}"],
        check=True, capture_output=True,
    )  # fmt: skip
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(made, key)
    return server, ssl.create_default_context(cafile=str(made))

"""One try against receivers that are good, slow, lying or elsewhere than they say."""

import asyncio
import socket
import ssl
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from application.webhooks.dispatching import MOST_TRIES
from application.webhooks.schedule import Outcome, TryResult
from application.webhooks.sending import MOST_BYTES, HttpSender, Resolve
from application.webhooks.targets import TargetRules
from tests.application.webhooks.examples import NOW
from tests.application.webhooks.receivers import Reply, answers, certificate, receiving, reserved_port, sends

HERE = TargetRules(allow_http_to_this_machine=True)
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"


async def tried(
    url: str, rules: TargetRules = HERE, *, resolve: Resolve | None = None, seconds: float = 15.0, body: bytes = b"{}"
) -> TryResult:
    sender = HttpSender(rules, resolve=resolve, now=lambda: NOW, seconds=seconds)
    try:
        return await sender.send(url, {"webhook-id": "msg_1"}, body)
    finally:
        sender.close()


def result_of(reply: Reply, *, seconds: float = 15.0) -> TryResult:
    async def run() -> TryResult:
        async with receiving(reply) as receiver:
            return await tried(f"http://127.0.0.1:{receiver.port}/hook?x=1", seconds=seconds)

    return asyncio.run(run())


def addresses(*texts: str) -> Resolve:
    async def resolve(_host: str, _port: int) -> Sequence[str]:
        return texts

    return resolve


def test_a_message_goes_out_whole() -> None:
    body = '{"reason":"für Ö"}'.encode()

    async def run() -> None:
        async with receiving(answers(204)) as receiver:
            result = await tried(f"http://localhost:{receiver.port}/hook?x=1", body=body)
            assert (result.outcome, result.attempt.status_code, result.attempt.error) == (Outcome.DELIVERED, 204, "")
            assert result.attempt.at == NOW
            (request,) = receiver.requests
            assert (request.line, request.body) == ("POST /hook?x=1 HTTP/1.1", body)
            assert request.headers["host"] == f"localhost:{receiver.port}"
            assert request.headers["webhook-id"] == "msg_1"
            assert request.headers["content-type"] == "application/json"

    asyncio.run(run())


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, Outcome.DELIVERED), (299, Outcome.DELIVERED), (400, Outcome.FAILED), (404, Outcome.FAILED),
        (410, Outcome.GONE), (429, Outcome.FAILED), (500, Outcome.FAILED), (503, Outcome.FAILED),
    ],
)  # fmt: skip
def test_the_status_decides(status: int, outcome: Outcome) -> None:
    result = result_of(answers(status, body=b"whatever"))
    assert (result.outcome, result.attempt.status_code) == (outcome, status)
    assert result.attempt.error == ("" if status < 300 else f"{status} Reason")


def test_a_redirect_is_not_followed() -> None:
    async def run() -> None:
        async with receiving(answers(200)) as elsewhere:
            async with receiving(answers(302, f"location: http://127.0.0.1:{elsewhere.port}/")) as receiver:
                result = await tried(f"http://127.0.0.1:{receiver.port}/")
            assert (result.outcome, elsewhere.requests) == (Outcome.FAILED, [])
            assert result.attempt.error == "302 Reason: redirects are not followed"

    asyncio.run(run())


@pytest.mark.parametrize(
    ("text", "wait"),
    [
        ("7", 7_000), ("Fri, 15 Jan 2027 08:01:00 GMT", 60_000), ("Fri, 15 Jan 2027 07:00:00 GMT", 0), ("soon", None),
        ("-1", None), ("9" * 30, None), ("\u0667", None),
    ],
)  # fmt: skip
def test_what_retry_after_asks_for(text: str, wait: int | None) -> None:
    lines = b"HTTP/1.1 429 Slow\r\ncontent-length: 0\r\nretry-after: " + text.encode() + b"\r\n\r\n"
    assert result_of(sends(lines)).retry_after == wait


def test_an_endless_body_after_200_is_left_unread() -> None:
    """It has said that it took the message; how much it says beyond that is its own affair."""
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    result = result_of(sends(head, then_forever=b"4000\r\n" + b"x" * 0x4000 + b"\r\n"))
    assert result.outcome is Outcome.DELIVERED


def test_an_endless_head_is_no_answer() -> None:
    result = result_of(sends(b"HTTP/1.1 200 OK\r\n", then_forever=b"x-more: " + b"y" * 1_000 + b"\r\n"))
    assert (result.outcome, result.attempt.status_code) == (Outcome.FAILED, None)
    early = b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" * 100
    assert len(early) * 100 > MOST_BYTES
    assert result_of(sends(then_forever=early)).outcome is Outcome.FAILED


@pytest.mark.parametrize("reply", [sends(hold=True), sends(b"HTTP/1.1 200 O", hold=True)])
def test_a_slow_receiver_is_left_after_the_time(reply: Reply) -> None:
    result = result_of(reply, seconds=0.2)
    assert (result.outcome, result.attempt.error) == (Outcome.FAILED, "no answer within 0.2 s")


def test_one_that_took_the_message_and_then_dawdles_has_taken_it() -> None:
    result = result_of(sends(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nx", hold=True))
    assert result.outcome is Outcome.DELIVERED


@pytest.mark.parametrize(
    "reply", [sends(b"hello\r\n\r\n"), sends(), sends(b"HTTP/1.1 2000 OK\r\n\r\n"), sends(b"\x16\x03\x01")]
)
def test_what_is_no_http_is_no_answer(reply: Reply) -> None:
    assert result_of(reply).attempt.error == "the answer is not HTTP"


def test_an_interim_answer_is_not_the_answer() -> None:
    assert result_of(sends(b"HTTP/1.1 100 Continue\r\n\r\n" + OK)).outcome is Outcome.DELIVERED


def test_nobody_listens_or_the_name_is_unknown() -> None:
    async def run() -> None:
        async with receiving(answers(200)) as receiver:
            port = receiver.port
        assert (await tried(f"http://127.0.0.1:{port}/")).attempt.error == "no connection: Connection refused"

        async def unknown(_host: str, _port: int) -> Sequence[str]:
            raise OSError(-2, "Name or service not known")

        result = await tried("https://nowhere.example/", resolve=unknown)
        assert result.attempt.error == "no connection: Name or service not known"
        assert "not allowed" in (await tried("https://a..b/")).attempt.error

    asyncio.run(run())


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "2130706433", "0x7f000001", "0177.0.0.1", "127.1", "localhost", "[::1]", "[::ffff:127.0.0.1]"]
)
def test_this_machine_is_not_reached_however_it_is_spelled(host: str) -> None:
    async def run() -> None:
        async with receiving(answers(200)) as receiver:
            result = await tried(f"https://{host}:{receiver.port}/", TargetRules())
            assert result.outcome is Outcome.FAILED
            assert receiver.requests == []
            assert result.attempt.error.startswith("not allowed: ") or host == "0177.0.0.1"

    asyncio.run(run())


def test_a_name_with_one_private_address_among_its_own_is_not_reached() -> None:
    result = asyncio.run(tried("https://example.com/", TargetRules(), resolve=addresses("8.8.8.8", "10.0.0.1")))
    assert result.attempt.error == "not allowed: the host is in a private or reserved network"


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "0.0.0.0", "::1", "::ffff:127.0.0.1", "::127.0.0.1", "::", "64:ff9b::7f00:1", "2002:7f00:1::",
        "fe80::1%1", "169.254.169.254", "::ffff:169.254.169.254",
    ],
)  # fmt: skip
def test_a_name_that_stands_for_this_machine_or_an_inner_network_gets_no_connection(address: str) -> None:
    """Whatever a name server says: where the receiver listens no connection arrives."""
    connected: list[bool] = []

    async def note(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.append(True)
        writer.close()

    async def run() -> None:
        place = reserved_port()
        server = await asyncio.start_server(note, sock=place)
        url = f"https://inner.example.com:{place.getsockname()[1]}/"
        result = await tried(url, TargetRules(), resolve=addresses("8.8.8.8", address))
        assert result.attempt.error == "not allowed: the host is in a private or reserved network"
        server.close()
        assert connected == []

    asyncio.run(run())


def test_the_address_that_was_checked_is_the_one_that_is_connected_to(tmp_path: Path) -> None:
    """Rebinding: the name is looked up once. Host and SNI are still the name, and the certificate is checked for it."""
    server, client = certificate(tmp_path, "hooks.example.com")
    asked: list[str] = []
    names: list[str | None] = []
    server.sni_callback = lambda _socket, name, _context: names.append(name)

    async def once(host: str, _port: int) -> Sequence[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["127.0.0.2"]

    async def run() -> None:
        async with receiving(answers(200), server) as receiver:
            url = f"https://hooks.example.com:{receiver.port}/"
            result = await tried(url, TargetRules(True, client), resolve=once)
            assert result.outcome is Outcome.DELIVERED
            assert (asked, names) == (["hooks.example.com"], ["hooks.example.com"])
            assert receiver.requests[0].headers["host"] == f"hooks.example.com:{receiver.port}"
            other = f"https://other.example.com:{receiver.port}/"
            wrong = await tried(other, TargetRules(True, client), resolve=addresses("127.0.0.1"))
            assert wrong.attempt.error.startswith("the certificate is not valid: ")
            untrusted = await tried(
                url, TargetRules(True, ssl.create_default_context()), resolve=addresses("127.0.0.1")
            )
            assert untrusted.outcome is Outcome.FAILED
            assert len(receiver.requests) == 1

    asyncio.run(run())


def test_names_that_no_server_answers_for_delay_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many lookups hang as there are tries at once, and those of as many before them, which were given up."""
    answered, lookup = threading.Event(), socket.getaddrinfo

    def hang(host: str, *arguments: Any, **options: Any) -> Any:
        if host.startswith("stuck"):
            answered.wait()
        return lookup("localhost" if host.startswith("stuck") else host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", hang)

    async def run() -> None:
        sender = HttpSender(HERE)
        async with receiving(answers(200)) as receiver:
            stuck = [
                asyncio.create_task(sender.send(f"https://stuck-{number}.example/", {}, b""))
                for number in range(2 * MOST_TRIES - 1)
            ]
            await asyncio.sleep(0)
            try:
                result = await sender.send(f"http://127.0.0.1:{receiver.port}/", {}, b"")
                assert result.outcome is Outcome.DELIVERED
            finally:
                answered.set()
                for task in stuck:
                    task.cancel()
                sender.close()

    asyncio.run(run())


def test_the_next_address_is_tried_where_the_first_takes_no_connection() -> None:
    async def run() -> None:
        async with receiving(answers(200)) as receiver:
            url = f"http://localhost:{receiver.port}/"
            result = await tried(url, resolve=addresses("127.0.0.9", "127.0.0.1"))
            assert result.outcome is Outcome.DELIVERED

    asyncio.run(run())

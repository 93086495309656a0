"""What is ASGI's alone: background tasks, exceptions, readers who leave, web sockets, extensions, frameworks."""

import asyncio
import json
from typing import Any

import pytest
from creditmeter_client import Outcome
from creditmeter_client.middleware import current_call
from fastapi import BackgroundTasks, FastAPI
from fastapi.responses import StreamingResponse
from starlette.applications import Starlette
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from tests.client.middleware.apps import Served, answering, call_asgi, get, scope_of

OBJECT = b'{"a": 1}'


def outcomes(served: Served) -> list[str]:
    served.close()
    return [event.fields["outcome"] for event in served.transport.events]


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(200, "processed"), (204, "processed"), (302, "processed"), (304, "processed"), (400, "invalid"),
     (401, "unauthenticated"), (403, "blocked"), (404, "invalid"), (429, "rate_limited"), (500, "failed"),
     (503, "failed")],
)  # fmt: skip
def test_the_outcome_is_that_of_the_status_as_in_access_logs(status: int, outcome: str) -> None:
    served = Served(answering(OBJECT, status=status))
    get(served.asgi)
    assert outcomes(served) == [outcome]


def test_what_describe_says_of_the_outcome_counts() -> None:
    served = Served(
        answering(OBJECT, status=404),
        describe=lambda call: call.usage("acme", "/v1/people", outcome=Outcome.PROCESSED),
    )
    get(served.asgi)
    assert outcomes(served) == ["processed"]


def test_an_exception_is_a_failed_call_and_goes_on() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise ZeroDivisionError

    served = Served(app)
    with pytest.raises(ZeroDivisionError):
        get(served.asgi)
    assert outcomes(served) == ["failed"]


def test_an_exception_in_the_middle_of_an_answer_is_a_failed_call() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        raise ZeroDivisionError

    served = Served(app)
    with pytest.raises(ZeroDivisionError):
        get(served.asgi)
    assert outcomes(served) == ["failed"]


def test_an_exception_after_the_answer_is_none_of_the_callers_business() -> None:
    inner = answering(OBJECT)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await inner(scope, receive, send)
        raise ZeroDivisionError

    served = Served(app)
    with pytest.raises(ZeroDivisionError):
        get(served.asgi)
    assert outcomes(served) == ["processed"]


def test_a_reader_who_leaves_has_had_the_work_done() -> None:
    served = Served(answering([b"a", b"b"], [(b"content-type", b"text/plain")]))

    async def leaving() -> None:
        async def receive() -> dict[str, Any]:
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.body":
                raise OSError("gone")

        with pytest.raises(OSError, match="gone"):
            await served.asgi(scope_of(), receive, send)

    asyncio.run(leaving())
    assert outcomes(served) == ["processed"]


def test_an_answer_never_waits_for_a_background_task() -> None:
    served = Served()
    order: list[str] = []
    app = FastAPI()

    @app.get("/v1/people")
    def people(tasks: BackgroundTasks) -> dict[str, int]:
        current_call().found(results=2)
        tasks.add_task(lambda: order.append(f"task after {served.meter.counts().recorded} events"))
        return {"found": 2}

    served = Served(app)
    answer = get(served.asgi, credit_usage="true")
    assert json.loads(answer.body) == {"found": 2, "credit_usage": {"total_results": 2, "total_credits": 4}}
    assert order == ["task after 1 events"]
    served.close()


@pytest.mark.parametrize("kind", ["websocket", "lifespan"])
def test_anything_but_http_passes_untouched(kind: str) -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.extend([scope, receive, send])

    async def nothing(*_: Any) -> dict[str, Any]:
        return {}

    served = Served(app)
    scope = {"type": kind, "path": "/v1/people"}
    asyncio.run(served.asgi(scope, nothing, nothing))
    assert seen[0] is scope
    assert seen[1:] == [nothing, nothing]
    assert outcomes(served) == []


def test_messages_of_extensions_pass_in_their_order() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
        await send({"type": "http.response.pathsend", "path": "/tmp/x"})

    served = Served(app)
    sent: list[Any] = []

    async def run() -> None:
        async def receive() -> dict[str, Any]:
            return {}

        async def send(message: Any) -> None:
            sent.append(message["type"])

        await served.asgi(scope_of(headers={"credit-usage": "true"}), receive, send)

    asyncio.run(run())
    assert sent == ["http.response.start", "http.response.pathsend"]
    assert outcomes(served) == ["processed"]


def test_trailers_leave_the_answer_alone() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers, "trailers": True})
        await send({"type": "http.response.body", "body": OBJECT})
        await send({"type": "http.response.trailers", "headers": []})

    served = Served(app)
    answer = get(served.asgi, credit_usage="true")
    assert (answer.body, answer.others) == (OBJECT, ["http.response.trailers"])
    served.close()


def test_every_part_of_a_stream_passes_before_the_next_is_made() -> None:
    served = Served()
    app = FastAPI()

    @app.get("/v1/people")
    def people() -> StreamingResponse:
        def parts() -> Any:
            yield b'{"a": '
            current_call().found(results=5)
            yield b"1}"

        return StreamingResponse(parts(), media_type="application/json")

    served = Served(app)
    answer = get(served.asgi, credit_usage="true")
    assert answer.body == OBJECT
    assert answer.header("vary") == []
    served.close()
    assert served.transport.events[0].fields["quantities"] == {"results": 5}


def test_inside_a_middleware_that_streams_every_answer() -> None:
    async def people(request: Request) -> JSONResponse:
        current_call().found(results=1)
        return JSONResponse({"a": 1})

    class Streams(BaseHTTPMiddleware):
        async def dispatch(self, request: Request, call_next: Any) -> Any:
            return await call_next(request)

    served = Served(Streams(Starlette(routes=[Route("/v1/people", people)])))
    answer = get(served.asgi, credit_usage="true")
    assert json.loads(answer.body)["credit_usage"] == {"total_results": 1, "total_credits": 2}
    served.close()


def test_calls_at_once_keep_their_findings_apart() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        number = int(dict(scope["headers"])[b"x-number"])
        current_call().found(results=number)
        await asyncio.sleep(0)
        await answering(OBJECT, found={"results": 0})(scope, receive, send)

    served = Served(app)

    async def run() -> list[Any]:
        calls = [
            call_asgi(served.asgi, scope_of(headers={"credit-usage": "true", "x-number": str(number)}))
            for number in range(1, 21)
        ]
        return await asyncio.gather(*calls)

    answers = asyncio.run(run())
    assert [json.loads(answer.body)["credit_usage"]["total_credits"] for answer in answers] == [
        2 * number for number in range(1, 21)
    ]
    served.close()

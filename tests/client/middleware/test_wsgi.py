"""What is WSGI's alone: Flask, generators, `write`, exceptions, files, and bodies that must be closed."""

import json
from collections.abc import Iterator
from typing import Any
from wsgiref.util import FileWrapper

import pytest
from creditmeter_client.middleware import WsgiCreditMiddleware, current_call
from flask import Flask, Response

from tests.client.middleware.apps import Served, get_wsgi

OBJECT = b'{"a": 1}'
JSON = [("Content-Type", "application/json"), ("Content-Length", "8")]


def outcomes(served: Served) -> list[str]:
    served.close()
    return [event.fields["outcome"] for event in served.transport.events]


def test_flask() -> None:
    app = Flask(__name__)

    @app.get("/v1/people")
    def people() -> dict[str, int]:
        current_call().found(results=2)
        return {"found": 2}

    @app.get("/v1/free")
    def free() -> Response:
        return Response((part for part in (b'{"a"', b": 1}")), mimetype="application/json")

    served = Served(app.wsgi_app)
    app.wsgi_app = WsgiCreditMiddleware(app.wsgi_app, meter=served.meter, settings=served.settings)  # type: ignore[method-assign]
    client = app.test_client()
    asked = client.get("/v1/people", headers={"credit-usage": "true"})
    assert asked.json == {"found": 2, "credit_usage": {"total_results": 2, "total_credits": 4}}
    assert asked.headers["content-length"] == str(len(asked.data))
    plain = client.get("/v1/people")
    assert (plain.json, plain.headers["vary"]) == ({"found": 2}, "credit-usage")
    streamed = client.get("/v1/free", headers={"credit-usage": "true"})
    assert (streamed.data, "vary" in streamed.headers) == (OBJECT, False)
    assert client.get("/nowhere").status_code == 404
    assert outcomes(served) == ["processed"] * 3


def test_an_application_that_starts_in_its_generator() -> None:
    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", JSON)
        current_call().found(results=1)
        yield OBJECT

    served = Served(app)
    answer = get_wsgi(served.wsgi, credit_usage="true")
    assert json.loads(answer.body)["credit_usage"] == {"total_results": 1, "total_credits": 2}
    assert outcomes(served) == ["processed"]


def test_what_is_sent_by_write_stays_as_it_is() -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        write = start_response("200 OK", JSON)
        write(OBJECT)
        return []

    served = Served(app)
    assert get_wsgi(served.wsgi, credit_usage="true").body == OBJECT
    assert outcomes(served) == ["processed"]


@pytest.mark.parametrize("late", [True, False])
def test_an_exception_is_a_failed_call_and_goes_on(late: bool) -> None:
    def parts() -> Iterator[bytes]:
        yield b"begun"
        raise ZeroDivisionError

    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        if not late:
            raise ZeroDivisionError
        return parts()

    served = Served(app)
    with pytest.raises(ZeroDivisionError):
        get_wsgi(served.wsgi)
    assert outcomes(served) == ["failed"]


def test_a_body_is_closed_once_also_where_nobody_reads_it() -> None:
    closed: list[str] = []

    class Body:
        def __iter__(self) -> Iterator[bytes]:
            return iter([OBJECT])

        def close(self) -> None:
            closed.append("closed")

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", JSON)
        return Body()

    served = Served(app)
    assert b"credit_usage" in get_wsgi(served.wsgi, credit_usage="true").body
    assert closed == ["closed"]
    unread = served.wsgi({"REQUEST_METHOD": "GET", "PATH_INFO": "/v1/people"}, lambda *_: lambda _data: None)
    unread.close()  # type: ignore[attr-defined]
    assert closed == ["closed", "closed"]
    assert outcomes(served) == ["processed", "processed"]


def test_a_file_is_left_to_the_server(tmp_path: Any) -> None:
    (tmp_path / "file").write_bytes(b"x" * 10)

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return environ["wsgi.file_wrapper"]((tmp_path / "file").open("rb"))

    served = Served(app)
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/v1/people", "wsgi.file_wrapper": FileWrapper}
    assert isinstance(served.wsgi(environ, lambda *_: lambda _data: None), FileWrapper)
    assert outcomes(served) == ["processed"]


def test_an_error_page_after_an_error_replaces_the_first_start() -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", JSON)
        try:
            int("not a number")
        except ValueError:
            import sys

            start_response("500 Oh", [("Content-Type", "text/plain")], sys.exc_info())
        return [b"sorry"]

    served = Served(app)
    answer = get_wsgi(served.wsgi, credit_usage="true")
    assert (answer.status, answer.body) == (500, b"sorry")
    assert outcomes(served) == ["failed"]

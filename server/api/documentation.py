"""What the API says about itself: the OpenAPI document, and a page made from it."""

from __future__ import annotations

from contextlib import suppress

from starlette.responses import Response

from application.errors import Failed
from application.prices.openapi_marks import marked
from server.api.answers import json_answer
from server.api.call import Call
from server.api.contract import JSON, Content
from server.api.routing import Operation
from streams import clock

_PAGE = {
    "content-security-policy": "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
}


async def openapi_json(call: Call) -> Response:
    """This document, in OpenAPI 3.1. Where prices are public, operations that a charge names say what they cost."""
    documentation, reads = call.parts.documentation, call.parts.reads
    if reads is not None and reads.public_prices:
        with suppress(Failed):  # without a book there are no prices
            priced = marked(documentation.document, reads.book().book, clock.now_ms(), only_named=True)
            return json_answer(priced)
    return Response(documentation.json, media_type=JSON)


async def docs(call: Call) -> Response:
    """The document as a page: no script, nothing of another host."""
    return Response(call.parts.documentation.page, headers=_PAGE, media_type="text/html; charset=utf-8")


async def docs_style(call: Call) -> Response:
    """The page's style sheet."""
    return Response(call.parts.documentation.style, media_type="text/css; charset=utf-8")


OPERATIONS = (
    Operation(
        "GET", "/openapi.json", None, openapi_json, "The API as OpenAPI 3.1", (), None,
        {200: Content({JSON: dict}, "An OpenAPI document")},
    ),
    Operation(
        "GET", "/docs", None, docs, "The API for people", (), None, {200: Content({"text/html": None}, "A page")}
    ),
    Operation(
        "GET", "/docs/style.css", None, docs_style, "The page's style sheet", (), None,
        {200: Content({"text/css": None}, "A style sheet")},
    ),
)  # fmt: skip

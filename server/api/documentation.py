"""What the API says about itself: the OpenAPI document, and a page made from it."""

from __future__ import annotations

from starlette.responses import Response

from server.api.call import Call
from server.api.contract import JSON, Content
from server.api.routing import Operation

_PAGE = {
    "content-security-policy": "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
}


async def openapi_json(call: Call) -> Response:
    """This document, in OpenAPI 3.1."""
    return Response(call.parts.documentation.json, media_type=JSON)


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

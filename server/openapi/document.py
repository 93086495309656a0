"""The OpenAPI 3.1 document, made from the table of operations, the types of bodies and answers, and the problems."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import Any

from application.access.identity import NEEDS
from server.api.contract import JSON, Content, Parameter, Shape
from server.api.problems import MEDIA_TYPE, TYPE_PREFIX, ProblemType
from server.api.routing import Operation
from server.messages.scalars import ProblemDocument
from server.openapi.schemas import Schema, SchemaBook, shapes_of

ROLE = "x-creditmeter-role"
_ALWAYS = (ProblemType.UNKNOWN_HOST, ProblemType.INVALID_PARAMETERS, ProblemType.INTERNAL, ProblemType.OVERLOADED)
_WITH_KEY = (
    ProblemType.UNAUTHENTICATED, ProblemType.FORBIDDEN, ProblemType.NOT_FOUND, ProblemType.TOO_MANY_REQUESTS,
    ProblemType.UNAVAILABLE,
)  # fmt: skip
_WITH_BODY = (
    ProblemType.MALFORMED, ProblemType.TIMEOUT, ProblemType.TOO_LARGE, ProblemType.UNSUPPORTED_MEDIA_TYPE,
    ProblemType.INVALID_ITEMS,
)  # fmt: skip
_IDS = {
    "account": "an account, or `self`: the key's own",
    "place": "where it stands: partition@offset, or partition@offset[index]",
}
_DESCRIPTION = (
    "Events in, receipts and decisions out; what was used and what it cost. An id in a path is one segment, "
    "percent-encoded; one that is `self`, `.` or `..`, or holds a slash, is written `~` and its base64url."
)


def openapi_document(operations: Sequence[Operation]) -> dict[str, Any]:
    """The document, the same for the same operations."""
    shapes = [ProblemDocument, *(shape for operation in operations for shape in _shapes(operation))]
    book = SchemaBook(shapes)
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation, book)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "creditmeter",
            "version": version("creditmeter"),
            "description": _DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name} for name in dict.fromkeys(map(_tag, operations))],
        "paths": paths,
        "components": {
            "schemas": book.components,
            "responses": {kind.slug: _problem(kind) for kind in ProblemType},
            "headers": _HEADERS,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "Authorization: Bearer KEY"},
                "key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
            },
        },
    }


_HEADERS: dict[str, Any] = {
    "x-request-id": {"description": "the request's id, yours where it is a sane one", "schema": {"type": "string"}},
    "Retry-After": {"description": "seconds until it is worth another try", "schema": {"type": "string"}},
    "RateLimit-Policy": {"description": "the bound: its name, quota and unit", "schema": {"type": "string"}},
    "RateLimit": {"description": "what is left of it", "schema": {"type": "string"}},
}


def operation_id(method: str, path: str) -> str:
    """`GET /v1/accounts/{account}/usage` is get_accounts_account_usage: the same for ever, as paths are."""
    parts = [part.strip("{}").replace("-", "_").replace(".", "_") for part in path.split("/") if part not in {"", "v1"}]
    return "_".join([method.lower(), *parts])


def problems_of(operation: Operation) -> list[ProblemType]:
    """Every problem that the operation may answer, in the order of their statuses."""
    kinds = {*_ALWAYS, *operation.problems}
    kinds.update(_WITH_KEY if operation.action is not None else ())
    kinds.update(_WITH_BODY if operation.body is not None else ())
    return [kind for kind in ProblemType if kind in kinds]


def _shapes(operation: Operation) -> Iterator[Shape]:
    yield from shapes_of([operation.body, *operation.answers.values()])
    yield from (parameter.type for parameter in operation.parameters or ())


def _operation(operation: Operation, book: SchemaBook) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "operationId": operation_id(operation.method, operation.path),
        "tags": [_tag(operation)],
        "summary": operation.summary,
        "description": inspect.getdoc(operation.handler) or operation.summary,
        "parameters": [*_path_parameters(operation), *_parameters(operation.parameters or (), book)],
        "responses": _responses(operation, book),
        "security": [] if operation.action is None else [{"bearer": []}, {"key": []}],
        ROLE: "anyone" if operation.action is None else NEEDS[operation.action].value,
    }
    if operation.body is not None:
        body = _content(operation.body)
        shown["requestBody"] = {"required": True, "content": _media(body, book)}
    return shown


def _tag(operation: Operation) -> str:
    return operation.handler.__module__.rpartition(".")[2].replace("_", " ")


def _path_parameters(operation: Operation) -> Iterator[dict[str, Any]]:
    for segment in operation.segments:
        if segment.startswith("{"):
            name = segment[1:-1]
            yield {
                "name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1},
                "description": _IDS.get(name, "an id, as its answer names it"),
            }  # fmt: skip


def _parameters(parameters: Sequence[Parameter], book: SchemaBook) -> Iterator[dict[str, Any]]:
    for parameter in parameters:
        schema = book.of(parameter.type)
        yield {
            "name": parameter.name,
            "in": parameter.where,
            "required": False,
            "description": parameter.meaning,
            "schema": {"type": "array", "items": schema} if parameter.many else schema,
        }


def _responses(operation: Operation, book: SchemaBook) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    for status, answer in operation.answers.items():
        content = _content(answer)
        response: dict[str, Any] = {
            "description": content.meaning or _meaning(answer),
            "headers": {
                "x-request-id": {"$ref": "#/components/headers/x-request-id"},
                **{name: {"description": text, "schema": {"type": "string"}} for name, text in content.headers.items()},
            },
            "content": _media(content, book),
        }
        links = {
            name: {"operationId": operation_id(*link.to.split(" ")), "parameters": dict(link.parameters)}
            for name, link in operation.links.items()
            if link.status == status
        }
        responses[str(status)] = response | ({"links": links} if links else {})
    by_status: dict[int, list[ProblemType]] = {}
    for kind in problems_of(operation):
        by_status.setdefault(kind.status, []).append(kind)
    for status, kinds in by_status.items():
        responses[str(status)] = _one_of(kinds)
    return dict(sorted(responses.items()))


def _one_of(kinds: Sequence[ProblemType]) -> dict[str, Any]:
    """The answer of one status: a problem of one of these types."""
    if len(kinds) == 1:
        return {"$ref": f"#/components/responses/{kinds[0].slug}"}
    return _described("; or ".join(f"{kind.title} ({kind.slug})" for kind in kinds), kinds)


def _problem(kind: ProblemType) -> dict[str, Any]:
    return _described(f"{kind.title} ({kind.slug}): {kind.advice}", [kind])


def _described(text: str, kinds: Sequence[ProblemType]) -> dict[str, Any]:
    headers = {"x-request-id": {"$ref": "#/components/headers/x-request-id"}}
    if any(kind.status in {429, 503} for kind in kinds):
        headers["Retry-After"] = {"$ref": "#/components/headers/Retry-After"}
    if any(kind.status == 429 for kind in kinds):
        headers |= {name: {"$ref": f"#/components/headers/{name}"} for name in ("RateLimit-Policy", "RateLimit")}
    types = [TYPE_PREFIX + kind.slug for kind in kinds]
    schema = {
        "allOf": [
            {"$ref": "#/components/schemas/ProblemDocument"},
            {"properties": {"type": {"enum": types}, "status": {"const": kinds[0].status}}},
        ]
    }
    return {"description": text, "headers": headers, "content": {MEDIA_TYPE: {"schema": schema}}}


def _content(shape: Shape | Content) -> Content:
    return shape if isinstance(shape, Content) else Content({JSON: shape})


def _media(content: Content, book: SchemaBook) -> dict[str, Any]:
    shown: dict[str, Mapping[str, Schema]] = {}
    for media, shape in content.media.items():
        shown[media] = {"schema": {"type": "string"} if shape is None else book.of(shape)}
    return shown


def _meaning(shape: Shape) -> str:
    return (inspect.getdoc(shape) or "done").partition("\n")[0] if isinstance(shape, type) else "done"

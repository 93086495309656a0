"""Whether an answer is one that the OpenAPI document describes: every answer that the tests get is compared with it."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from typing import Any

import jsonschema_rs

from server.api.problems import Problem
from server.api.routing import Operation, Router
from server.openapi.document import openapi_document
from tests.server.asgi_client import Answer

OPEN = {"ProblemDocument", "PipelineStatus"}
"""Types of which answers may have further members."""


class Conformance:
    """The document of some operations, with types that have no members but those that are described."""

    def __init__(self, operations: Sequence[Operation]) -> None:
        self._router = Router(operations)
        self._document = _closed(openapi_document(operations))
        self._validators: dict[str, Any] = {}

    def check(self, method: str, target: str, answer: Answer) -> None:
        """Raises AssertionError where the document has no such answer. What no route is asked for is left alone."""
        operation = self._operation(method, target)
        if operation is None or not operation.summary:
            return  # the tests' own operations have no summary
        described = self._document["paths"][operation.path][operation.method.lower()]["responses"]
        where = f"{operation.method} {operation.path} answered {answer.status}"
        assert str(answer.status) in described, f"{where}, which is not described: {answer.body[:300]!r}"
        response = self._resolved(described[str(answer.status)])
        media = answer.headers["content-type"].partition(";")[0]
        assert media in response["content"], f"{where} as {media}; described: {list(response['content'])}"
        if response["content"][media]["schema"] == {"type": "string"} or method == "HEAD":
            return
        validator = self._validator(response["content"][media]["schema"])
        mistakes = [f"{error.instance_path}: {error.message}" for error in validator.iter_errors(answer.json)]
        assert not mistakes, f"{where} otherwise than described: {mistakes[:5]}"

    def _operation(self, method: str, target: str) -> Operation | None:
        path = target.partition("?")[0].encode()
        try:
            return self._router.match(method, path).operation
        except Problem:
            return None

    def _resolved(self, response: dict[str, Any]) -> dict[str, Any]:
        if "$ref" not in response:
            return response
        found: dict[str, Any] = self._document["components"]["responses"][response["$ref"].rpartition("/")[2]]
        return found

    def _validator(self, schema: dict[str, Any]) -> Any:
        key = json.dumps(schema)
        if key not in self._validators:
            whole = {**schema, "components": self._document["components"]}
            self._validators[key] = jsonschema_rs.Draft202012Validator(whole, validate_formats=True)
        return self._validators[key]


_KNOWN: dict[int, tuple[Sequence[Operation], Conformance]] = {}


def conformance_of(operations: Sequence[Operation]) -> Conformance:
    """The same for the same table."""
    if id(operations) not in _KNOWN:
        _KNOWN[id(operations)] = operations, Conformance(operations)
    return _KNOWN[id(operations)][1]


def _closed(document: dict[str, Any]) -> dict[str, Any]:
    closed = copy.deepcopy(document)
    for name, schema in closed["components"]["schemas"].items():
        if "properties" in schema and name not in OPEN:
            schema.setdefault("additionalProperties", False)
    return closed

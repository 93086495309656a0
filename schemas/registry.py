"""A client of Confluent's schema registry (its REST API), as small as the codec needs.

Answers are kept for the life of the process: in a registry an id means the same schema for ever.
"""

from __future__ import annotations

import base64
import json
from http import HTTPStatus
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from schemas.catalog import Schema, fingerprint_of
from schemas.errors import IncompatibleSchemas, RegistryUnavailable, UnknownSchemaId

MEDIA_TYPE = "application/vnd.schemaregistry.v1+json"
SCHEMA_NOT_FOUND = 40403
"""The registry's own code for "no such schema". A bare 404 is a wrong address, and says nothing about the id."""
SUBJECT_NOT_FOUND = 40401
MAX_ANSWER = 4 * 1024 * 1024


class _NoRedirects(HTTPRedirectHandler):
    """A registry does not redirect, and its credentials are for nobody else."""

    def redirect_request(self, *_: object) -> None:
        return None


class HttpRegistry:
    """A registry at ``url``. ``user`` and ``password`` are sent as basic authentication where given.

    ``timeout`` is in seconds. Raises `ValueError` for an address that is not http or https, or holds credentials.
    """

    def __init__(self, url: str, user: str | None = None, password: str | None = None, timeout: float = 10.0) -> None:
        address = urlsplit(url)
        if "@" in address.netloc:
            raise ValueError("give the schema registry's user and password by themselves, not within its address")
        if address.scheme not in {"http", "https"} or not address.hostname:
            raise ValueError(f"the schema registry's address must begin with http:// or https://, not {url!r}")
        self._url = url.rstrip("/")
        parts = urlsplit(self._url)
        # For messages: what stands before the @ may be a password.
        self._shown = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
        self._timeout = timeout
        self._open = build_opener(_NoRedirects).open
        self._headers = {"Accept": MEDIA_TYPE, "Content-Type": MEDIA_TYPE}
        if user is not None:
            token = base64.b64encode(f"{user}:{password or ''}".encode()).decode()
            self._headers["Authorization"] = f"Basic {token}"
        self._schemas: dict[int, Schema] = {}
        self._ids: dict[tuple[str, int], int] = {}

    def schema_of(self, schema_id: int) -> Schema:
        """The schema of this id.

        Raises `UnknownSchemaId` when the registry has none, `IncompatibleSchemas` when it is not an Avro schema that
        stands alone, `RegistryUnavailable` for any other answer or none.
        """
        if schema_id not in self._schemas:
            code, answer = self._call("GET", f"/schemas/ids/{schema_id}")
            if code == SCHEMA_NOT_FOUND:
                raise UnknownSchemaId(f"the schema registry has no schema {schema_id}")
            self._expect(code, answer, f"schema {schema_id}", "schema", str)
            if answer.get("schemaType", "AVRO") != "AVRO" or answer.get("references"):
                raise IncompatibleSchemas(f"schema {schema_id} of the registry is not an Avro schema that stands alone")
            try:
                self._schemas[schema_id] = json.loads(answer["schema"])
            except ValueError:
                raise IncompatibleSchemas(f"schema {schema_id} of the registry is not JSON") from None
        return self._schemas[schema_id]

    def id_of(self, subject: str, schema: Schema) -> int:
        """The id of ``schema`` under ``subject``; a schema that is new there is registered.

        Looking up comes first, so that an account that may not register can still write what somebody else
        registered. Raises `RegistryUnavailable`.
        """
        key = subject, fingerprint_of(schema)
        if key not in self._ids:
            body = {"schema": json.dumps(schema)}
            path = f"/subjects/{quote(subject, safe='')}"
            code, answer = self._call("POST", path, body)
            if code in {SCHEMA_NOT_FOUND, SUBJECT_NOT_FOUND}:
                code, answer = self._call("POST", f"{path}/versions", body)
            self._expect(code, answer, f"the id of {subject}", "id", int)
            self._ids[key] = answer["id"]
        return self._ids[key]

    def _expect(self, code: int, answer: dict[str, Any], wanted: str, field: str, kind: type) -> None:
        if code != HTTPStatus.OK or not isinstance(answer.get(field), kind):
            said = str(answer.get("message", ""))[:200]
            raise RegistryUnavailable(
                f"schema registry at {self._shown}: asked for {wanted} and got {code} {said}".rstrip()
                + "; check its address and credentials, and that it lets this schema be registered"
            )

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        """(200, answer), or for an error the registry's own code where it gives one, else the status of HTTP."""
        data = None if body is None else json.dumps(body).encode()
        request = Request(self._url + path, data, self._headers, method=method)  # noqa: S310 - checked to be http(s)
        try:
            return self._answer(request)
        except (OSError, HTTPException) as problem:
            reason = getattr(problem, "reason", problem)
            raise RegistryUnavailable(f"schema registry at {self._shown} cannot be reached: {reason}") from problem

    def _answer(self, request: Request) -> tuple[int, dict[str, Any]]:
        try:
            with self._open(request, timeout=self._timeout) as response:
                return HTTPStatus.OK, _object(response.read(MAX_ANSWER))
        except HTTPError as error:
            with error:
                answer = _object(error.read(MAX_ANSWER))
            code = answer.get("error_code")
            return (code if isinstance(code, int) else error.code), answer


def _object(data: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(data)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}

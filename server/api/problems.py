"""Errors as HTTP says them: problem documents (RFC 9457). The one place where an ErrorCode gets its status.

Each type is explained in docs/api.md under its slug. An operation raises `Problem`; errors of use cases are translated
by `problem_of`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple

import msgspec
from starlette.responses import Response

from application.errors import ErrorCode, UseCaseError

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "/problems/"
_RETRY_AFTER = "1"


class ProblemType(Enum):
    """Every type of problem: slug, title, status, what to do. The set is closed; docs/api.md explains each."""

    MALFORMED = (
        "malformed",
        "The request cannot be read",
        400,
        "send JSON in UTF-8, whole; `detail` says at which character it breaks",
    )
    INVALID_PARAMETERS = (
        "invalid-parameters",
        "Parameters are wrong",
        400,
        "correct the parameters that `errors` names",
    )
    UNKNOWN_HOST = (
        "unknown-host",
        "This server does not answer for that host",
        400,
        "use the server's own name, or add it to `serve_hosts`",
    )
    UNAUTHENTICATED = ("unauthenticated", "A valid API key is needed", 401, "send a key that is in force, one only")
    INSUFFICIENT_CREDITS = (
        "insufficient-credits",
        "The account has too few credits available",
        402,
        "the account needs credits: `required`, `available`",
    )
    FORBIDDEN = ("forbidden", "This key may not do that", 403, "use a key of the role, or of the account")
    NOT_FOUND = ("not-found", "There is no such thing here", 404, "there is no such thing, or the key may not see it")
    LOG_REMADE = ("log-remade", "The receipt is of another log", 404, "the receipt is of a log that is no more")
    METHOD_NOT_ALLOWED = ("method-not-allowed", "The path has no such method", 405, "`Allow` lists what there is")
    TIMEOUT = ("request-timeout", "The request came too slowly", 408, "send the body without pauses")
    CONFLICT = ("conflict", "It contradicts what is there", 409, "choose another id, or send the same content")
    TOO_LARGE = ("too-large", "The request is too large", 413, "send fewer events at once")
    UNSUPPORTED_MEDIA_TYPE = (
        "unsupported-media-type",
        "The body's type is not one that is read here",
        415,
        "send one of the content types that the operation reads; gzip or zstd",
    )
    INVALID_ITEMS = ("invalid-items", "Some of it is wrong", 422, "correct what `errors` names")
    TOO_MANY_REQUESTS = (
        "too-many-requests",
        "This key asks for too much at once",
        429,
        "this key has too much in hand: wait as long as `Retry-After` says, then send again",
    )
    HEADERS_TOO_LARGE = (
        "headers-too-large",
        "The request's headers are too large",
        431,
        "a request's line and headers have at most 64 KiB",
    )
    INTERNAL = ("internal", "Something went wrong here", 500, "look the request id up in the server's log")
    UNAVAILABLE = (
        "unavailable",
        "Try again later",
        503,
        "try again; `detail` says whether something may have been stored",
    )
    OVERLOADED = (
        "overloaded",
        "The server has too much in hand",
        503,
        "the server has too much in hand: nothing was stored, try again",
    )

    def __init__(self, slug: str, title: str, status: int, advice: str) -> None:
        self.slug = slug
        self.title = title
        self.status = status
        self.advice = advice


_OF_CODE = {
    ErrorCode.INVALID: ProblemType.INVALID_ITEMS,
    ErrorCode.FAILED: ProblemType.INTERNAL,
    ErrorCode.UNAVAILABLE: ProblemType.UNAVAILABLE,
    ErrorCode.UNDECIDED: ProblemType.UNAVAILABLE,
    ErrorCode.NOT_FOUND: ProblemType.NOT_FOUND,
    ErrorCode.CONFLICT: ProblemType.CONFLICT,
    ErrorCode.MISMATCH: ProblemType.INTERNAL,
    ErrorCode.UNAUTHENTICATED: ProblemType.UNAUTHENTICATED,
    ErrorCode.FORBIDDEN: ProblemType.FORBIDDEN,
}
_WITH_RETRY_AFTER = {429, 503}


class Mistake(NamedTuple):
    """One thing that is wrong: where (a JSON pointer into the body, or a parameter's name), and what."""

    pointer: str
    detail: str

    def as_json(self) -> dict[str, str]:
        return {"pointer": self.pointer, "detail": self.detail}


@dataclass
class Problem(Exception):
    """Ends an operation with a problem document. `members` are further members of it."""

    type: ProblemType
    detail: str
    errors: Sequence[Mistake] = ()
    members: Mapping[str, Any] | None = None
    headers: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        super().__init__(self.detail)

    def document(self) -> dict[str, Any]:
        """The problem document."""
        document: dict[str, Any] = {
            "type": TYPE_PREFIX + self.type.slug,
            "title": self.type.title,
            "status": self.type.status,
            "detail": self.detail,
        }
        if self.errors:
            document["errors"] = [mistake.as_json() for mistake in self.errors]
        return document | dict(self.members or {})

    def response(self) -> Response:
        """The answer. 429 and 503 always say when to try again."""
        headers = dict(self.headers or {})
        if self.type.status in _WITH_RETRY_AFTER:
            headers.setdefault("retry-after", _RETRY_AFTER)
        body = msgspec.json.encode(self.document())
        return Response(body, self.type.status, headers, MEDIA_TYPE)


def problem_of(error: UseCaseError) -> Problem:
    """A use case's error as a problem."""
    return Problem(_OF_CODE[error.code], error.message)

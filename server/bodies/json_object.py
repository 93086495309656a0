"""A body that is one JSON object, with every mistake that its text has by itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from server.api.problems import Mistake, Problem, ProblemType
from server.bodies.json_documents import Malformed, TooManyValues, check_size, mistakes_in, read_quickly, read_strictly


def read_object(headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
    """The object, plain. Raises Problem: 400 for no JSON object, 413, 415, 422 with the mistakes of its values."""
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Problem(ProblemType.UNSUPPORTED_MEDIA_TYPE, "content-type: application/json is read here")
    try:
        check_size(body)
    except TooManyValues:
        raise Problem(ProblemType.TOO_LARGE, "the body has too many values") from None
    quick = read_quickly(body)
    if quick is not None and quick.is_certain and type(quick.document) is dict and not _has_fraction(quick.document):
        return quick.document
    try:
        document = read_strictly(body)
    except Malformed as error:
        raise Problem(
            ProblemType.MALFORMED, f"the body is no JSON: {error}; nothing was done", [Mistake("", str(error))]
        ) from error
    if not isinstance(document, dict):
        raise Problem(ProblemType.MALFORMED, "the body is a JSON object here", [Mistake("", "should be an object")])
    if mistakes := mistakes_in(document, ""):
        raise Problem(ProblemType.INVALID_ITEMS, "some values are wrong; nothing was done", mistakes)
    return {name: _plain(value) for name, value in document.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(member) for name, member in value.items()}
    return [_plain(member) for member in value] if isinstance(value, list) else value


def _has_fraction(value: Any) -> bool:
    """Whether a number in it needs the strict way: a fraction, or more than 53 bits."""
    if isinstance(value, dict):
        return any(map(_has_fraction, value.values()))
    if isinstance(value, list):
        return any(map(_has_fraction, value))
    return isinstance(value, float) or (isinstance(value, int) and abs(value) >= 2**53)

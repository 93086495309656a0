"""A body that is one JSON object and stands for a command: plain values, to be judged by `metering`."""

from __future__ import annotations

from typing import Any

from server.api.call import Call
from server.api.problems import Mistake, Problem, ProblemType
from server.bodies.json_documents import Malformed, TooManyValues, check_size, mistakes_in, read_strictly


async def read_plain_object(call: Call) -> dict[str, Any]:
    """The object. Raises Problem: 400 for no JSON object, 413, 415, 422 with what is wrong with its values."""
    kind = call.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Problem(ProblemType.UNSUPPORTED_MEDIA_TYPE, "content-type: application/json is read here")
    body = await call.body()
    try:
        check_size(body)
        document = read_strictly(body)
    except TooManyValues as error:
        raise Problem(ProblemType.TOO_LARGE, "the body has too many values; nothing was done") from error
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

"""A body that is one JSON object, read field by field: every mistake with its pointer, all of them at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from metering.windows import parse_instant
from server.api.call import Call
from server.api.problems import Mistake, Problem, ProblemType
from server.bodies.json_documents import (
    BadNumber,
    Malformed,
    TooManyValues,
    check_size,
    mistakes_in,
    pointer_of,
    read_strictly,
)

_JSON = ("application/json", "")


async def read_object(call: Call) -> Fields:
    """The object of the body; an empty body is an empty object. Raises Problem."""
    kind = call.headers.get("content-type", "").partition(";")[0].strip().lower()
    body = await call.body()
    if kind not in _JSON and body:
        raise Problem(ProblemType.UNSUPPORTED_MEDIA_TYPE, "send application/json")
    try:
        check_size(body)
        document = read_strictly(body) if body else {}
    except Malformed as error:
        raise Problem(ProblemType.MALFORMED, f"the body is no JSON: {error}") from error
    except TooManyValues as error:
        raise Problem(ProblemType.TOO_LARGE, "the body holds too many values") from error
    if mistakes := mistakes_in(document, ""):
        raise Problem(ProblemType.INVALID_ITEMS, "the body is wrong", mistakes)
    if not isinstance(document, dict):
        raise Problem(ProblemType.INVALID_ITEMS, "the body should be an object", [Mistake("", "should be an object")])
    return Fields(document)


class Fields:
    """The members of an object, taken by name. `finish` raises what was wrong, and what nobody asked for."""

    def __init__(self, document: dict[str, Any], base: str = "", mistakes: list[Mistake] | None = None) -> None:
        self._left = dict(document)
        self._base = base
        self.mistakes: list[Mistake] = [] if mistakes is None else mistakes

    def wrong(self, name: str, reason: str) -> None:
        """Notes a mistake of a member."""
        self.mistakes.append(Mistake(pointer_of(self._base, name), reason))

    def has_mistake(self, name: str) -> bool:
        """Whether something is wrong with a member already."""
        pointer = pointer_of(self._base, name)
        return any(mistake.pointer == pointer for mistake in self.mistakes)

    def text(self, name: str) -> str | None:
        value = self._take(name)
        if value is None or isinstance(value, str):
            return value
        self.wrong(name, "should be a text")
        return None

    def flag(self, name: str) -> bool | None:
        value = self._take(name)
        if value is None or isinstance(value, bool):
            return value
        self.wrong(name, "should be true or false")
        return None

    def whole(self, name: str) -> int | None:
        """A whole number."""
        value = self._take(name)
        if value is None or (isinstance(value, int) and not isinstance(value, bool)):
            return value
        self.wrong(name, "should be a whole number")
        return None

    def time(self, name: str) -> int | None:
        """An instant in ms, given as RFC 3339 or as ms."""
        value = self._take(name)
        if isinstance(value, str):
            try:
                return parse_instant(value)
            except ValueError as error:
                self.wrong(name, str(error))
                return None
        if value is None or (isinstance(value, int) and not isinstance(value, bool)):
            return value
        self.wrong(name, "should be a time: RFC 3339, or ms since 1970")
        return None

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of texts, or one; none where it is absent."""
        value = self._take(name)
        values = [] if value is None else value if isinstance(value, list) else [value]
        if all(isinstance(item, str) for item in values):
            return tuple(values)
        self.wrong(name, "should be a text, or a list of texts")
        return ()

    def amounts(self, name: str) -> dict[str, int] | None:
        """Whole numbers by name."""
        value = self._take(name)
        if value is None:
            return None
        is_right = isinstance(value, dict) and all(
            isinstance(amount, int) and not isinstance(amount, bool) for amount in value.values()
        )
        if is_right:
            return dict(value)
        self.wrong(name, "should be whole numbers by name")
        return None

    def nested(self, name: str) -> Fields:
        """The members of an object; of none where it is absent."""
        value = self._take(name)
        if value is not None and not isinstance(value, dict):
            self.wrong(name, "should be an object")
            value = None
        inner = Fields(value or {}, pointer_of(self._base, name), self.mistakes)
        inner.is_given = value is not None
        return inner

    is_given = True
    """Whether the object was there at all."""

    def finish(self, *also: Fields, within: Sequence[str] = ()) -> None:
        """Raises Problem with all mistakes; members that nobody took are mistakes. `within`: what may be there."""
        for fields in (self, *also):
            for name in fields._left:  # noqa: SLF001 -- one class
                known = f"; there are {', '.join(within)}" if within else ""
                fields.wrong(name, f"there is no such member{known}")
        if self.mistakes:
            raise Problem(ProblemType.INVALID_ITEMS, "the body is wrong", self.mistakes)

    def _take(self, name: str) -> Any:
        value = self._left.pop(name, None)
        if isinstance(value, BadNumber):
            self.wrong(name, value.why)
            return None
        return value

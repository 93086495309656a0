"""Reads JSON quickly where it is right, and strictly where it may not be.

msgspec refuses most of what JSON does not allow, but takes the last of two members of one name. So the quick way also
proves that there were none: every member has exactly one colon outside of strings, so a body without members of the
same name has as many colons as it has members and colons in its texts. A body with an escaped colon, or with another
number of them, is read strictly.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from server.api.problems import Mistake

MOST_MISTAKES = 100
"""Mistakes that are listed of one document."""
MOST_VALUES = 1_000_000
"""Values of a body, counted by their commas and brackets before any is made: what bounds the memory that they take."""
_LARGEST = 2**53 - 1
_MOST_DIGITS = 40
_ESCAPED_COLON = b"\\u003"

_decode = msgspec.json.Decoder().decode


class Malformed(Exception):
    """The text is no JSON; the message says where."""


class TooManyValues(Exception):
    """The body holds more values than are read at once."""


class Quick(NamedTuple):
    """A document that was read quickly. `is_certain`: no member stands twice in an object of it."""

    document: Any
    is_certain: bool


class BadNumber:
    """Stands for a number that no field can hold: a fraction, an exponent, NaN, more than 53 bits. `why` says which."""

    def __init__(self, text: str, why: str) -> None:
        self.text = text
        self.why = why

    def __str__(self) -> str:
        return self.text[:_MOST_DIGITS]


class StrictObject(dict[str, Any]):
    """An object, and the names that stood in it more than once."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        names = [name for name, _ in pairs]
        self.doubled = [] if len(self) == len(pairs) else sorted({name for name in names if names.count(name) > 1})


def check_size(body: bytes) -> None:
    """Raises TooManyValues before anything of a body is made."""
    if body.count(b",") + body.count(b"[") + body.count(b"{") > MOST_VALUES:
        raise TooManyValues


def read_quickly(text: bytes) -> Quick | None:
    """The document; None where it has to be read strictly to say what is wrong."""
    try:
        document = _decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if _ESCAPED_COLON in text:
        return Quick(document, is_certain=False)
    try:
        return Quick(document, text.count(b":") == _colons(document))
    except RecursionError:
        return None


def read_strictly(text: bytes) -> Any:
    """The document with StrictObjects and BadNumbers in it. Raises Malformed."""
    try:
        return _STRICT.decode(text.decode())
    except UnicodeDecodeError as error:
        raise Malformed(f"byte {error.start} is not UTF-8") from error
    except json.JSONDecodeError as error:
        raise Malformed(f"{error.msg} at character {error.pos} (line {error.lineno}, column {error.colno})") from error
    except RecursionError as error:
        raise Malformed("it is nested too deep") from error


def mistakes_in(document: Any, pointer: str) -> list[Mistake]:
    """What is wrong at any depth of a strictly read document, whatever its fields mean; MOST_MISTAKES at most."""
    mistakes: list[Mistake] = []
    for mistake in _walk(document, pointer):
        mistakes.append(mistake)
        if len(mistakes) == MOST_MISTAKES:
            break
    return mistakes


def pointer_of(base: str, *names: str) -> str:
    """A JSON pointer (RFC 6901) to a member below `base`."""
    return base + "".join("/" + _printable(name).replace("~", "~0").replace("/", "~1") for name in names)


def _colons(value: Any) -> int:
    """Members of all objects, and colons in all texts: each is one colon of the document as it is written."""
    return msgspec.json.encode(value).count(b":")


def _walk(value: Any, pointer: str) -> Iterator[Mistake]:
    if isinstance(value, BadNumber):
        yield Mistake(pointer, value.why)
    elif isinstance(value, str):
        if not _is_text(value):
            yield Mistake(pointer, "holds half of a surrogate pair, which is no text")
    elif isinstance(value, StrictObject):
        for name in value.doubled:
            yield Mistake(pointer_of(pointer, name), "stands more than once in its object")
        for name, member in value.items():
            if not _is_text(name):
                yield Mistake(pointer_of(pointer, name), "its name holds half of a surrogate pair, which is no text")
            yield from _walk(member, pointer_of(pointer, name))
    elif isinstance(value, list):
        for index, member in enumerate(value):
            yield from _walk(member, f"{pointer}/{index}")


def _is_text(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


def _printable(name: str) -> str:
    return name.encode("utf-8", "backslashreplace").decode()


def _whole(digits: str) -> int | BadNumber:
    if len(digits) <= _MOST_DIGITS and -_LARGEST <= (number := int(digits)) <= _LARGEST:
        return number
    return BadNumber(digits, "has more than 53 bits: programs read such a number differently")


def _fraction(text: str) -> BadNumber:
    return BadNumber(text, f"is {text[:_MOST_DIGITS]}: numbers here are whole, without a point or an exponent")


def _constant(text: str) -> BadNumber:
    return BadNumber(text, f"is {text}, which is not JSON")


_STRICT = json.JSONDecoder(
    object_pairs_hook=StrictObject, parse_int=_whole, parse_float=_fraction, parse_constant=_constant
)

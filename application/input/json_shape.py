"""Refuses a file that is JSON but not NDJSON, by how it begins: no element of an array may be billed.

Of an array printed over several lines only the last element has no comma after it: read line by line, it alone would
count.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import chain

from application.input.lines import Line, UnreadableInputError

_ARRAY = re.compile(rb"\[[ \t\r]*(?:$|[\[{\]\"])")
_OPEN_ENDS = (b"{", b"[", b":")
_ADVICE = "one object a line is needed"


class NotNdjsonError(UnreadableInputError):
    """The file is JSON, but not one object a line; the message says what it is and how to convert it."""


def is_array_start(content: bytes) -> bool:
    """Whether a line is the beginning of a JSON array, and not of `[2001:db8::1]:443`."""
    return _ARRAY.match(content.strip()) is not None


def is_object_end(content: bytes) -> bool:
    """Whether a line looks like the end of a JSON object whose beginning is missing, as `tail -c` cuts it."""
    stripped = content.strip()
    return stripped.endswith(b"}") and b'"' in stripped and not stripped.startswith(b"{")


def checked_shape(lines: Iterator[Line]) -> Iterator[Line]:
    """All lines, once the first that holds something was looked at. Raises NotNdjsonError, before any line is given."""
    seen: list[Line] = []
    first = _next_content(lines, seen)
    if first is not None:
        _check_first(first)
        if not _is_object(first):
            _check_second(first, _next_content(lines, seen) or b"")
    return chain(seen, lines)


def _check_first(first: bytes) -> None:
    if is_array_start(first):
        raise _array()
    if first.startswith(b"{") and first.endswith(_OPEN_ENDS):
        raise _printed_object()
    if first.endswith(b"["):  # such as `events = [`
        raise _array()
    if _is_element(first):
        raise _elements()


def _check_second(first: bytes, second: bytes) -> None:
    """Looks at the line after a first one that is no object, perhaps a comment or what stands before an array."""
    if first.startswith(b"{") and first.endswith(b",") and second.startswith(b'"'):
        raise _printed_object()
    if is_array_start(second):
        raise _array()
    if _is_element(second):
        raise _elements()


def _array() -> NotNdjsonError:
    return NotNdjsonError(f"is a JSON array: {_ADVICE}, for example by jq -c '.[]'")


def _elements() -> NotNdjsonError:
    return NotNdjsonError(f"has commas between its objects, as a part of a JSON array: {_ADVICE}")


def _printed_object() -> NotNdjsonError:
    return NotNdjsonError(f"is JSON printed over several lines: {_ADVICE}, for example by jq -c .")


def _next_content(lines: Iterator[Line], seen: list[Line]) -> bytes | None:
    for line in lines:
        seen.append(line)
        if stripped := line.content.strip():
            return stripped
    return None


def _is_element(content: bytes) -> bool:
    return content.startswith(b"{") and content.endswith(b",") and _is_object(content[:-1])


def _is_object(content: bytes) -> bool:
    try:
        return isinstance(json.loads(content), dict)
    except (ValueError, RecursionError):
        return False

"""Cursors: where a walk goes on. Signed, so that nobody reads on at a place or instant that was never given to them.

A cursor holds the walk's instant, the last row's key, and a digest of all that was asked for, the account and actor
that it was asked for included: it goes on with that walk alone.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from hmac import compare_digest, digest
from typing import Any

from application.errors import ErrorCode, UseCaseError
from application.usage.as_of import AsOf
from application.usage.query import Filters
from application.usage.rows import Key
from application.usage.scope import UsageScope

_SIGNATURE = 16
_VERSION = 1
LONGEST = 8_192
"""Characters of a cursor; longer ones are none."""


class BadCursor(UseCaseError):
    """A cursor that was not given for this question: it was cut, edited, is of another one, or its key has ended."""

    code = ErrorCode.INVALID

    def __init__(self) -> None:
        super().__init__("this cursor is not of this question: leave it out to begin at the newest row")


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a walk is. `after`: the key of the last row that was given, None before the first.

    `days`: for each table that is read, the first and the last day that it had rows of (days since 1970).
    """

    as_of: AsOf
    after: Key | None
    days: tuple[tuple[int, int], ...]


class CursorKeys:
    """Signs with the first key, and believes each of them: two at a time, for a rotation."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        """Raises ValueError where there is none."""
        if not keys:
            raise ValueError("cursors need a key")
        self._keys = tuple(keys)

    def written(self, cursor: Cursor, question: bytes) -> str:
        """The cursor as text, for the question with this digest."""
        content = json.dumps([_VERSION, str(cursor.as_of), cursor.after, cursor.days], separators=(",", ":")).encode()
        return urlsafe_b64encode(self._signature(self._keys[0], content, question) + content).decode().rstrip("=")

    def read(self, text: str, question: bytes) -> Cursor:
        """The cursor that was written for this question. Raises BadCursor for any other text."""
        if len(text) > LONGEST or not text.isascii():
            raise BadCursor
        try:
            data = urlsafe_b64decode(text + "=" * (-len(text) % 4))
        except ValueError as error:
            raise BadCursor from error
        signature, content = data[:_SIGNATURE], data[_SIGNATURE:]
        expected = [self._signature(key, content, question) for key in self._keys]
        is_canonical = urlsafe_b64encode(data).decode().rstrip("=") == text
        if not is_canonical or not any(compare_digest(signature, valid) for valid in expected):
            raise BadCursor
        _, as_of, after, days = json.loads(content)
        return Cursor(AsOf.parsed(as_of), tuple(after), tuple((first, last) for first, last in days))

    @staticmethod
    def _signature(key: bytes, content: bytes, question: bytes) -> bytes:
        return digest(key, b"creditmeter cursor\0" + question + content, "sha256")[:_SIGNATURE]


def question_digest(scope: UsageScope, filters: Filters, **more: Any) -> bytes:
    """32 bytes that stand for all that was asked for."""
    asked = {"scope": asdict(scope), "filters": asdict(filters), **more}
    return sha256(json.dumps(asked, sort_keys=True).encode()).digest()

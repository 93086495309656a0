"""Ids in paths: one segment each, split on the raw path before anything is decoded (SERVER.md 2)."""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from urllib.parse import quote, unquote_to_bytes

SELF = "self"
_MARK = "~"
_RESERVED = {SELF, ".", ".."}


class BadSegment(ValueError):
    """A segment that names no id."""


def segments_of(raw_path: bytes) -> tuple[str, ...]:
    """The segments of a path as they were sent, still encoded. Raises BadSegment for bytes beyond ASCII."""
    try:
        return tuple(raw_path.decode("ascii").split("/")[1:])
    except UnicodeDecodeError as error:
        raise BadSegment("a path is ASCII; encode other characters") from error


def id_of(segment: str) -> str:
    """The id that a segment stands for: percent-encoded, or `~` and base64url of any id. Raises BadSegment."""
    try:
        if segment.startswith(_MARK):
            coded = segment[len(_MARK) :]
            text = urlsafe_b64decode(coded + "=" * (-len(coded) % 4)).decode()
            if not text or (segment_of(text) != segment and _coded(text) != segment):
                raise BadSegment(f"{segment!r} is not written as ids are")
            return text
        text = unquote_to_bytes(segment).decode()
    except (binascii.Error, ValueError) as error:
        raise BadSegment(f"{segment[:80]!r} is no id") from error
    if not text or "/" in text or text in _RESERVED:
        raise BadSegment(f"{segment[:80]!r}: write such an id as ~ and its base64url")
    return text


def segment_of(text: str) -> str:
    """How an id is written in a path."""
    if text in _RESERVED or "/" in text or text.startswith(_MARK):
        return _coded(text)
    return quote(text, safe="")


def _coded(text: str) -> str:
    return _MARK + urlsafe_b64encode(text.encode()).decode().rstrip("=")

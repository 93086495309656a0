"""Puts the member `credit_usage` into a JSON answer, and leaves every other answer as it is (SERVER 6).

Nothing here parses an answer, unless it seems to have such a member already.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b

MEMBER = "credit_usage"
ASKING = "credit-usage"
ASKING_DETAIL = "credit-usage-detail"

Headers = Sequence[tuple[bytes, bytes]]

_WHITE = b" \t\r\n"
_NEVER = frozenset({204, 205, 206})
_FIRST_SUCCESS, _LAST_SUCCESS = 200, 299
_FORBIDDEN = frozenset(
    {b"content-digest", b"repr-digest", b"digest", b"content-md5", b"transfer-encoding", b"content-range"}
)
_ONCE = frozenset({b"content-type", b"content-length", b"etag"})
_USUAL_TYPES = frozenset({b"application/json", b"application/json; charset=utf-8"})
_UTF8 = frozenset({"utf-8", "utf8"})
# Every way in which JSON can spell the name: each character as it is, or as an escape.
_SPELLINGS = re.compile(
    b'"' + b"".join(b"(?:%c|\\\\u00(?i:%02x))" % (ord(char), ord(char)) for char in MEMBER) + b'"[ \t\r\n]*:'
)


def is_asked(headers: Mapping[str, str]) -> bool:
    """Whether a request asks for credit usage: the header's one value is `true`, in any case."""
    return headers.get(ASKING, "").strip().lower() == "true"


def is_detail_asked(headers: Mapping[str, str]) -> bool:
    return headers.get(ASKING_DETAIL, "").strip().lower() == "true"


def could_have_usage(method: str, status: int, headers: Headers, largest: int) -> bool:
    """Whether an answer with these headers may get the member; its body has the last word.

    Only 2xx with application/json in UTF-8 and a known length of at most `largest` bytes, or none given. Not for HEAD,
    204, 205, 206, encoded or digested bodies.
    """
    if method == "HEAD" or status in _NEVER or not _FIRST_SUCCESS <= status <= _LAST_SUCCESS:
        return False
    once: dict[bytes, bytes] = {}
    for name, value in headers:
        key = name.lower()
        if key in _FORBIDDEN or (key in once and key in _ONCE):
            return False
        if key == b"content-encoding" and value.strip().lower() != b"identity":
            return False
        once[key] = value
    length = _length(once.get(b"content-length"))
    return _is_json(once.get(b"content-type", b"")) and (length is None or 0 < length <= largest)


def content_length(headers: Headers) -> int | None:
    """The length that an answer states; None without; 0 for one that is no number."""
    for name, value in headers:
        if name.lower() == b"content-length":
            return _length(value)
    return None


def is_object(body: bytes) -> bool:
    """Whether a body may be a JSON object: its first byte and its last one that is not white space are braces."""
    return body[:1] == b"{" and body.rstrip(_WHITE)[-1:] == b"}"


def with_usage(body: bytes, usage: Mapping[str, object]) -> bytes | None:
    """The body with the member before its last brace; None where it is no object or has such a member already."""
    if not is_object(body) or has_member(body):
        return None
    end = len(body.rstrip(_WHITE)) - 1
    last = len(body[:end].rstrip(_WHITE))
    comma = b"" if last == 1 else b","
    member = json.dumps({MEMBER: usage}, separators=(",", ":")).encode()[1:-1]
    return body[:last] + comma + member + body[last:]


def has_member(body: bytes) -> bool:
    """Whether the outermost object has the member. Parses only a body in which its name stands somewhere."""
    if _SPELLINGS.search(body) is None:
        return False
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return True  # it can't be told: the answer stays as it is
    return MEMBER in document


def headers_with_usage(headers: Headers, body: bytes) -> list[tuple[bytes, bytes]]:
    """The headers of an answer whose body now is `body`: its length and tag, and that nobody may keep it."""
    changed = []
    for name, value in headers:
        key = name.lower()
        if key == b"content-length":
            changed.append((name, b"%d" % len(body)))
        elif key == b"etag":
            changed.append((name, b'"%s"' % blake2b(body, digest_size=16).hexdigest().encode()))
        elif key != b"cache-control":
            changed.append((name, value))
    changed.append((b"cache-control", b"private, no-store"))
    return with_vary(changed)


def with_vary(headers: Headers) -> list[tuple[bytes, bytes]]:
    """The headers with `Vary: credit-usage`, where they don't say so already."""
    present = [value for name, value in headers if name.lower() == b"vary"]
    if present:
        names = {part.strip().lower() for part in b",".join(present).decode("latin-1").split(",")}
        if "*" in names or ASKING in names:
            return list(headers)
    return [*headers, (b"vary", ASKING.encode())]


def decoded(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]


def _length(value: bytes | None) -> int | None:
    return None if value is None else int(value) if value.strip().isdigit() else 0


def _is_json(content_type: bytes) -> bool:
    if content_type in _USUAL_TYPES:
        return True
    kind, *parameters = content_type.decode("latin-1").split(";")
    charsets = [
        text.strip().strip('"').lower()
        for key, _, text in (parameter.partition("=") for parameter in parameters)
        if key.strip().lower() == "charset"
    ]
    return kind.strip().lower() == "application/json" and all(charset in _UTF8 for charset in charsets)

"""Cookies: the session's, and what somebody prefers to see.

The session's has the prefix `__Host-` and is Secure where clients come over TLS; browsers take neither over plain HTTP,
which is for this machine alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote, unquote

SESSION = "creditmeter-session"
_HOST_PREFIX = "__Host-"
TIME_ZONE, COLUMNS, NOTICE = "time_zone", "columns", "notice"
_YEAR_SECONDS = 365 * 86_400
_NOTICE_SECONDS = 60
_LONGEST = 4_000


def session_cookie_name(*, over_tls: bool) -> str:
    """What the session's cookie is called."""
    return f"{_HOST_PREFIX}{SESSION}" if over_tls else SESSION


def session_cookie(token: str, seconds: int, *, over_tls: bool) -> str:
    """The header that keeps a session in a browser for so long; 0 seconds ends it."""
    secure = "; Secure" if over_tls else ""
    name = session_cookie_name(over_tls=over_tls)
    return f"{name}={token}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}"


def preference_cookie(name: str, value: str) -> str:
    """The header that keeps a preference for a year."""
    return f"{name}={quote(value, safe='')}; Path=/; Max-Age={_YEAR_SECONDS}; HttpOnly; SameSite=Lax"


def notice_cookie(text: str | None, *, over_tls: bool) -> str:
    """The header that shows something once on the next page, such as a key that was just made; None: it was shown."""
    secure = "; Secure" if over_tls else ""
    value, seconds = ("", 0) if text is None else (quote(text, safe=""), _NOTICE_SECONDS)
    name = notice_cookie_name(over_tls=over_tls)
    return f"{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}"


def notice_cookie_name(*, over_tls: bool) -> str:
    """What the notice's cookie is called."""
    return f"{_HOST_PREFIX}{NOTICE}" if over_tls else NOTICE


def cookies_of(headers: Mapping[str, str]) -> dict[str, str]:
    """The request's cookies by name; the first of each."""
    cookies: dict[str, str] = {}
    for part in headers.get("cookie", "").split(";"):
        name, equals, value = part.strip().partition("=")
        if equals and len(value) <= _LONGEST:
            cookies.setdefault(name, unquote(value, errors="replace"))
    return cookies

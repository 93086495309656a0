"""The answers that a middleware gives instead of the application: problem documents (RFC 9457)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from creditmeter_client.results import Hold


@dataclass(frozen=True)
class ProblemAnswer:
    """A whole answer: status, headers, body."""

    status: int
    reason: str
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


def insufficient_credits(hold: Hold | None) -> ProblemAnswer:
    """402: the balance does not suffice. With a rejected hold, by how much."""
    amounts = {} if hold is None else {"required": dict(hold.required), "available": dict(hold.available)}
    return _problem(402, "Payment Required", "The account has too few credits available", {}, amounts)


def meter_away() -> ProblemAnswer:
    """503: credits could not be asked for, and the route is closed then."""
    title = "Credits can't be checked at the moment"
    return _problem(503, "Service Unavailable", title, {"retry-after": "5"}, {})


def too_many_requests(headers: Mapping[str, str], detail: str, members: Mapping[str, Any]) -> ProblemAnswer:
    """429: a rate limit of the price book."""
    return _problem(429, "Too Many Requests", "Too many requests", headers, {"detail": detail, **members})


def _problem(
    status: int, reason: str, title: str, headers: Mapping[str, str], members: Mapping[str, Any]
) -> ProblemAnswer:
    body = json.dumps({"type": "about:blank", "title": title, "status": status, **members}).encode()
    lines = {
        "content-type": "application/problem+json",
        "content-length": str(len(body)),
        "cache-control": "no-store",
        **headers,
    }
    return ProblemAnswer(status, reason, tuple((name.encode(), value.encode()) for name, value in lines.items()), body)

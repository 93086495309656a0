"""What a client prefers (RFC 7240): strict handling, and how long to wait for decisions."""

from __future__ import annotations

import re
from dataclasses import dataclass

from server.api.call import Call
from server.api.problems import Mistake, Problem, ProblemType

LONGEST_WAIT = 30.0
USUAL_WAIT = 10.0
_PREFERENCE = re.compile(r'\s*([A-Za-z-]+)\s*(?:=\s*"?([^",;]*)"?\s*)?(?:;[^,]*)?')


@dataclass(frozen=True, slots=True)
class Preferences:
    """`is_strict`: all or none is stored. `wait`: seconds for decisions; None: do not wait."""

    is_strict: bool = False
    wait: float | None = None


def preferences_of(call: Call) -> Preferences:
    """From the header Prefer and `?wait=decision`. Raises Problem for another `wait` parameter."""
    given: dict[str, str] = {}
    for part in call.headers.get("prefer", "").split(","):
        match = _PREFERENCE.fullmatch(part)
        if match is not None:
            given.setdefault(match[1].lower(), (match[2] or "").strip().lower())
    wait: float | None = None
    if (asked := call.parameter("wait")) is not None:
        if asked != "decision":
            raise Problem(
                ProblemType.INVALID_PARAMETERS, "wait is decision, or absent", [Mistake("wait", "should be decision")]
            )
        wait = USUAL_WAIT
    if (seconds := given.get("wait", "")).isascii() and seconds.isdigit():
        wait = min(float(seconds[:6]), LONGEST_WAIT)
    return Preferences(given.get("handling") == "strict", wait)

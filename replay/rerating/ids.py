"""The ids of corrections, by which a later re-rating recognises in the log what was given back already.

They follow from the re-rating (its book and range) and from what they correct, so that corrections sent twice are the
same commands: the second ones are repeats. The number at the end counts the corrections that the log holds of the same
thing, so that what comes up later (a late event) can be corrected too.
"""

from __future__ import annotations

import hashlib
import re
from typing import NamedTuple

from metering.windows import DAY_MS

PREFIX = "rerate:"
_GRANT = re.compile(r"rerate:([0-9a-f]{16}):(\d{1,18})-(\d{1,18}):([0-9a-f]{16}):(\d{1,9})", re.ASCII)
_REFUND = re.compile(r"rerate:([0-9a-f]{16}):([0-9a-f]{24}):(\d{1,9})", re.ASCII)


class Adjustment(NamedTuple):
    """What an adjustment grant stands for: the charge (as `charge_key` has it) of the events from start to before end.

    `start` and `end` (ms) lie in one UTC day: the part of it that the re-rating was about.
    """

    plan: str
    start: int
    end: int
    charge_key: str

    @property
    def day(self) -> int:
        """The beginning of its UTC day (ms)."""
        return day_of(self.start)

    def grant_id(self, number: int) -> str:
        """At most 85 characters."""
        return f"{PREFIX}{self.plan}:{self.start}-{self.end}:{self.charge_key}:{number}"


def plan_id(book_id: str, start: int, end: int) -> str:
    """Names a re-rating: this book over events from `start` to before `end` (ms)."""
    return _digest(book_id, str(start), str(end))[:16]


def charge_key(charge: str, credit_type: str) -> str:
    """A charge as grant ids name it: its own name may be longer than an id."""
    return _digest(charge, credit_type)[:16]


def refund_id(plan: str, event_id: str, occurred_at: int, charge: str, number: int) -> str:
    """Names the correction of one line; an event id that was used again much later is another event."""
    return f"{PREFIX}{plan}:{_digest(event_id, str(occurred_at), charge)[:24]}:{number}"


def parse_grant_id(grant_id: str) -> Adjustment | None:
    """What an adjustment grant stands for; None for any other grant."""
    match = _GRANT.fullmatch(grant_id)
    if match is None:
        return None
    plan, start, end, key, _number = match.groups()
    return Adjustment(plan, int(start), int(end), key)


def is_correction(own_refund_id: str) -> bool:
    """Whether a refund was asked for by a re-rating."""
    return _REFUND.fullmatch(own_refund_id) is not None


def day_of(at: int) -> int:
    """The beginning of the UTC day (ms)."""
    return at // DAY_MS * DAY_MS


def _digest(*parts: str) -> str:
    text = "".join(f"{len(part)}:{part}" for part in parts)
    return hashlib.sha256(text.encode()).hexdigest()

"""What the URL of the History page chooses: a time in the reader's time zone, filters, and refunds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from application.usage.query import VALUES, Filters
from application.usage.scope import check_actors
from server.api.problems import Mistake, Problem, ProblemType
from server.pages import times
from server.pages.page_call import PageCall

PERIODS = {"1d": "Today", "7d": "7 days", "30d": "30 days", "90d": "90 days", "12m": "12 months", "all": "All time"}
"""What can be chosen with one click."""
DEFAULT_PERIOD = "30d"
CUSTOM = "custom"
_DAYS = {"1d": 1, "7d": 7, "30d": 30, "90d": 90, "12m": 365}


@dataclass(frozen=True, slots=True)
class Choice:
    """`filters`: their time is open to the future where the reader did not end it. `period`: of PERIODS, or custom.

    `from_text` and `to_text`: the time as it was given; `to_text` as a date means the whole of that day.
    """

    filters: Filters
    refunds: bool
    period: str
    from_text: str
    to_text: str

    def parameters(self) -> dict[str, str | Sequence[str] | None]:
        """The choice as a URL has it."""
        time = {"from": self.from_text, "to": self.to_text}
        if self.period != CUSTOM:
            time = {"period": "" if self.period == DEFAULT_PERIOD else self.period}
        return {
            **time, **{name: getattr(self.filters, name) for name in VALUES}, "text": self.filters.text,
            "refunds": "true" if self.refunds else None,
        }  # fmt: skip

    def chips(self) -> list[tuple[str, str]]:
        """Every filter that is in force, but for the time: name and value."""
        chips = [(name, value) for name in VALUES for value in getattr(self.filters, name)]
        return chips + ([("text", self.filters.text)] if self.filters.text else [])

    def without(self, name: str, value: str) -> Choice:
        """The choice without one of its filters."""
        if name == "text":
            return replace(self, filters=replace(self.filters, text=None))
        rest: Any = tuple(other for other in getattr(self.filters, name) if other != value)
        return replace(self, filters=replace(self.filters, **{name: rest}))


def choice_of(call: PageCall, now: int) -> Choice:
    """Reads the URL; `now` in ms. Raises Problem with every mistake, NotAllowed for another actor's usage."""
    mistakes: list[Mistake] = []
    from_text, to_text, period = call.first("from"), call.first("to"), call.first("period") or DEFAULT_PERIOD
    if from_text or to_text:
        period = CUSTOM
        from_ms, to_ms = _time(call, "from", from_text, mistakes), _time(call, "to", to_text, mistakes)
    elif period in PERIODS:
        from_ms, to_ms = _period_start(call, period, now), None
    else:
        mistakes.append(Mistake("period", f"should be one of {', '.join(PERIODS)}"))
        from_ms = to_ms = None
    values = {name: tuple(value for value in call.query.get(name, ()) if value) for name in VALUES}
    filters = Filters(from_ms, to_ms, **values, text=call.first("text") or None)
    if mistakes:
        raise Problem(ProblemType.INVALID_PARAMETERS, "what was chosen cannot be read", mistakes)
    check_actors(call.who, filters.actor)
    return Choice(filters, call.first("refunds") == "true", period, from_text, to_text)


def charted(filters: Filters, first_ms: int | None, now: int, call: PageCall) -> Filters | None:
    """The filters with both ends, for a chart; `first_ms`: when usage began. None where there is nothing to draw."""
    from_ms = filters.from_ms
    if from_ms is None or (first_ms is not None and from_ms < first_ms):
        from_ms = from_ms if first_ms is None else times.day_start(first_ms, call.zone)
    to_ms = times.day_start(now, call.zone, 1) if filters.to_ms is None else filters.to_ms
    if from_ms is None or from_ms >= to_ms:
        return None
    return replace(filters, from_ms=from_ms, to_ms=to_ms)


def _period_start(call: PageCall, period: str, now: int) -> int | None:
    """Days begin at the reader's midnight; today is the last of them."""
    return times.day_start(now, call.zone, 1 - _DAYS[period]) if period in _DAYS else None


def _time(call: PageCall, name: str, text: str, mistakes: list[Mistake]) -> int | None:
    if not text:
        return None
    try:
        at = times.parsed(text, call.zone)
    except (ValueError, OverflowError):
        mistakes.append(Mistake(name, "should be a date, as 2026-11-26, or a date and time, as 2026-11-26T14:00"))
        return None
    return times.day_start(at, call.zone, 1) if name == "to" and len(text) == len("2026-11-26") else at

"""What is asked for: a time, filters, and their limits. Wrong ones are reported all at once."""

from __future__ import annotations

from dataclasses import dataclass, fields

from application.errors import ErrorCode, UseCaseError
from metering.records import LAST_INSTANT, YEAR_2000

MOST_VALUES = 100
"""Values that one filter may have."""
LONGEST = 1_024
"""Characters of one value."""
REFUNDED = "refunded"
"""The decision of a refund's row: no line has it."""


class BadQuery(UseCaseError):
    """Something asked for is wrong. `mistakes`: (field, what is wrong), every one of them."""

    code = ErrorCode.INVALID

    def __init__(self, mistakes: list[tuple[str, str]]) -> None:
        super().__init__("\n".join(f"{field}: {reason}" for field, reason in mistakes))
        self.mistakes = tuple(mistakes)


@dataclass(frozen=True, slots=True)
class Filters:
    """Which lines count: from ≤ t < to (ms, UTC; None: no bound), and for each other filter any of its values.

    `subject` is compared with user_id, ip and domain as they were sent; `text` is looked for anywhere in the line, in
    either case.
    """

    from_ms: int | None = None
    to_ms: int | None = None
    actor: tuple[str, ...] = ()
    feature: tuple[str, ...] = ()
    action: tuple[str, ...] = ()
    charge: tuple[str, ...] = ()
    endpoint: tuple[str, ...] = ()
    decision: tuple[str, ...] = ()
    credit_type: tuple[str, ...] = ()
    request_id: tuple[str, ...] = ()
    event_id: tuple[str, ...] = ()
    subject: tuple[str, ...] = ()
    text: str | None = None

    def check(self) -> None:
        """Raises BadQuery."""
        mistakes = [*_time_mistakes(self.from_ms, self.to_ms)]
        for name in VALUES:
            values = getattr(self, name)
            if len(values) > MOST_VALUES:
                mistakes.append((name, f"at most {MOST_VALUES} values"))
            mistakes += [(name, reason) for value in values for reason in _text_mistakes(value)]
        mistakes += [("text", reason) for reason in _text_mistakes(self.text or "")]
        if mistakes:
            raise BadQuery(mistakes)


VALUES = tuple(field.name for field in fields(Filters) if field.name not in {"from_ms", "to_ms", "text"})
"""The filters that take values."""
LINE_FILTERS = ("feature", "action", "charge", "decision", "credit_type")
"""Those that may leave out some lines of an event and keep others."""


def _time_mistakes(from_ms: int | None, to_ms: int | None) -> list[tuple[str, str]]:
    mistakes = [
        (name, "a time between the years 2000 and 9999")
        for name, value in (("from", from_ms), ("to", to_ms))
        if value is not None and not YEAR_2000 <= value <= LAST_INSTANT
    ]
    if not mistakes and from_ms is not None and to_ms is not None and from_ms >= to_ms:
        mistakes.append(("to", "must be after from"))
    return mistakes


def _text_mistakes(value: str) -> list[str]:
    if len(value) > LONGEST:
        return [f"at most {LONGEST} characters"]
    if any("\ud800" <= character <= "\udfff" for character in value):
        return ["half a character (a lone surrogate) is no text"]
    return []

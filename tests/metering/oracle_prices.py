"""The oracle's own reading of a price book: the plain mapping, looked through from the top for every event."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any, NamedTuple

from tests.metering.oracle_fields import canonical_domain, canonical_ip

DAY = 86_400_000
UNITS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": DAY}


def duration(text: str) -> int:
    number, unit = re.fullmatch(r"(\d+)([smhd])", text).groups()
    return int(number) * UNITS[unit]


def milliseconds(start: str | int) -> int:
    """A time as a book writes it: RFC 3339, or milliseconds already."""
    if isinstance(start, int):
        return start
    since = datetime.fromisoformat(start) - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000 + since.microseconds // 1_000


class Within(NamedTuple):
    """`unique.within`, as it is written: `24h`, `calendar_day`, `ever`."""

    text: str

    def holds(self, owner_at: int, at: int) -> bool:
        """Is an event at `at` inside the window that an owner at `owner_at` opens, to either side?"""
        if self.text == "ever":
            return True
        if self.text == "calendar_day":
            return owner_at // DAY == at // DAY
        return abs(at - owner_at) < duration(self.text)

    def ends_at(self, owner_at: int) -> int | None:
        if self.text == "ever":
            return None
        if self.text == "calendar_day":
            return (owner_at // DAY + 1) * DAY
        return owner_at + duration(self.text)

    def outlives(self, owner_at: int, horizon: int) -> bool:
        """Is a claim made with this window still remembered when nothing before `horizon` is accepted any more?"""
        if self.text == "ever":
            return True
        length = DAY if self.text == "calendar_day" else duration(self.text)
        return horizon - owner_at <= length


def accept_window(book: dict[str, Any] | None) -> int:
    return duration((book or {}).get("limits", {}).get("accept_window", "35d"))


def future_skew(book: dict[str, Any] | None) -> int:
    return duration((book or {}).get("limits", {}).get("future_skew", "5m"))


def version_at(book: dict[str, Any], at: int) -> dict[str, Any] | None:
    """The last version with effective_from <= at."""
    begun = [version for version in book["versions"] if milliseconds(version["effective_from"]) <= at]
    return max(begun, key=lambda version: milliseconds(version["effective_from"]), default=None)


def plan_that_counts(settings: dict[str, Any], occurred_at: int) -> dict[str, Any] | None:
    plan = settings["plan"]
    if plan is None or occurred_at < plan["started_at"]:
        return None
    if plan.get("ends_at") is not None and occurred_at >= plan["ends_at"]:
        return None
    return plan


def plan_name(settings: dict[str, Any], event: dict[str, Any]) -> str | None:
    counting = plan_that_counts(settings, event["occurred_at"])
    return event["plan"] or (counting["name"] if counting else None)


def version_that_applies(
    book: dict[str, Any] | None, settings: dict[str, Any], event: dict[str, Any]
) -> dict[str, Any] | None:
    if book is None or version_at(book, event["occurred_at"]) is None:
        return None
    counting = plan_that_counts(settings, event["occurred_at"])
    locked = book.get("price_lock", "none") == "plan_period" and counting is not None
    if not locked or plan_name(settings, event) != counting["name"]:
        return version_at(book, event["occurred_at"])
    begun = [milliseconds(version["effective_from"]) for version in book["versions"] if version.get("overrides_lock")]
    moments = [counting["started_at"], *(start for start in begun if start <= event["occurred_at"])]
    first = min(book["versions"], key=lambda version: milliseconds(version["effective_from"]))
    return version_at(book, max(moments)) or first


def value_of(event: dict[str, Any], plan: str | None, name: str) -> str | None:
    if name == "plan":
        return plan
    if name.startswith("attributes."):
        return event["attributes"].get(name.removeprefix("attributes."))
    return event[name]


def matches(charge: dict[str, Any], event: dict[str, Any], plan: str | None) -> bool:
    for name, wanted in (charge.get("when") or {}).items():
        value = value_of(event, plan, name)
        # reading: what is absent matches nothing, not even `*`.
        if value is None:
            return False
        patterns = wanted if isinstance(wanted, list) else [wanted]
        if not any(value.startswith(p[:-1]) if p.endswith("*") else value == p for p in patterns):
            return False
    return True


def unit_credits(charge: dict[str, Any], plan: str | None) -> int:
    plans = charge.get("plans") or {}
    return plans[plan] if plan in plans else charge["credits"]


def subject(by: list[str], event: dict[str, Any]) -> list[str] | None:
    """The canonical values of the fields in `by`, in its order; None where one of them is missing."""
    values = []
    for name in by:
        value = value_of(event, event["plan"], name)
        if not value:
            return None
        if name == "ip":
            value = canonical_ip(value)
        if name == "domain":
            value = canonical_domain(value)
        values.append(value)
    return values

"""What an account's lines have that can be filtered by: its features, actions and the like, and no others."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from application.usage.as_of import AsOf
from application.usage.conditions import Bound, line_conditions
from application.usage.history import UsageReader
from application.usage.newest import Days, Table, days_condition, days_of
from application.usage.query import Filters
from application.usage.scope import UsageScope
from application.usage.store import TooMuch
from streams import clock

MOST = 500
"""Of each field; what is beyond is found by typing it."""
KEPT_SECONDS = 60.0
MOST_KEPT = 256
_FIELDS = ("feature", "action", "endpoint", "decision", "credit_type", "actor")


@dataclass(frozen=True, slots=True)
class UsageChoices:
    """The values that there are, sorted. `actor` is what events name; a member limited to one sees only that."""

    feature: tuple[str, ...] = ()
    action: tuple[str, ...] = ()
    endpoint: tuple[str, ...] = ()
    decision: tuple[str, ...] = ()
    credit_type: tuple[str, ...] = ()
    actor: tuple[str, ...] = ()


def usage_choices(reader: UsageReader, scope: UsageScope) -> UsageChoices:
    """What the lines in scope have, at the present instant. Raises TooMuch, Failed."""
    as_of = reader.positions.now(scope)
    try:
        values = _values(reader, scope, as_of, None)
    except TooMuch:
        values = _values_of_days(reader, scope, as_of, days_of(reader.store, Table.LINES, scope))
    return UsageChoices(*(tuple(sorted(some)[:MOST]) for some in values))


class KnownChoices:
    """Keeps what was found for a while, so that a page that refreshes does not look through a whole history each time.

    `now` in seconds; `most`: of how many scopes. Any thread.
    """

    def __init__(self, now: Callable[[], float] = clock.monotonic, most: int = MOST_KEPT) -> None:
        self._now = now
        self._most = most
        self._lock = threading.Lock()
        self._kept: OrderedDict[UsageScope, tuple[float, UsageChoices]] = OrderedDict()

    def of(self, reader: UsageReader, scope: UsageScope) -> UsageChoices:
        """What the lines in scope have, or had up to a minute ago. Raises TooMuch, Failed."""
        now = self._now()
        with self._lock:
            kept = self._kept.get(scope)
        if kept is not None and now - kept[0] < KEPT_SECONDS:
            return kept[1]
        choices = usage_choices(reader, scope)
        if not choices.endpoint:
            return choices  # without a line: its first one is not to wait for a minute
        with self._lock:
            self._kept[scope] = now, choices
            self._kept.move_to_end(scope)
            if len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return choices


def _values_of_days(reader: UsageReader, scope: UsageScope, as_of: AsOf, days: Days) -> list[set[str]]:
    """What is too much for one statement is looked through in halves."""
    first, last = days
    try:
        return _values(reader, scope, as_of, days)
    except TooMuch:
        if first >= last:
            raise
    middle = (first + last) // 2
    earlier, later = (_values_of_days(reader, scope, as_of, half) for half in ((first, middle), (middle + 1, last)))
    return [some | others for some, others in zip(earlier, later, strict=True)]


def _values(reader: UsageReader, scope: UsageScope, as_of: AsOf, days: Days | None) -> list[set[str]]:
    """Of each field; `days`: only of these, both included."""
    bound = Bound()
    where = line_conditions(bound, scope, Filters(), as_of, None)
    if days is not None:
        where = f"{where} AND {days_condition(bound, *days)}"
    groups = [
        f"groupUniqArrayIf({MOST})(assumeNotNull({name}), isNotNull({name})) AS {name}_values" for name in _FIELDS
    ]
    # A row that is there twice is the same twice: no FINAL is needed.
    rows = reader.store.rows(f"SELECT {', '.join(groups)} FROM billed_rows WHERE {where}", bound.parameters)
    return [set(rows[0][f"{name}_values"]) for name in _FIELDS]

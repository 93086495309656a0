"""What an account's lines have that can be filtered by: its features, actions and the like, and no others."""

from __future__ import annotations

from dataclasses import dataclass

from application.usage.conditions import Bound, line_conditions
from application.usage.history import UsageReader
from application.usage.query import Filters
from application.usage.scope import UsageScope

MOST = 500
"""Of each field; what is beyond is found by typing it."""
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
    bound = Bound()
    where = line_conditions(bound, scope, Filters(), reader.positions.now(scope), None)
    groups = [
        f"groupUniqArrayIf({MOST})(assumeNotNull({name}), isNotNull({name})) AS {name}_values" for name in _FIELDS
    ]
    # A row that is there twice is the same twice: no FINAL is needed.
    rows = reader.store.rows(f"SELECT {', '.join(groups)} FROM billed_rows WHERE {where}", bound.parameters)
    return UsageChoices(*(tuple(sorted(rows[0][f"{name}_values"])) for name in _FIELDS))

"""The views that people read: what the migrations define, beside what the store has under their names."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sinks.migrate import FOLDER, migrations
from sinks.statements import spelling_query

Rows = Callable[[str], Sequence[tuple[Any, ...]]]
"""Runs one reading statement and returns its rows."""

_CREATE = re.compile(r"CREATE\s+(?:OR\s+REPLACE\s+)?VIEW\s+(?:IF\s+NOT\s+EXISTS\s+)?(\w+)\s+AS\s+(.*)", re.DOTALL)
_DROP = re.compile(r"DROP\s+VIEW\s+(?:IF\s+EXISTS\s+)?(\w+)")
_STORED = """
SELECT name, engine, as_select FROM system.tables WHERE database = currentDatabase() AND name IN ({names})"""


@dataclass(frozen=True, slots=True)
class ViewDefinition:
    """One view's statement by the migrations and in the store, both as the store itself spells them.

    ``actual`` is None where the store has no such view; ``kind`` then says what has its name instead, None for nothing.
    """

    name: str
    expected: str
    actual: str | None
    kind: str | None = None

    @property
    def is_right(self) -> bool:
        return self.actual == self.expected


def defined_views(folder: Path = FOLDER) -> dict[str, str]:
    """The SELECT of every view that is left after all migrations, by name."""
    selects: dict[str, str] = {}
    for step in migrations(folder):
        for statement in step.statements:
            if dropped := _DROP.match(statement):
                selects.pop(dropped[1], None)
            elif (view := _CREATE.match(statement)) and (
                # IF NOT EXISTS leaves one that there is already; a migration that changes it drops or replaces it.
                view[1] not in selects or "REPLACE" in statement[: view.start(1)]
            ):
                selects[view[1]] = view[2].strip()
    return selects


def view_definitions(rows: Rows, folder: Path = FOLDER) -> list[ViewDefinition]:
    """Every view of the migrations, in their order, with what the store has. Only reading statements are run."""
    views = defined_views(folder)
    ((database,),) = rows("SELECT currentDatabase()")
    stored = {
        name: (engine, select)
        for name, engine, select in rows(_STORED.format(names=", ".join(f"'{n}'" for n in views)))
    }
    definitions = []
    for name, select in views.items():
        engine, actual = stored.get(name, (None, ""))
        is_view = engine == "View"
        spelled = _spelled(rows, _without_database(actual, database)) if is_view else None
        definitions.append(ViewDefinition(name, _spelled(rows, select), spelled, None if is_view else engine))
    return definitions


def _spelled(rows: Rows, select: str) -> str:
    ((text,),) = rows(spelling_query(select))
    return str(text)


def _without_database(select: str, database: str) -> str:
    """The store names every table with its database. Another database's name stays, and makes a difference."""
    return re.sub(rf"\b(FROM|JOIN|IN) {re.escape(database)}\.", r"\1 ", select)

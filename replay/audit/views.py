"""Compares the views of ClickHouse with the migrations: their definitions, and the rows that people read through them.

The base tables have been compared with the log row by row; a view's rows are right where they are those that the
migrations' own statement selects from these tables.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from replay.audit.findings import Difference, Finding, Note
from replay.audit.rows import KEYS, RowStore
from replay.audit.scope import Scope
from sinks.rows import SHAPES
from sinks.views import ViewDefinition, view_definitions
from streams.log.topics import TopicNames
from streams.rating.outputs import BATCH_NAME, topics_by_kind

_ROW_VIEW = re.compile(r"FROM (\w+) FINAL$")
"""The end of the statement of a view that shows each row of a table, one for one."""
_WIDER_VIEW = {"refund_rows": "refunds"}
"""By table, the view that shows each of its rows, one for one, with columns of other tables beside them."""
_CLOCK_COLUMNS = frozenset({"is_open"})
"""Columns that change by the clock alone."""
_TRIES = 5
"""A summary is read while the loader inserts: it is different when it is different so many times."""
_SHOWN = 1_000


def compare_views(store: RowStore, names: TopicNames, scopes: Iterable[Scope], note: Note) -> None:
    """Notes each view that is not the migrations', and each row of `scopes` that a view hides, adds or changes."""
    definitions = {definition.name: definition for definition in view_definitions(store.rows)}
    for definition in definitions.values():
        if not definition.is_right:
            note(_wrong_definition(definition))
    readable = {name: definition for name, definition in definitions.items() if definition.actual is not None}
    topics = {BATCH_NAME[kind]: topic for kind, topic in topics_by_kind(names).items()}
    all_scopes = list(scopes)
    row_views = _WIDER_VIEW | {
        match[1]: name for name, definition in definitions.items() if (match := _ROW_VIEW.search(definition.expected))
    }
    for batch, shape in SHAPES.items():
        view = readable.get(row_views.get(shape.table, ""))
        if view is None:
            continue
        columns = _columns(store, view)
        if columns:
            stops = {scope.partition: scope.horizons[topics[batch]] for scope in all_scopes}
            _compare_rows(store, view, shape.table, columns, stops, note)
    for name, view in readable.items():
        if name not in row_views.values() and view.is_right:
            _compare_summary(store, view, note)


def _wrong_definition(view: ViewDefinition) -> Difference:
    place = f"view {view.name}"
    if view.actual is not None:
        detail = f"its statement is {_around(view.actual, view.expected)}; drop it and make it as the migrations do"
        return Difference(Finding.DIFFERENT, place, None, detail)
    if view.kind is not None:
        detail = f"a {view.kind} table has its name; drop that and make the view as the migrations do"
        return Difference(Finding.DIFFERENT, place, None, detail)
    return Difference(Finding.MISSING, place, None, "make it as the migrations do")


def _around(actual: str, expected: str, context: int = 60) -> str:
    """Where the two statements differ first, with a few characters before and after."""
    first = next((at for at, (a, b) in enumerate(zip(actual, expected, strict=False)) if a != b), None)
    if first is None:
        first = min(len(actual), len(expected))
    start = max(0, first - context)
    return f"{_cut(actual, start, context)!r}, should be {_cut(expected, start, context)!r}"


def _cut(text: str, start: int, context: int) -> str:
    stop = start + 2 * context
    return f"{'…' if start else ''}{text[start:stop]}{'…' if stop < len(text) else ''}"


def _columns(store: RowStore, view: ViewDefinition) -> list[str]:
    """The columns to compare; none where the view has others than its definition (which has been noted)."""
    wanted = [row[0] for row in store.rows(f"DESCRIBE TABLE ({view.expected})")]
    have = [row[0] for row in store.rows(f"DESCRIBE TABLE {view.name}")]
    return [name for name in wanted if name not in _CLOCK_COLUMNS] if wanted == have else []


def _hash(columns: Iterable[str]) -> str:
    """A hash of a row's values; the types count, so that a view that casts a column is different."""
    listed = ", ".join(f"`{name}`" for name in columns)
    return f"sipHash64(tuple({listed}), toTypeName(tuple({listed})))"


def _compare_rows(
    store: RowStore, view: ViewDefinition, table: str, columns: list[str], stops: Mapping[int, int], note: Note
) -> None:
    """Compares the rows of each input partition before its offset in `stops`.

    Month by month, as the tables are kept, so that no statement grows with the age of the pipeline.
    """
    ends = ", ".join(str(stops.get(partition, 0)) for partition in range(max(stops, default=-1) + 1))
    if not ends:
        return
    judged = f"source_offset >= 0 AND source_partition >= 0 AND source_offset < [{ends}][source_partition + 1]"
    months: set[int] = set()
    for source in (table, view.name):
        months.update(row[0] for row in store.rows(f"SELECT DISTINCT toYYYYMM(day) AS c0 FROM {source}"))  # noqa: S608 -- names of our own
    for month in sorted(months):
        where = f"toYYYYMM(day) = {month} AND {judged}"
        expected, actual = (_sums(store, source, columns, where) for source in (f"({view.expected})", view.name))
        for partition in sorted(stops):
            if expected.get(partition) != actual.get(partition):
                _name_rows(store, view, table, columns, partition, where, note)


def _sums(store: RowStore, source: str, columns: list[str], where: str) -> dict[int, tuple[object, ...]]:
    """By input partition: how many rows, and the sum of their hashes."""
    sums = f"source_partition AS c0, count() AS c1, toString(sum({_hash(columns)})) AS c2"
    return {row[0]: row[1:] for row in store.rows(f"SELECT {sums} FROM {source} WHERE {where} GROUP BY c0")}  # noqa: S608


def _name_rows(
    store: RowStore, view: ViewDefinition, table: str, columns: list[str], partition: int, month: str, note: Note
) -> None:
    """Notes each row that differs, of one partition in one month."""
    where = f"{month} AND source_partition = {partition}"
    expected, actual = f"({view.expected})", view.name
    keys = [name for name in KEYS[table] if name in columns]
    forms = ["source_offset", "position", *(f"toString(`{name}`)" for name in keys)]
    listed = ", ".join(f"{form} AS c{number}" for number, form in enumerate(forms))
    rows: dict[Finding, Mapping[tuple[int, int], tuple[object, ...]]] = {}
    for finding, one, other in ((Finding.MISSING, expected, actual), (Finding.UNEXPECTED, actual, expected)):
        sql = (
            f"SELECT * EXCEPT h FROM (SELECT {listed}, {_hash(columns)} AS h FROM {one} WHERE {where} "  # noqa: S608
            f"EXCEPT SELECT {listed}, {_hash(columns)} AS h FROM {other} WHERE {where}) ORDER BY c0, c1 LIMIT {_SHOWN}"
        )
        rows[finding] = {row[:2]: row[2:] for row in store.rows(sql)}
    missing, unexpected = rows[Finding.MISSING], rows[Finding.UNEXPECTED]
    for place in sorted({*missing, *unexpected}):
        finding = Finding.DIFFERENT if place in missing and place in unexpected else (
            Finding.MISSING if place in missing else Finding.UNEXPECTED
        )  # fmt: skip
        values = zip(keys, missing.get(place) or unexpected[place], strict=True)
        named = " ".join(f"{name}={value}" for name, value in values if value is not None)
        detail = _DETAILS[finding].format(view=view.name, table=table)
        note(Difference(finding, f"{view.name} {named}", f"{partition}@{place[0]}", detail))


_DETAILS = {
    Finding.MISSING: "{table} has this row, and whoever reads the view {view} does not see it",
    Finding.UNEXPECTED: "the view {view} shows a row that is not in {table}",
    Finding.DIFFERENT: "the view {view} shows other values than {table} holds",
}


def _compare_summary(store: RowStore, view: ViewDefinition, note: Note) -> None:
    """A view whose rows are sums: the same as what its definition gives now."""
    columns = _columns(store, view)
    sums = f"(count(), sum({_hash(columns)}))"
    sql = f"SELECT (SELECT {sums} FROM ({view.expected})) = (SELECT {sums} FROM {view.name}) AS same"  # noqa: S608
    if columns and any(store.rows(sql) == [(1,)] for _ in range(_TRIES)):
        return
    detail = "it shows other rows than its own statement gives"
    note(Difference(Finding.DIFFERENT, f"view {view.name}", None, detail))

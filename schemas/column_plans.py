"""From a writer's schema of output batches to the plan by which `columns` reads them."""

from __future__ import annotations

from typing import Any, NamedTuple

from schemas import columns as kinds
from schemas.catalog import BATCHES, Schema, current, expanded, short_name
from schemas.columns import BatchColumns, ColumnReader, Step
from schemas.source import kind_of
from schemas.writing import FEW_VALUES

_KINDS = {
    "string": kinds.TEXT, "bytes": kinds.TEXT, "long": kinds.NUMBER, "int": kinds.NUMBER, "boolean": kinds.BOOLEAN,
    "enum": kinds.ENUM,
}  # fmt: skip
_MAPS = {"long": kinds.MAP_OF_NUMBERS, "string": kinds.MAP_OF_TEXTS}
_IN_A_ROW = (kinds.TEXT, kinds.NUMBER)
"""The kinds of which several fields make one step."""
_FEW_VALUES = FEW_VALUES | {"account_id"}
_HEAD = ["int", "long", "int", "int"]


class _Unplanned(Exception):
    """The schema has something that no plan reads."""


class _Field(NamedTuple):
    """One field of a record, or an array of records: ``fields`` are theirs. ``path`` None: nobody asks for it."""

    kind: int
    path: str | None
    is_text: bool = False
    is_optional: bool = False
    largest: int = kinds.LARGEST_LONG
    symbols: tuple[bytes, ...] = ()
    fields: tuple[_Field, ...] = ()


class ColumnPlan:
    """How batches of one writer's schema are read into the columns of the current version."""

    def __init__(self, name: str, fields: list[_Field], filled: dict[str, Any], empty: list[str]) -> None:
        """``filled``: by path, what stands in fields that the writer lacks. ``empty``: the parts of such maps."""
        self.name = name
        self._fields = fields
        self._filled = filled
        self._empty = empty

    def reader(self, columns: BatchColumns) -> ColumnReader:
        """Reads into these columns, beside readers of other versions."""
        binding = _Binding(columns)
        steps = binding.steps(self._fields)
        for path in self._empty:
            columns.column(path)
        filled = [(columns.column(path), value) for path, value in self._filled.items()]
        return ColumnReader(columns, steps, binding.texts, filled, binding.scratch)


class Gathered:
    """Output batches read into columns, by the name of their record."""

    def __init__(self) -> None:
        self.columns: dict[str, BatchColumns] = {}
        self.others: dict[str, list[dict[str, Any]]] = {}
        """Batches of schemas that no plan reads: decoded, in the current version's fields."""
        self._readers: dict[int, ColumnReader] = {}

    def reader(self, plan: ColumnPlan) -> ColumnReader:
        """What reads batches of this plan into these columns."""
        reader = self._readers.get(id(plan))
        if reader is None:
            columns = self.columns.setdefault(plan.name, BatchColumns(plan.name))
            reader = self._readers[id(plan)] = plan.reader(columns)
        return reader


def column_plan(schema: Schema) -> ColumnPlan | None:
    """The plan for batches written with ``schema``, which is compatible with the current one.

    None for what is no output batch, and for a schema with types of which no version of ours has any: the codec's
    records are the way then.
    """
    whole = expanded(schema)
    name = short_name(whole)
    if name not in BATCHES:
        return None
    head, arrays = whole["fields"][: len(_HEAD)], whole["fields"][len(_HEAD) :]
    wanted = {field["name"]: field for field in expanded(current(name))["fields"]}
    if [kind_of(field["type"]) for field in head] != _HEAD or [field["name"] for field in head] != list(wanted)[:4]:
        return None
    try:
        filled: dict[str, Any] = {}
        empty: list[str] = []
        fields = []
        for field in arrays:
            if kind_of(field["type"]) != "array":
                return None
            is_ours = field["name"] == BATCHES[name]
            reader = wanted[field["name"]]["type"]["items"] if is_ours else None
            inner = _record(field["type"]["items"], reader, "")
            if is_ours:
                filled, empty = _defaults(field["type"]["items"], reader)
            fields.append(_Field(kinds.RECORDS, "" if is_ours else None, fields=inner))
    except _Unplanned:
        return None
    return ColumnPlan(name, fields, filled, empty)


def _record(writer: Any, reader: Any, path: str) -> tuple[_Field, ...]:
    """The fields of a record. ``reader``: the record as the current version has it; None: nobody asks for it."""
    if kind_of(writer) != "record":
        raise _Unplanned
    wanted = {} if reader is None else {field["name"]: field["type"] for field in reader["fields"]}
    fields = []
    for field in writer["fields"]:
        name = field["name"]
        is_asked = name in wanted
        fields.append(_field(field["type"], wanted.get(name), f"{path}{name}" if is_asked else None))
    return tuple(fields)


def _field(writer: Any, reader: Any, path: str | None) -> _Field:
    kind = kind_of(writer)
    if kind == "union":
        return _union(writer, reader, path)
    if path is not None and kind_of(reader) == "union":
        reader = next((branch for branch in reader if kind_of(branch) == kind), None)
        if reader is None:
            raise _Unplanned
    if kind == "map":
        values = kind_of(writer["values"])
        if values not in _MAPS or (path is not None and kind_of(reader["values"]) != values):
            raise _Unplanned
        return _Field(_MAPS[values], path)
    if kind == "array":
        if path is not None and kind_of(reader["items"]) != "record":
            raise _Unplanned
        inner = _record(writer["items"], reader["items"] if path is not None else None, f"{path}.")
        if path is not None and [field["name"] for field in reader["items"]["fields"]] != [
            str(field.path).rpartition(".")[2] for field in inner if field.path is not None
        ]:
            raise _Unplanned  # a default within an array
        return _Field(kinds.RECORDS, path, fields=inner)
    if kind not in _KINDS:
        raise _Unplanned
    symbols = _symbols(writer, reader) if kind == "enum" else ()
    is_text = "string" in (kind, kind_of(reader) if path is not None else kind)
    largest = kinds.LARGEST_INT if kind == "int" else kinds.LARGEST_LONG
    return _Field(_KINDS[kind], path, is_text, largest=largest, symbols=symbols)


def _union(writer: Any, reader: Any, path: str | None) -> _Field:
    """Of null, first, and one type more."""
    if len(writer) != 2 or kind_of(writer[0]) != "null":
        raise _Unplanned
    other: Any = None
    if path is not None:
        if kind_of(reader) != "union":
            raise _Unplanned
        other = next((branch for branch in reader if kind_of(branch) == kind_of(writer[1])), None)
        if other is None:
            raise _Unplanned
    if kind_of(writer[1]) == "record":
        inner = _record(writer[1], other, f"{path}.")
        is_whole = other is None or {field.path for field in inner} == {f"{path}.{f['name']}" for f in other["fields"]}
        if any(field.kind not in _KINDS.values() for field in inner) or not is_whole:
            raise _Unplanned
        return _Field(kinds.RECORD, path, is_optional=True, fields=inner)
    field = _field(writer[1], other, path)
    if field.kind not in _KINDS.values():
        raise _Unplanned
    return field._replace(is_optional=True)


def _symbols(writer: Any, reader: Any) -> tuple[bytes, ...]:
    """The symbols as the current version knows them; its default stands for those that it does not."""
    known = writer["symbols"] if reader is None else reader["symbols"]
    return tuple((symbol if symbol in known else reader["default"]).encode() for symbol in writer["symbols"])


def _defaults(writer: Any, reader: Any) -> tuple[dict[str, Any], list[str]]:
    """The columns of the fields that the writer does not have: what stands in them, and those that stay empty."""
    written = {field["name"] for field in writer["fields"]}
    filled: dict[str, Any] = {}
    empty: list[str] = []
    for field in reader["fields"]:
        if field["name"] in written:
            continue
        name, default, kind = field["name"], field["default"], kind_of(field["type"])
        if kind == "union":
            kind = next(kind_of(branch) for branch in field["type"] if kind_of(branch) != "null")
            if default is not None or kind not in _KINDS:
                raise _Unplanned
        elif kind in ("map", "array"):
            if default:
                raise _Unplanned
            default = 0
            parts = ["key", "value"] if kind == "map" else [inner["name"] for inner in field["type"]["items"]["fields"]]
            empty += [f"{name}.{part}" for part in parts]
        elif kind not in _KINDS:
            raise _Unplanned
        filled[name] = default.encode() if isinstance(default, str) else default
    return filled, empty


class _Binding:
    """Makes the steps of a plan for one `BatchColumns`, and keeps its lists of texts and of what nobody asks for."""

    def __init__(self, columns: BatchColumns) -> None:
        self._columns = columns
        self.texts: list[list[Any]] = []
        self.scratch: list[list[Any]] = []

    def steps(self, fields: tuple[_Field, ...] | list[_Field]) -> list[Step]:
        """Fields of one kind that stand one behind the other become one step."""
        steps: list[Step] = []
        for field in fields:
            inner = self.steps(field.fields)
            if field.kind in _MAPS.values():
                columns = [self._column(field.path), self._column(field.path, "key"), self._column(field.path, "value")]
                self.texts += columns[1:] if field.kind == kinds.MAP_OF_TEXTS else columns[1:2]
            elif field.kind == kinds.RECORDS:
                columns = [self._columns.counts if field.path == "" else self._column(field.path)]
            elif field.kind == kinds.RECORD:
                columns = [column for step in inner for column in step.columns]
            else:
                columns = [self._column(field.path)]
                self.texts += columns if field.is_text else []
            if steps and field.kind in _IN_A_ROW and _goes_on(steps[-1], field):
                steps[-1].columns.extend(columns)
            else:
                steps.append(
                    Step(
                        field.kind, field.is_optional, columns, field.largest, list(field.symbols), inner,
                        _is_remembered(field),
                    )
                )  # fmt: skip
        return steps

    def _column(self, path: str | None, *inner: str) -> list[Any]:
        if path is not None:
            return self._columns.column(".".join((path, *inner)))
        self.scratch.append([])
        return self.scratch[-1]


def _goes_on(step: Step, field: _Field) -> bool:
    same = (field.kind, field.is_optional, field.largest, _is_remembered(field))
    return (step.kind, step.is_optional, step.largest, step.is_remembered) == same


def _is_remembered(field: _Field) -> bool:
    """Whether equal texts of the field become one object. Those of a group are few; a memo ends with its group."""
    return field.kind == kinds.TEXT and field.path in _FEW_VALUES

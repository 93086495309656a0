"""Avro's schema resolution: turns what was written with one schema into a record of another.

The same rules run on every record of an older or newer writer and in the test that holds each change of a schema
compatible with all released versions, so that what the test allows is what the reader does.

A message is first decoded with the writer's schema and then adapted. Where the schemas agree nothing is done, so a
version that only adds a field costs one rebuilt dictionary for each record that has it.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

from schemas.catalog import Schema, expanded
from schemas.errors import IncompatibleSchemas
from schemas.source import kind_of

Adapter = Callable[[Any], Any]

_SAME = frozenset({"null", "boolean", "int", "long", "float", "double", "string", "bytes"})
_PROMOTIONS: dict[tuple[str, str], Adapter | None] = {
    ("int", "long"): None,
    ("int", "float"): float,
    ("int", "double"): float,
    ("long", "float"): float,
    ("long", "double"): float,
    ("float", "double"): None,
    ("string", "bytes"): str.encode,
    ("bytes", "string"): bytes.decode,
}


def adapter(writer: Schema, reader: Schema) -> Adapter | None:
    """What makes a record of ``reader`` out of one decoded with ``writer``; None where nothing has to be done.

    Raises `IncompatibleSchemas`, naming the field, where some record of ``writer`` could not be read: a field without
    default that the writer does not have, a type that cannot be promoted, a symbol that the reader does not know and
    has no default for. The adapter itself raises `UnicodeDecodeError` only, for bytes that became a string.
    """
    whole = expanded(reader)
    return _adapt(expanded(writer), whole, str(whole["name"]).rpartition(".")[2])


def _adapt(writer: Any, reader: Any, path: str) -> Adapter | None:
    wrote, wanted = kind_of(writer), kind_of(reader)
    if wrote == "union":
        return _from_union(writer, reader, path)
    if wanted == "union":
        return _to_union(writer, reader, path)
    if (wrote, wanted) in _PROMOTIONS:
        return _PROMOTIONS[wrote, wanted]
    if wrote != wanted:
        raise IncompatibleSchemas(f"{path}: {wrote} cannot be read as {wanted}")
    if wrote in _SAME:
        return None
    return _ADAPTERS[wrote](writer, reader, path)


def _to_union(writer: Any, reader: list[Any], path: str) -> Adapter | None:
    exact = [branch for branch in reader if kind_of(branch) == kind_of(writer)]
    problem = None
    for branch in exact + [branch for branch in reader if branch not in exact]:
        try:
            return _adapt(writer, branch, path)
        except IncompatibleSchemas as refused:
            problem = problem or refused
    raise problem or IncompatibleSchemas(f"{path}: an empty union can hold nothing")


def _from_union(writer: list[Any], reader: Any, path: str) -> Adapter | None:
    """A decoded value does not show its branch, so that only null can be treated differently from the others."""
    changes = {kind_of(branch): _adapt(branch, reader, path) for branch in writer}
    changes.pop("null", None)
    if not any(changes.values()):
        return None
    if len(changes) > 1:
        raise IncompatibleSchemas(f"{path}: a union of several types, of which some would have to be converted")
    change = next(iter(changes.values()))
    return lambda value: None if value is None else change and change(value)


def _same_name(writer: Any, reader: Any, path: str) -> None:
    wrote, wanted = (str(schema["name"]).rpartition(".")[2] for schema in (writer, reader))
    if wrote != wanted:
        raise IncompatibleSchemas(f"{path}: {wrote} is another type than {wanted}")


def _record(writer: Any, reader: Any, path: str) -> Adapter | None:
    _same_name(writer, reader, path)
    written = {field["name"]: field for field in writer["fields"]}
    changes: list[tuple[str, Adapter | None]] = []
    defaults: dict[str, Any] = {}
    for field in reader["fields"]:
        name = field["name"]
        if name in written:
            changes.append((name, _adapt(written[name]["type"], field["type"], f"{path}.{name}")))
        elif "default" in field:
            defaults[name] = field["default"]
            changes.append((name, None))
        else:
            raise IncompatibleSchemas(f"{path}.{name}: was not written and has no default")
    if not defaults and list(written) == [name for name, _ in changes] and not any(change for _, change in changes):
        return None

    def adapt(record: dict[str, Any]) -> dict[str, Any]:
        # Defaults are copied, so that no two records share a map.
        return {
            name: (change(record[name]) if change else record[name]) if name in record else deepcopy(defaults[name])
            for name, change in changes
        }

    return adapt


def _enum(writer: Any, reader: Any, path: str) -> Adapter | None:
    _same_name(writer, reader, path)
    known = frozenset(reader["symbols"])
    unknown = [symbol for symbol in writer["symbols"] if symbol not in known]
    if not unknown:
        return None
    if "default" not in reader:
        raise IncompatibleSchemas(f"{path}: symbol {unknown[0]} is not known and there is no default symbol")
    default = reader["default"]
    return lambda symbol: symbol if symbol in known else default


def _array(writer: Any, reader: Any, path: str) -> Adapter | None:
    change = _adapt(writer["items"], reader["items"], f"{path}[]")
    return change and (lambda items: [change(item) for item in items])


def _map(writer: Any, reader: Any, path: str) -> Adapter | None:
    change = _adapt(writer["values"], reader["values"], f"{path}{{}}")
    return change and (lambda entries: {key: change(value) for key, value in entries.items()})


def _fixed(writer: Any, reader: Any, path: str) -> None:
    _same_name(writer, reader, path)
    if writer["size"] != reader["size"]:
        raise IncompatibleSchemas(f"{path}: {writer['size']} bytes cannot be read as {reader['size']}")


_ADAPTERS: dict[str, Callable[[Any, Any, str], Adapter | None]] = {
    "record": _record,
    "enum": _enum,
    "array": _array,
    "map": _map,
    "fixed": _fixed,
}

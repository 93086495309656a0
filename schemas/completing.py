"""Fills in a record's defaults, and says what is wrong with one that does not fit its schema.

Not on the quick path: a writer takes what the record itself lacks, as an event nearly always does, from `blank_of`, and
calls `complete` only where a field is missing deeper, or something is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any

from schemas.errors import Unencodable
from schemas.source import kind_of
from schemas.wire import MAX_INT, MAX_LONG


def complete(schema: Any, value: Any, path: str) -> Any:
    """``value`` with the defaults of absent fields, as plain dictionaries and lists.

    Raises `Unencodable`, naming the field by its path such as ``RequestBatch.events[3].event_id``.
    """
    return _COMPLETE[kind_of(schema)](schema, value, path)


def blank_of(schema: Any) -> dict[str, Any]:
    """A record's own fields in their order, with their defaults; a field without one holds what no type takes.

    The defaults are the schema's own objects, to be read only.
    """
    return {field["name"]: field.get("default", _NO_DEFAULT) for field in schema["fields"]}


_NO_DEFAULT = object()


def _wrong(path: str, wanted: str, value: Any) -> Unencodable:
    return Unencodable(f"{path}: must be {wanted}, not {type(value).__name__}")


def _number(schema: Any, value: Any, path: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise _wrong(path, "an integer", value)
    greatest = MAX_INT if kind_of(schema) == "int" else MAX_LONG
    if not -greatest - 1 <= value <= greatest:
        raise Unencodable(f"{path}: {value} does not fit into the schema's {kind_of(schema)}")
    return value


def _boolean(_schema: Any, value: Any, path: str) -> bool:
    if not isinstance(value, bool):
        raise _wrong(path, "true or false", value)
    return value


def _string(_schema: Any, value: Any, path: str) -> str:
    if not isinstance(value, str):
        raise _wrong(path, "a string", value)
    try:
        value.encode()
    except UnicodeEncodeError as problem:
        raise Unencodable(f"{path}: character {problem.start} is half of a surrogate pair, not text") from problem
    return value


def _bytes(_schema: Any, value: Any, path: str) -> bytes:
    if not isinstance(value, bytes | bytearray | memoryview):
        raise _wrong(path, "bytes", value)
    return bytes(value)


def _enum(schema: Any, value: Any, path: str) -> str:
    if value not in schema["symbols"]:
        raise Unencodable(f"{path}: {value!r} is none of {', '.join(schema['symbols'])}")
    return str(value)


def _union(schema: Any, value: Any, path: str) -> Any:
    return None if value is None else complete(schema[1], value, path)


def _record(schema: Any, value: Any, path: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise _wrong(path, "an object", value)
    names = [field["name"] for field in schema["fields"]]
    unknown = [str(name) for name in value if name not in names]
    if unknown:
        raise Unencodable(f"{path}: the schema has no field {unknown[0]!r}; it has {', '.join(names)}")
    filled = {}
    for field in schema["fields"]:
        name = field["name"]
        if name in value:
            filled[name] = complete(field["type"], value[name], f"{path}.{name}")
        elif "default" in field:
            filled[name] = deepcopy(field["default"])
        else:
            raise Unencodable(f"{path}.{name}: is missing")
    return filled


def _array(schema: Any, value: Any, path: str) -> list[Any]:
    if not isinstance(value, list | tuple):
        raise _wrong(path, "a list", value)
    return [complete(schema["items"], item, f"{path}[{index}]") for index, item in enumerate(value)]


def _map(schema: Any, value: Any, path: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise _wrong(path, "an object", value)
    return {
        _string(None, key, f"{path}, a key"): complete(schema["values"], item, f"{path}[{key!r}]")
        for key, item in value.items()
    }


_COMPLETE: dict[str, Callable[[Any, Any, str], Any]] = {
    "boolean": _boolean,
    "int": _number,
    "long": _number,
    "string": _string,
    "bytes": _bytes,
    "enum": _enum,
    "union": _union,
    "record": _record,
    "array": _array,
    "map": _map,
}

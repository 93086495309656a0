"""The tables of `docs/schemas.md`, made from the schema files. ``python -m schemas.reference`` prints them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from schemas.catalog import NAMES, Schema, current, fingerprint_of
from schemas.source import kind_of


def tables(name: str) -> str:
    """Markdown: the record's heading and table, and those of the records within it."""
    return "\n".join(_record(current(name), f"## {name}")).rstrip("\n")


def fingerprints() -> str:
    """Markdown: the first ten bytes of each record's messages in single-object encoding."""
    rows = [f"| {name} | `c3 01 {fingerprint_of(current(name)).to_bytes(8, 'little').hex(' ')}` |" for name in NAMES]
    return "\n".join(["| record | first ten bytes |", "|---|---|", *rows])


def _record(schema: Schema, heading: str) -> Iterator[str]:
    yield from [heading, "", schema["doc"], "", "| field | type | unit | default | meaning |", "|---|---|---|---|---|"]
    for field in schema["fields"]:
        meaning = _cell(field["doc"])
        symbols = _enums(field["type"])
        if symbols:
            meaning += f". One of {', '.join(f'`{symbol}`' for symbol in symbols)}"
        unit = field.get("unit", "")
        yield f"| `{field['name']}` | {_type(field['type'])} | {unit} | {_default(field)} | {meaning} |"
    yield ""
    for field in schema["fields"]:
        for inner in _records(field["type"]):
            yield from _record(inner, f"### {inner['name']}")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _type(schema: Any) -> str:
    match kind_of(schema):
        case "union":
            return " or ".join(_type(branch) for branch in schema)
        case "array":
            return f"array of {_type(schema['items'])}"
        case "map":
            return f"map of {_type(schema['values'])}"
        case "record":
            return str(schema["name"])
        case "enum":
            return f"enum {schema['name']}"
        case kind:
            return kind


def _default(field: dict[str, Any]) -> str:
    if "default" not in field:
        return ""
    return "null" if field["default"] is None else str(field["default"] or "empty")


def _inside(schema: Any) -> Iterator[Any]:
    """The schema and those of its items, values or branches, but not of its fields."""
    yield schema
    if isinstance(schema, list):
        for branch in schema:
            yield from _inside(branch)
    elif isinstance(schema, dict) and kind_of(schema) in {"array", "map"}:
        yield from _inside(schema.get("items", schema.get("values")))


def _enums(schema: Any) -> list[str]:
    return [symbol for inner in _inside(schema) if kind_of(inner) == "enum" for symbol in inner["symbols"]]


def _records(schema: Any) -> list[Schema]:
    return [inner for inner in _inside(schema) if kind_of(inner) == "record"]


if __name__ == "__main__":
    print("\n\n".join([*(tables(name) for name in NAMES), fingerprints()]))  # noqa: T201 - made to be copied

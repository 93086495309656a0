"""A schema's type in a few words, for pages and documents."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from server.openapi.schemas import Schema

_MOST_VALUES = 12


class Word(NamedTuple):
    """A piece of text. `is_reference`: it names a type of the document."""

    text: str
    is_reference: bool = False


def described_type(schema: Schema) -> Iterator[Word]:
    """What a value of the schema is: `list of `, EventResult; `text or null`."""
    if "$ref" in schema:
        yield Word(schema["$ref"].rpartition("/")[2], is_reference=True)
    elif "enum" in schema:
        values = [str(value) for value in schema["enum"] if value is not None]
        more = ", …" if len(values) > _MOST_VALUES else ""
        yield Word(", ".join(values[:_MOST_VALUES]) + more + (" or null" if None in schema["enum"] else ""))
    elif "const" in schema:
        yield Word(str(schema["const"]))
    elif members := schema.get("anyOf") or schema.get("oneOf"):
        for index, member in enumerate(members):
            if index:
                yield Word(" or ")
            yield from described_type(member)
    else:
        yield from _plain(schema)


def _plain(schema: Schema) -> Iterator[Word]:
    kinds = schema.get("type", "anything")
    kinds = kinds if isinstance(kinds, list) else [kinds]
    is_time = schema.get("format") == "date-time"
    for index, kind in enumerate(kinds):
        if index:
            yield Word(" or ")
        if kind == "array":
            yield Word("list of ")
            yield from described_type(schema.get("items", {}))
        elif kind == "object" and isinstance(inner := schema.get("additionalProperties"), dict):
            yield Word("by name ")
            yield from described_type(inner)
        else:
            yield Word(
                {"string": "time" if is_time else "text", "integer": "ms" if is_time else "whole number"}.get(
                    kind, kind
                )
            )


def type_text(schema: Schema) -> str:
    """The same as plain text."""
    return "".join(word.text for word in described_type(schema))

"""JSON Schemas of the document: of msgspec's types, and of the log's records as clients send them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from server.api.contract import Component, Content, Either, Shape
from server.messages.scalars import TYPES

_REFERENCE = "#/components/schemas/{name}"
Schema = dict[str, Any]


class SchemaBook:
    """The schemas of every shape that operations have, by reference. Raises TypeError for a type without a schema."""

    def __init__(self, shapes: Iterable[Shape]) -> None:
        types: list[Any] = []
        components: dict[str, Component] = {}
        for shape in shapes:
            if isinstance(shape, Component):
                components |= {one.name: one for one in _with_used(shape)}
            else:
                members = shape.shapes if isinstance(shape, Either) else (shape,)
                types += [member for member in members if member not in types]
        made, by_name = msgspec.json.schema_components(types, ref_template=_REFERENCE)
        self._made = [(shape, _plain(schema)) for shape, schema in zip(types, made, strict=True)]
        named = {name: _plain(schema) for name, schema in by_name.items()}
        named |= {name: component.schema() for name, component in components.items()}
        self.components: dict[str, Schema] = dict(sorted(named.items()))

    def of(self, shape: Shape) -> Schema:
        """The schema of a shape: a reference where it has a name."""
        if isinstance(shape, Component):
            return shape.reference
        if isinstance(shape, Either):
            return {"anyOf": [self.of(member) for member in shape.shapes]}
        return next(schema for known, schema in self._made if known == shape)


def shapes_of(contents: Iterable[Shape | Content | None]) -> Iterator[Shape]:
    """The shapes that stand in bodies and answers."""
    for content in contents:
        if isinstance(content, Content):
            yield from (shape for shape in content.media.values() if shape is not None)
        elif content is not None:
            yield content


def _with_used(component: Component) -> Iterator[Component]:
    yield component
    for used in component.uses:
        yield from _with_used(used)


def _plain(schema: Any) -> Any:
    """Without msgspec's titles, defaults of null, and with the types that a client may give."""
    if isinstance(schema, list):
        return [_plain(item) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    is_properties = _is_names(schema)
    plain = {
        name: _plain(value)
        for name, value in schema.items()
        if is_properties or not (name == "title" or (name == "default" and value in (None, [], ())))
    }
    if TYPES in plain:
        plain["type"] = plain.pop(TYPES)
    if plain.get("required") == []:
        del plain["required"]
    nullable = plain.get("anyOf")
    if isinstance(nullable, list) and len(nullable) == 2 and nullable[1] == {"type": "null"}:
        return _nullable(plain, nullable[0])
    return plain


def _is_names(schema: Mapping[str, Any]) -> bool:
    """Whether it is a map of members by name, in which `title` is a member and no title."""
    return all(isinstance(value, Mapping) for value in schema.values())


def _nullable(plain: Schema, value: Schema) -> Schema:
    """`X or null` as one schema where X has plain types."""
    if not isinstance(value.get("type"), (str, list)) or "enum" in value or "const" in value:
        return plain
    kinds = value["type"] if isinstance(value["type"], list) else [value["type"]]
    rest = {name: member for name, member in plain.items() if name != "anyOf"}
    return {**value, **rest, "type": [*kinds, "null"]}

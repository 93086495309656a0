"""A body that is one JSON object of a declared type, read by it: the same type that the OpenAPI document shows.

Types say which members there are and of which kind. Limits of values are judged by the use cases, which say more about
them; here every mistake gets its pointer, all of them at once.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import msgspec
from msgspec import inspect

from server.api.call import Call
from server.bodies.json_object import Fields, read_object
from server.messages.scalars import READ

T = TypeVar("T", bound=msgspec.Struct)

_WHERE_MISSING: dict[str, Any] = {"text": "", "whole": 0, "time": 0, "flag": False, "texts": (), "amounts": {}}


class TypedBody(Generic[T]):
    """`given`: the members. Those that are missing have a value of their kind until `finish` raises."""

    def __init__(self, kind: type[T], fields: Fields) -> None:
        self._nested: list[Fields] = []
        self.fields = fields
        self.given: T = self._read(kind, fields)

    def wrong(self, name: str, reason: str) -> None:
        """Notes a mistake of a member."""
        self.fields.wrong(name, reason)

    def finish(self) -> T:
        """The members. Raises Problem 422 with all mistakes; members that the type does not have are mistakes."""
        self.fields.finish(*self._nested)
        return self.given

    def _read(self, kind: type[Any], fields: Fields) -> Any:
        values = {}
        for field in _fields_of(kind):
            value = self._value(field, fields)
            if value is None or value == ():
                if field.required and not fields.has_mistake(field.encode_name):
                    fields.wrong(field.encode_name, "is missing")
                if field.required:
                    values[field.name] = _WHERE_MISSING.get(_reader(field.type), value)
                continue
            values[field.name] = value
        return kind(**values)

    def _value(self, field: inspect.Field, fields: Fields) -> Any:
        name, kind = field.encode_name, _inner(field.type)
        if isinstance(kind, inspect.StructType):
            nested = fields.nested(name)
            self._nested.append(nested)
            return self._read(kind.cls, nested) if nested.is_given else None
        value = getattr(fields, _reader(field.type))(name)
        allowed = _allowed(kind)
        if value is not None and allowed and value not in allowed:
            fields.wrong(name, f"should be one of {', '.join(allowed)}")
            return allowed[0]
        return kind.cls(value) if isinstance(kind, inspect.EnumType) and value is not None else value


async def read_typed(call: Call, kind: type[T]) -> TypedBody[T]:
    """The object of the body; an empty body is an empty object. Raises Problem: 400, 413, 415, 422."""
    return TypedBody(kind, await read_object(call))


def _fields_of(kind: type[Any]) -> tuple[inspect.Field, ...]:
    info = inspect.type_info(kind)
    if not isinstance(info, inspect.StructType):
        raise TypeError(f"{kind} is no Struct")
    return info.fields


def _inner(kind: inspect.Type) -> inspect.Type:
    """The type without null and remarks."""
    if isinstance(kind, inspect.Metadata):
        return _inner(kind.type)
    if isinstance(kind, inspect.UnionType):
        return _inner(next(one for one in kind.types if not isinstance(one, inspect.NoneType)))
    return kind


def _reader(kind: inspect.Type) -> str:
    """The method of Fields that reads a value of this type."""
    if isinstance(kind, inspect.Metadata):
        return str((kind.extra or {}).get(READ) or _reader(kind.type))
    if isinstance(kind, inspect.UnionType):
        return _reader(next(one for one in kind.types if not isinstance(one, inspect.NoneType)))
    return _READERS[type(kind)]


def _allowed(kind: inspect.Type) -> tuple[str, ...]:
    if isinstance(kind, inspect.EnumType):
        return tuple(str(member.value) for member in kind.cls)
    return tuple(map(str, kind.values)) if isinstance(kind, inspect.LiteralType) else ()


_READERS: dict[type[inspect.Type], str] = {
    inspect.StrType: "text",
    inspect.EnumType: "text",
    inspect.LiteralType: "text",
    inspect.IntType: "whole",
    inspect.BoolType: "flag",
    inspect.DictType: "amounts",
}

"""A schema as a plan: a tree of steps that `walking` follows to decode and encode records where it is compiled.

The same schemas are allowed as by the functions that `reading` and `writing` generate.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from schemas.errors import IncompatibleSchemas
from schemas.reading import MAX_DEPTH, smallest_size
from schemas.source import kind_of

NULL: Final = 0
BOOLEAN: Final = 1
INT: Final = 2
LONG: Final = 3
FLOAT: Final = 4
DOUBLE: Final = 5
STRING: Final = 6
BYTES: Final = 7
FIXED: Final = 8
ENUM: Final = 9
UNION: Final = 10
RECORD: Final = 11
ARRAY: Final = 12
MAP: Final = 13

_KINDS = {
    "null": NULL, "boolean": BOOLEAN, "int": INT, "long": LONG, "float": FLOAT, "double": DOUBLE, "string": STRING,
    "bytes": BYTES, "fixed": FIXED, "enum": ENUM, "union": UNION, "record": RECORD, "array": ARRAY, "map": MAP,
}  # fmt: skip


class Plan:
    """One step: the value of one type. ``parts`` are a record's fields, a union's branches, or the type of the items.

    ``name`` of a record's field; ``blank``: a record with all of its fields, to be copied and filled.
    ``symbols`` of an enum; ``encoded``: the bytes of each. ``size`` of a fixed. ``is_remembered``: a text with few
    distinct values. ``most``: how many items an array may have; -1 for any number.
    """

    def __init__(self, kind: int) -> None:
        self.kind = kind
        self.parts: list[Plan] = []
        self.name = ""
        self.blank: dict[str, Any] = {}
        self.symbols: list[str] = []
        self.encoded: dict[Any, bytes] = {}
        self.size = 0
        self.is_remembered = False
        self.memo: dict[str, bytes] = {}
        self.most = -1
        self.is_digested = False


def plan_of(schema: Any, depth: int = 0, few_values: frozenset[str] = frozenset()) -> Plan:
    """The plan of an expanded schema.

    ``few_values``: names of fields whose encoded texts are remembered. Raises `IncompatibleSchemas` for a recursive or
    very deep schema, or one with an array of items that take no bytes: a short message could claim any number of them.
    """
    kind = kind_of(schema)
    if kind not in _KINDS:
        raise IncompatibleSchemas(f"recursive or unknown type {kind!r}")
    if depth > MAX_DEPTH:
        raise IncompatibleSchemas(f"types nest more than {MAX_DEPTH} deep")
    plan = Plan(_KINDS[kind])
    if kind == "union":
        plan.parts = [plan_of(branch, depth + 1, few_values) for branch in schema]
    elif kind == "record":
        for field in schema["fields"]:
            part = plan_of(field["type"], depth + 1, few_values)
            if field["name"] in few_values:
                _remember(part)
            part.name = field["name"]
            plan.parts.append(part)
        plan.blank = {part.name: None for part in plan.parts}
    elif kind == "array":
        if not smallest_size(schema["items"]):
            raise IncompatibleSchemas("an array of items that take no bytes")
        plan.parts = [plan_of(schema["items"], depth + 1, few_values)]
    elif kind == "map":
        plan.parts = [plan_of(schema["values"], depth + 1, few_values)]
    elif kind == "enum":
        plan.symbols = list(schema["symbols"])
    elif kind == "fixed":
        plan.size = int(schema["size"])
    return plan


def bounded(plan: Plan, most: Mapping[str, int], *, is_digested: bool = False) -> Plan:
    """The plan of a record whose named arrays may have so many items, and have digests of them where that is asked."""
    for name, number in most.items():
        array = next(part for part in plan.parts if part.name == name)
        array.most = number
        array.is_digested = is_digested
    return plan


def _remember(plan: Plan) -> None:
    """Marks a text, or a text that may be null."""
    for part in (plan, *plan.parts):
        if part.kind == STRING:
            part.is_remembered = True

"""Decoders and encoders that walk a plan: the same contracts as the functions that `reading` and `writing` generate."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from schemas.catalog import COMMANDS, EVENT, Schema, expanded, short_name
from schemas.completing import blank_of, complete
from schemas.errors import IncompatibleSchemas, Unencodable
from schemas.plans import ENUM, Plan, bounded, plan_of
from schemas.reading import DigestingReader, Reader, SlicingReader, refusing, refusing_slices
from schemas.source import kind_of
from schemas.walking import read_digests, read_record, read_slices, write_record
from schemas.wire import SMALL_LONGS
from schemas.writing import FEW_VALUES, Writer

_UNWRITABLE = frozenset({"null", "float", "double", "fixed"})


def walking_reader(schema: Schema, most: Mapping[str, int] | None = None) -> Reader:
    """As `reading.compile_reader`."""
    return refusing(partial(read_record, bounded(plan_of(expanded(schema)), most or {})))


def walking_digesting_reader(schema: Schema, most: Mapping[str, int]) -> DigestingReader:
    """As `reading.compile_digesting_reader`."""
    return refusing(partial(read_digests, bounded(plan_of(expanded(schema)), most, is_digested=True)))


def walking_slicing_reader(schema: Schema, most: Mapping[str, int]) -> SlicingReader | None:
    """As `reading.compile_slicing_reader`."""
    whole = expanded(schema)
    if [field["name"] for field in whole["fields"]] != list(most):
        return None
    return refusing_slices(partial(read_slices, bounded(plan_of(whole), most)))


def walking_writer(schema: Schema) -> Writer:
    """As `writing.compile_writer`."""
    whole = expanded(schema)
    _check_writable(whole)
    plan = plan_of(whole, 0, FEW_VALUES)
    _encode_symbols(plan)
    is_command = short_name(whole) in {*COMMANDS, EVENT}
    blank = blank_of(whole)

    def write(record: Mapping[str, Any]) -> bytes:
        try:
            return write_record(plan, record if len(record) == len(blank) else {**blank, **record}, is_command)
        except (LookupError, TypeError, AttributeError, ValueError, OverflowError):
            # The quick path assumes that all is right: this one fills in what is missing deeper, or says what is wrong.
            filled = complete(whole, record, str(whole["name"]).rpartition(".")[2])
        try:
            return write_record(plan, filled, is_command)
        except (LookupError, TypeError, AttributeError, ValueError, OverflowError) as problem:
            raise Unencodable(f"{whole['name']}: {problem}") from problem

    return write


def _encode_symbols(plan: Plan) -> None:
    if plan.kind == ENUM:
        plan.encoded = {symbol: SMALL_LONGS[index] for index, symbol in enumerate(plan.symbols)}
    for part in plan.parts:
        _encode_symbols(part)


def _check_writable(schema: Any) -> None:
    kind = kind_of(schema)
    if kind == "union":
        if len(schema) != 2 or kind_of(schema[0]) != "null":
            raise IncompatibleSchemas("schemas that are written here can have unions of null and one type only")
        _check_writable(schema[1])
    elif kind in _UNWRITABLE:
        raise IncompatibleSchemas(f"schemas that are written here cannot have the type {kind!r}")
    elif kind == "record":
        for field in schema["fields"]:
            _check_writable(field["type"])
    elif kind == "array":
        _check_writable(schema["items"])
    elif kind == "map":
        _check_writable(schema["values"])

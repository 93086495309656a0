"""Compiles a schema into one straight-line Python function that decodes its records.

Why not fastavro's reader: it walks through a chain of branches for every value and accepts what Avro forbids (negative
indices of unions and enums, numbers longer than 64 bits), so that its results could differ by version or
processor. Compiled code is quicker and refuses these. Tests hold it equal to fastavro on everything that is valid.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from hashlib import blake2b
from typing import Any

from schemas.catalog import Schema, expanded
from schemas.errors import DAMAGED, TOO_MANY_EVENTS, IncompatibleSchemas, Undecodable
from schemas.source import Source, kind_of
from schemas.wire import MAX_INT, DamagedBody, TooManyItems, read_varint

# Properties that are added to a schema here: how many items an array may have, that each has a digest, and that they
# are given out as they are read.
_MOST, _DIGESTED, _SLICED = "most items", "digested", "sliced"

Reader = Callable[[bytes, int], dict[str, Any]]
"""Takes a message and where its body begins; returns the record. Raises `Undecodable`."""

DigestingReader = Callable[[bytes, int], tuple[dict[str, Any], list[bytes]]]
"""As `Reader`; also returns the digest of each item of the record's array, of its bytes as they are in the message."""

SlicingReader = Callable[[bytes, int, int], Iterator[tuple[list[dict[str, Any]], list[bytes]]]]
"""As `DigestingReader`, but gives items and digests while it reads, so many at a time: its third argument."""

DIGEST_SIZE = 8
"""Bytes of BLAKE2b that tell one command's content from another's (SPEC 4)."""

MAX_EVENTS = 50_000
"""Events of one RequestBatch (SPEC 5). A larger batch is refused before its events are decoded: a message of a few
kilobytes on the wire may hold more than a million empty ones."""

MAX_DEPTH = 8
"""How deeply records, arrays, maps and unions may nest: Python itself limits nested loops."""


def compile_reader(schema: Schema, bounded: Mapping[str, int] | None = None) -> Reader:
    """The decoder for records written with ``schema``.

    ``bounded``: the most items of arrays that are fields of the record itself, by the field's name. What is beyond is
    not decoded: the count at the head of a block is looked at first.

    Raises `IncompatibleSchemas` for a schema that cannot be decoded safely: a recursive or very deep one, or one with
    an array of items that take no bytes (a short message could claim any number of them).
    """
    reader: Reader = _compiled(_with_bounds(expanded(schema), bounded or {}), digests=False)
    return reader


def compile_digesting_reader(schema: Schema, bounded: Mapping[str, int]) -> DigestingReader:
    """The decoder for records with one ``bounded`` array, whose items have digests. Raises as `compile_reader`."""
    reader: DigestingReader = _compiled(_with_bounds(expanded(schema), bounded, {_DIGESTED: True}), digests=True)
    return reader


def compile_slicing_reader(schema: Schema, bounded: Mapping[str, int]) -> SlicingReader | None:
    """The decoder for records that are one ``bounded`` array and nothing else, in slices; None for other records.

    Raises as `compile_reader`.
    """
    whole = expanded(schema)
    if [field["name"] for field in whole["fields"]] != list(bounded):
        return None
    source = Source("read(d, p, size)", {**_NAMES})
    source.line("digests = []")
    field = _with_bounds(whole, bounded, {_DIGESTED: True, _SLICED: True})["fields"][0]
    _read(source, field["type"], "v", 1)
    source.line("if p != len(d): raise DamagedBody")
    source.line("yield v, digests")
    return refusing_slices(source.compile())


def digest_of(data: bytes) -> bytes:
    """The digest that tells one command's content from another's (SPEC 4)."""
    return blake2b(data, digest_size=DIGEST_SIZE).digest()


def _compiled(schema: Any, *, digests: bool) -> Any:
    source = Source("read(d, p)", {**_NAMES})
    if digests:
        source.line("digests = []")
    _read(source, schema, "v", 0)
    source.line("if p != len(d): raise DamagedBody")
    source.line("return v, digests" if digests else "return v")
    return refusing(source.compile())


def refusing(read: Callable[[bytes, int], Any]) -> Callable[[bytes, int], Any]:
    """The same decoder, whose refusals of a message are `Undecodable`."""

    def checked(data: bytes, start: int) -> Any:
        try:
            return read(data, start)
        except TooManyItems:
            raise Undecodable(TOO_MANY_EVENTS) from None
        except _DAMAGES:
            raise Undecodable(DAMAGED) from None

    return checked


def refusing_slices(read: SlicingReader) -> SlicingReader:
    """As `refusing`, of a decoder that gives slices."""

    def checked(data: bytes, start: int, size: int) -> Iterator[tuple[list[dict[str, Any]], list[bytes]]]:
        slices = read(data, start, size)
        while True:  # no `yield from`: what is raised where a slice is used is no damage of the message
            try:
                some = next(slices, None)
            except TooManyItems:
                raise Undecodable(TOO_MANY_EVENTS) from None
            except _DAMAGES:
                raise Undecodable(DAMAGED) from None
            if some is None:
                return
            yield some

    return checked


# IndexError: cut within a number. ValueError: DamagedBody and bad UTF-8. struct.error: cut within a float.
_DAMAGES = (IndexError, ValueError, struct.error)
_NAMES = {
    "DamagedBody": DamagedBody,
    "TooManyItems": TooManyItems,
    "varint": read_varint,
    "blake2b": blake2b,
    "unpack": struct.unpack_from,
}
"""What the compiled functions call."""


def _with_bounds(schema: Any, bounded: Mapping[str, int], more: Mapping[str, bool] | None = None) -> Any:
    """An expanded record's schema whose bounded arrays say how many items they may have, and ``more``."""
    if not bounded:
        return schema
    fields = [
        {**field, "type": {**field["type"], _MOST: bounded[field["name"]], **(more or {})}}
        if field["name"] in bounded
        else field
        for field in schema["fields"]
    ]
    return {**schema, "fields": fields}


def smallest_size(schema: Any) -> int:
    """The fewest bytes that a value of an expanded schema can take."""
    kind = kind_of(schema)
    if kind == "null":
        return 0
    if kind == "record":
        return sum(smallest_size(field["type"]) for field in schema["fields"])
    if kind == "fixed":
        return int(schema["size"])
    return {"float": 4, "double": 8}.get(kind, 1)


def _read(source: Source, schema: Any, target: str, depth: int) -> None:
    """Adds the lines that read one value at ``p`` into the variable ``target``."""
    kind = kind_of(schema)
    if kind not in _READERS:
        raise IncompatibleSchemas(f"recursive or unknown type {kind!r}")
    if depth > MAX_DEPTH:
        raise IncompatibleSchemas(f"types nest more than {MAX_DEPTH} deep")
    _READERS[kind](source, schema, target, depth)


def _number(source: Source, target: str) -> None:
    """Reads an unsigned number. Most take one byte, and those need no call."""
    source.line(f"{target} = d[p]")
    source.line(f"if {target} < 128: p += 1")
    source.line(f"else: {target}, p = varint(d, p)")


def _read_null(source: Source, _schema: Any, target: str, _depth: int) -> None:
    source.line(f"{target} = None")


def _read_boolean(source: Source, _schema: Any, target: str, _depth: int) -> None:
    source.line("n = d[p]; p += 1")
    source.line("if n > 1: raise DamagedBody")
    source.line(f"{target} = n == 1")


def _read_long(source: Source, _schema: Any, target: str, _depth: int) -> None:
    _number(source, "n")
    source.line(f"{target} = (n >> 1) ^ -(n & 1)")


def _read_int(source: Source, _schema: Any, target: str, _depth: int) -> None:
    _number(source, "n")
    source.line(f"if n > {2 * MAX_INT + 1}: raise DamagedBody")
    source.line(f"{target} = (n >> 1) ^ -(n & 1)")


def _read_float(source: Source, schema: Any, target: str, _depth: int) -> None:
    code, size = {"float": ("<f", 4), "double": ("<d", 8)}[kind_of(schema)]
    source.line(f"{target} = unpack({code!r}, d, p)[0]; p += {size}")


def _slice(source: Source, target: str, decode: str) -> None:
    # A slice past the end comes out short, without an error: the last check of the position finds it, since a
    # position only rises.
    _number(source, "n")
    source.line("if n & 1: raise DamagedBody")
    source.line("q = p + (n >> 1)")
    source.line(f"{target} = d[p:q]{decode}; p = q")


def _read_string(source: Source, _schema: Any, target: str, _depth: int) -> None:
    _slice(source, target, ".decode()")


def _read_bytes(source: Source, _schema: Any, target: str, _depth: int) -> None:
    _slice(source, target, "")


def _read_fixed(source: Source, schema: Any, target: str, _depth: int) -> None:
    source.line(f"{target} = d[p:p + {int(schema['size'])}]; p += {int(schema['size'])}")


def _read_enum(source: Source, schema: Any, target: str, _depth: int) -> None:
    symbols = schema["symbols"]
    _number(source, "n")
    source.line(f"if n & 1 or n > {2 * (len(symbols) - 1)}: raise DamagedBody")
    source.line(f"{target} = {source.constant(tuple(symbols))}[n >> 1]")


def _read_union(source: Source, schema: Any, target: str, depth: int) -> None:
    _number(source, "n")
    for index, branch in enumerate(schema):
        source.line(f"{'elif' if index else 'if'} n == {2 * index}:")
        with source.indented():
            _read(source, branch, target, depth + 1)
    source.line("else: raise DamagedBody")


def _read_record(source: Source, schema: Any, target: str, depth: int) -> None:
    names = [(field["name"], source.variable()) for field in schema["fields"]]
    for field, (_, variable) in zip(schema["fields"], names, strict=True):
        _read(source, field["type"], variable, depth + 1)
    source.line(f"{target} = {{{', '.join(f'{name!r}: {variable}' for name, variable in names)}}}")


def _blocks(source: Source, read_item: Callable[[], None], most: int | None = None) -> None:
    """Arrays and maps come in blocks; a negative count is followed by the block's size in bytes."""
    count, total = source.variable(), source.variable()
    _number(source, count)
    if most is not None:
        source.line(f"{total} = 0")
    source.line(f"while {count}:")
    with source.indented():
        source.line(f"if {count} & 1: {count} += 1; n, p = varint(d, p)")
        if most is not None:
            source.line(f"{total} += {count} >> 1")
            source.line(f"if {total} > {most}: raise TooManyItems")
        source.line(f"for _ in range({count} >> 1):")
        with source.indented():
            read_item()
        _number(source, count)


def _read_array(source: Source, schema: Any, target: str, depth: int) -> None:
    if not smallest_size(schema["items"]):
        raise IncompatibleSchemas("an array of items that take no bytes")
    item = source.variable()
    source.line(f"{target} = []")

    digests = schema.get(_DIGESTED)

    def read_item() -> None:
        if digests:
            source.line("start = p")
        _read(source, schema["items"], item, depth + 1)
        source.line(f"{target}.append({item})")
        if digests:
            source.line(f"digests.append(blake2b(d[start:p], digest_size={DIGEST_SIZE}).digest())")
        if schema.get(_SLICED):
            source.line(f"if len({target}) == size:")
            with source.indented():
                source.line(f"yield {target}, digests")
                source.line(f"{target} = []; digests = []")

    _blocks(source, read_item, schema.get(_MOST))


def _read_map(source: Source, schema: Any, target: str, depth: int) -> None:
    key, value = source.variable(), source.variable()
    source.line(f"{target} = {{}}")

    def read_entry() -> None:
        _slice(source, key, ".decode()")
        _read(source, schema["values"], value, depth + 1)
        source.line(f"{target}[{key}] = {value}")

    _blocks(source, read_entry)


_READERS: dict[str, Callable[[Source, Any, str, int], None]] = {
    "null": _read_null,
    "boolean": _read_boolean,
    "int": _read_int,
    "long": _read_long,
    "float": _read_float,
    "double": _read_float,
    "string": _read_string,
    "bytes": _read_bytes,
    "fixed": _read_fixed,
    "enum": _read_enum,
    "union": _read_union,
    "record": _read_record,
    "array": _read_array,
    "map": _read_map,
}

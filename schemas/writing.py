"""Compiles a schema into one straight-line Python function that encodes its records.

Why not fastavro's writer: for every nullable field it validates the value against each branch, which makes it three
times as slow on billed events. Tests hold this writer equal to fastavro, byte for byte.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from schemas.catalog import COMMANDS, EVENT, Schema, expanded, short_name
from schemas.completing import blank_of, complete
from schemas.errors import IncompatibleSchemas, Unencodable
from schemas.source import Source, kind_of
from schemas.wire import SMALL, SMALL_LONGS, write_int, write_long

Writer = Callable[[Mapping[str, Any]], bytes]
"""Takes a record and returns its body. Raises `Unencodable`."""

FEW_VALUES = frozenset(
    {"endpoint", "channel", "actor", "plan", "charge", "feature", "action", "credit_type", "price_version", "reason"}
)
"""Fields with few distinct texts: their encoded form is remembered."""
MEMO_ENTRIES = 1024
MEMO_LENGTH = 64


class Memo(dict[Any, bytes]):
    """Encoded forms of texts seen before. Bounded, since the texts are the producers': when full it starts anew."""

    def __init__(self, encode: Callable[[Any], bytes]) -> None:
        super().__init__()
        self._encode = encode

    def __missing__(self, value: Any) -> bytes:
        encoded = self._encode(value)
        if len(encoded) <= MEMO_LENGTH:
            if len(self) >= MEMO_ENTRIES:
                self.clear()
            self[value] = encoded
        return encoded


def encode_text(text: str) -> bytes:
    encoded = text.encode()
    length = len(encoded)
    return (SMALL_LONGS[length] if length < SMALL else write_long(length)) + encoded


def _encode_nullable_text(text: str | None) -> bytes:
    return b"\x00" if text is None else b"\x02" + encode_text(text)


def _write_true_long(number: int) -> bytes:
    """As `write_long`; True, which Python takes for 1, is refused."""
    if number is True or number is False:
        raise TypeError
    return write_long(number)


def compile_writer(schema: Schema) -> Writer:
    """The encoder for records of ``schema``, which may use unions with null only.

    Absent fields get their defaults. The encoder raises `Unencodable` with the field's path for an unknown or missing
    field, a wrong type (in a command True is no integer), a number that does not fit, or text that UTF-8 cannot hold.
    """
    whole = expanded(schema)
    # Commands come from outside. The integers of outputs are the machine's own, and there are many of them.
    is_command = short_name(whole) in {*COMMANDS, EVENT}
    longs = {"zigzag": _write_true_long if is_command else write_long, "zigzag_int": write_int, "text": encode_text}
    names = {"Z": SMALL_LONGS, "keys": Memo(encode_text), "BOOLEANS": (b"\x00", b"\x01"), **longs}
    source = Source("write(r)", names, checks_integers=is_command)
    source.line("out = []; put = out.append; extend = out.extend")
    pieces: list[str] = []
    _write(source, whole, "r", pieces)
    _flush(source, pieces)
    source.line('return b"".join(out)')
    write: Writer = source.compile()
    blank = blank_of(whole)

    def checked(record: Mapping[str, Any]) -> bytes:
        try:
            return write(record if len(record) == len(blank) else {**blank, **record})
        except (LookupError, TypeError, AttributeError, ValueError, OverflowError):
            # The quick path assumes that all is right: this one fills in what is missing deeper, or says what is wrong.
            filled = complete(whole, record, str(whole["name"]).rpartition(".")[2])
        try:
            return write(filled)
        except (LookupError, TypeError, AttributeError, ValueError, OverflowError) as problem:
            raise Unencodable(f"{whole['name']}: {problem}") from problem

    return checked


def _flush(source: Source, pieces: list[str]) -> None:
    """Adds the line that puts out the pieces collected so far."""
    if len(pieces) == 1:
        source.line(f"put({pieces[0]})")
    elif pieces:
        source.line(f"extend(({', '.join(pieces)}))")
    pieces.clear()


def _write(source: Source, schema: Any, value: str, pieces: list[str]) -> None:
    """Adds the lines that encode the expression ``value``, and to ``pieces`` the expressions that hold the bytes."""
    kind = kind_of(schema)
    if kind not in _WRITERS:
        raise IncompatibleSchemas(f"schemas that are written here cannot have the type {kind!r}")
    _WRITERS[kind](source, schema, value, pieces)


def _write_long(source: Source, schema: Any, value: str, pieces: list[str]) -> None:
    number = source.variable()
    slow = "zigzag_int" if kind_of(schema) == "int" else "zigzag"
    source.line(f"{number} = {value}")
    is_exact = f" and {number}.__class__ is int" if source.checks_integers else ""
    source.line(f"{number} = Z[{number}] if -1 < {number} < {SMALL}{is_exact} else {slow}({number})")
    pieces.append(number)


def _write_boolean(source: Source, _schema: Any, value: str, pieces: list[str]) -> None:
    flag = source.variable()
    source.line(f"{flag} = {value}")
    source.line(f"if {flag}.__class__ is not bool: raise TypeError")
    pieces.append(f"BOOLEANS[{flag}]")


def _write_string(source: Source, _schema: Any, value: str, pieces: list[str]) -> None:
    encoded = source.variable()
    source.line(f"{encoded} = {value}.encode()")
    _sized(encoded, pieces)


def _write_bytes(source: Source, _schema: Any, value: str, pieces: list[str]) -> None:
    original = source.variable()
    source.line(f"{original} = {value}")
    _sized(original, pieces)


def _sized(variable: str, pieces: list[str]) -> None:
    length = f"len({variable})"
    pieces += [f"Z[{length}] if {length} < {SMALL} else zigzag({length})", variable]


def _write_enum(source: Source, schema: Any, value: str, pieces: list[str]) -> None:
    symbols = {symbol: SMALL_LONGS[index] for index, symbol in enumerate(schema["symbols"])}
    pieces.append(f"{source.constant(symbols)}[{value}]")


def _write_union(source: Source, schema: Any, value: str, pieces: list[str]) -> None:
    if len(schema) != 2 or kind_of(schema[0]) != "null":
        raise IncompatibleSchemas("schemas that are written here can have unions of null and one type only")
    if kind_of(schema[1]) == "enum":
        symbols = {symbol: b"\x02" + SMALL_LONGS[index] for index, symbol in enumerate(schema[1]["symbols"])}
        pieces.append(f"{source.constant({None: SMALL_LONGS[0], **symbols})}[{value}]")
        return
    branch = source.variable()
    source.line(f"{branch} = {value}")
    if kind_of(schema[1]) in _ONE_EXPRESSION:
        source.line(f"{branch} = Z[0] if {branch} is None else Z[1] + {_ONE_EXPRESSION[kind_of(schema[1])]}({branch})")
        pieces.append(branch)
        return
    _flush(source, pieces)
    source.line(f"if {branch} is None: put(Z[0])")
    source.line("else:")
    with source.indented():
        inner = ["Z[1]"]
        _write(source, schema[1], branch, inner)
        _flush(source, inner)


def _write_record(source: Source, schema: Any, value: str, pieces: list[str]) -> None:
    source.line(f"if len({value}) != {len(schema['fields'])}: raise LookupError")
    for field in schema["fields"]:
        name, kind = field["name"], field["type"]
        expression = f"{value}[{name!r}]"
        if name in FEW_VALUES and kind == "string":
            pieces.append(f"{source.constant(Memo(encode_text))}[{expression}]")
        elif name in FEW_VALUES and kind == ["null", "string"]:
            pieces.append(f"{source.constant(Memo(_encode_nullable_text))}[{expression}]")
        else:
            _write(source, kind, expression, pieces)


def _blocks(source: Source, schema: Any, collection: str, loop: str, item: tuple[str, str]) -> None:
    """One block with all items, then the empty block that ends the collection."""
    key, value = item
    source.line(f"if {collection}:")
    with source.indented():
        source.line(f"put(zigzag(len({collection})))")
        source.line(loop)
        with source.indented():
            inner = [f"keys[{key}]"] if key else []
            _write(source, schema, value, inner)
            _flush(source, inner)
    source.line("put(Z[0])")


def _write_array(source: Source, schema: Any, value: str, pieces: list[str]) -> None:
    _flush(source, pieces)
    array, item = source.variable(), source.variable()
    source.line(f"{array} = {value}")
    source.line(f"if {array}.__class__ is not list: raise TypeError")
    _blocks(source, schema["items"], array, f"for {item} in {array}:", ("", item))


def _write_map(source: Source, schema: Any, value: str, pieces: list[str]) -> None:
    _flush(source, pieces)
    entries, key, item = source.variable(), source.variable(), source.variable()
    source.line(f"{entries} = {value}")
    source.line(f"if {entries}.__class__ is not dict: raise TypeError")
    _blocks(source, schema["values"], entries, f"for {key}, {item} in {entries}.items():", (key, item))


_ONE_EXPRESSION = {"int": "zigzag_int", "long": "zigzag", "string": "text"}

_WRITERS: dict[str, Callable[[Source, Any, str, list[str]], None]] = {
    "boolean": _write_boolean,
    "int": _write_long,
    "long": _write_long,
    "string": _write_string,
    "bytes": _write_bytes,
    "enum": _write_enum,
    "union": _write_union,
    "record": _write_record,
    "array": _write_array,
    "map": _write_map,
}

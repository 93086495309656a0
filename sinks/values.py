"""Python values from ClickHouse's JSON, by the types that came with it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, tzinfo
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sinks.sink import Result

JSON_FORMAT = "JSONCompactEachRowWithNamesAndTypes"
JSON_SETTINGS = {
    "output_format_json_quote_64bit_integers": 0,
    "output_format_json_quote_denormals": 1,
    "output_format_json_quote_decimals": 1,
    "output_format_json_validate_utf8": 0,
}
"""Settings under which every value survives: bytes that are not UTF-8, long integers, NaN, decimals."""

Convert = Callable[[Any], Any]


def result_of(data: bytes) -> Result:
    """The result that ``data`` holds, in JSON_FORMAT."""
    lines = data.decode("utf-8", "surrogateescape").split("\n")
    if len(lines) < 2:
        return Result([], [], [])
    names, types = json.loads(lines[0]), json.loads(lines[1])
    converters = [_converter(kind) for kind in types]
    rows = [
        tuple(
            convert(value) if value is not None else None
            for convert, value in zip(converters, json.loads(line), strict=True)
        )
        for line in lines[2:]
        if line
    ]
    return Result(names, types, rows)


def _converter(kind: str) -> Convert:
    name, _, inside = kind.partition("(")
    inside = inside[:-1]
    if name in ("Nullable", "LowCardinality"):
        return _converter(inside)
    if name == "Array":
        return _of_array(_converter(inside))
    if name == "Map":
        key, value = _split(inside)
        return _of_map(_converter(key), _converter(value))
    if name == "Tuple":
        return _of_tuple(inside)
    if name in ("DateTime64", "DateTime"):
        return _time_of(_split(inside)[-1])
    if name in ("Date", "Date32"):
        return date.fromisoformat
    return _PLAIN.get(name, _same)


def _of_array(item: Convert) -> Convert:
    return lambda values: [None if value is None else item(value) for value in values]


def _of_map(key: Convert, value: Convert) -> Convert:
    return lambda pairs: {key(k): None if v is None else value(v) for k, v in pairs.items()}


def _of_tuple(inside: str) -> Convert:
    """Named tuples come as objects and become dicts; unnamed ones come as arrays and become tuples."""
    parts = _split(inside)
    named = [part.split(" ", 1) for part in parts]
    is_named = all(len(pair) == 2 and "(" not in pair[0] for pair in named)
    if is_named:
        by_name = {name.strip("`"): _converter(kind) for name, kind in named}
        return lambda value: {k: None if v is None else by_name[k](v) for k, v in value.items()}
    converters = [_converter(part) for part in parts]
    return lambda value: tuple(None if v is None else c(v) for c, v in zip(converters, value, strict=True))


def _split(inside: str) -> list[str]:
    """Parts of a type's arguments, at the commas that are not within brackets."""
    parts, depth, start = [], 0, 0
    for at, mark in enumerate(inside):
        depth += (mark == "(") - (mark == ")")
        if mark == "," and depth == 0:
            parts.append(inside[start:at].strip())
            start = at + 1
    return [*parts, inside[start:].strip()]


def _time_of(argument: str) -> Convert:
    """Times of a type whose last argument may be a zone (a reader's own conversion); else UTC, as the session is."""
    zone: tzinfo = UTC
    if argument.startswith("'") and argument != "'UTC'":
        try:
            zone = ZoneInfo(argument.strip("'"))
        except (ZoneInfoNotFoundError, ValueError):
            return _same  # as the engine prints it: this machine does not know the zone
    return lambda text: datetime.fromisoformat(text).replace(tzinfo=zone)


def _text(value: str) -> str | bytes:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return value.encode("utf-8", "surrogateescape")
    return value


def _same(value: Any) -> Any:
    return value


_PLAIN: dict[str, Convert] = {
    "String": _text,
    "FixedString": _text,
    "Decimal": Decimal,
    "Float32": float,
    "Float64": float,
    "Bool": bool,
}

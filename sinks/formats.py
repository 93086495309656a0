"""The text formats that a reading statement's result can be had in, and their spelling for a server's results.

chDB writes most of them itself. A server's native protocol carries values only, so they are written here, the same way;
so are those for people, for both stores.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sinks.limits import check_size
from sinks.printable import visible
from sinks.sink import DEFAULT_LIMITS, Limits, Result, SinkRejected

FORMATS = (
    "CSV",
    "CSVWithNames",
    "JSONEachRow",
    "Pretty",
    "TabSeparated",
    "TabSeparatedWithNames",
    "Vertical",
)
"""Names that ``query_text`` takes; letters' case does not matter."""

CONTENT_TYPES = {
    "CSV": "text/csv; charset=utf-8",
    "CSVWithNames": "text/csv; charset=utf-8",
    "JSONEachRow": "application/x-ndjson",
}
"""The formats that have a media type of their own; the others are plain text."""

FOR_PEOPLE = frozenset({"Pretty", "Vertical"})
"""The formats that are written here for every store: no value acts on a terminal or looks like another row."""
SHOWN_ROWS = 1_000
"""Rows of a table for people. A last line says that there are more; the other formats give all."""


READABLE_BYTES = 16 * 1024 * 1024
"""Bytes of a result that is written for people: it is made of Python's values, which take ten times as much."""


def check_readable(size: int) -> None:
    """Raises SinkRejected for more bytes than a table for people may have."""
    if size > READABLE_BYTES:
        raise SinkRejected(
            f"the result has more than {READABLE_BYTES:,} bytes, too many for a table: ask for less, or take it as "
            "csv, json or ndjson"
        )


def format_name(name: str) -> str:
    """The format's own spelling; raises SinkRejected for a nonexistent one."""
    for known in FORMATS:
        if known.lower() == name.lower():
            return known
    raise SinkRejected(f"there is no format {name!r}: use one of {', '.join(FORMATS)}")


def as_text(result: Result, name: str, limits: Limits = DEFAULT_LIMITS) -> bytes:
    """The result in that format. Raises SinkRejected where the text would have more bytes than ``limits`` allow."""
    text = bytearray()
    name = format_name(name)
    for part in _WRITERS[name](_with_times_as_text(result)):
        text += part
        check_size(0, len(text), limits)
        if name in FOR_PEOPLE:
            check_readable(len(text))
    return bytes(text)


def _with_times_as_text(result: Result) -> Result:
    """Times as the engine prints them: with as many digits after the second as their type has."""
    digits = {at: _digits(match[1]) for at, kind in enumerate(result.types) if (match := _TIME_TYPE.match(kind))}
    if not digits:
        return result
    rows = [
        tuple(_time_text(value, digits[at]) if at in digits else value for at, value in enumerate(row))
        for row in result.rows
    ]
    return result._replace(rows=rows)


_TIME_TYPE = re.compile(r"(?:(?:Nullable|LowCardinality)\()*DateTime(?:64\((\d+))?")


def _digits(precision: str | None) -> int:
    return 0 if precision is None else int(precision)


def _time_text(value: Any, digits: int) -> Any:
    if not isinstance(value, datetime):
        return value
    fraction = f".{value.microsecond:06d}"[: digits + 1].ljust(digits + 1, "0") if digits else ""
    return f"{value:%Y-%m-%d %H:%M:%S}{fraction}"


def _csv(result: Result) -> Iterable[bytes]:
    return (b",".join(_csv_field(value) for value in row) + b"\n" for row in result.rows)


def _csv_with_names(result: Result) -> Iterable[bytes]:
    yield b",".join(_csv_field(name) for name in result.columns) + b"\n"
    yield from _csv(result)


def _csv_field(value: Any) -> bytes:
    if value is None:
        return b"\\N"
    if isinstance(value, (int, float, Decimal)):
        return _plain(value)
    return b'"' + _plain(value).replace(b'"', b'""') + b'"'


def _tsv(result: Result) -> Iterable[bytes]:
    return (b"\t".join(_tsv_field(value) for value in row) + b"\n" for row in result.rows)


def _tsv_with_names(result: Result) -> Iterable[bytes]:
    yield b"\t".join(_tsv_field(name) for name in result.columns) + b"\n"
    yield from _tsv(result)


_TSV_ESCAPES = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\0": "\\0", "\b": "\\b", "\f": "\\f", "'": "\\'"}
_TSV_TABLE = str.maketrans(_TSV_ESCAPES)


def _tsv_field(value: Any) -> bytes:
    if value is None:
        return b"\\N"
    if isinstance(value, str):
        return value.translate(_TSV_TABLE).encode()
    return _plain(value)


def _json_each_row(result: Result) -> Iterable[bytes]:
    for row in result.rows:
        fields = {name: _json_value(value) for name, value in zip(result.columns, row, strict=True)}
        yield json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _json_value(value: Any) -> Any:
    if isinstance(value, (datetime, date, bytes)):
        return _plain(value).decode("utf-8", "replace")
    if isinstance(value, dict):
        return {str(key): _json_value(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_json_value(inner) for inner in value]
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def _vertical(result: Result) -> Iterable[bytes]:
    names = [visible(name) for name in result.columns]
    width = max(map(len, names), default=0) + 2
    for number, row in enumerate(result.rows[:SHOWN_ROWS], 1):
        yield f"Row {number}:\n──────\n".encode()
        for name, value in zip(names, row, strict=True):
            yield f"{name}:".ljust(width).encode() + _shown(value).encode() + b"\n"
        yield b"\n"
    yield from _more(result)


def _pretty(result: Result) -> Iterable[bytes]:
    rows = result.rows[:SHOWN_ROWS]
    if not rows:
        return
    names = [visible(name) for name in result.columns]
    cells = [[_shown(value) for value in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(names, *cells, strict=True)]
    titles = [name.center(width, "─") for name, width in zip(names, widths, strict=True)]
    yield ("┌─" + "─┬─".join(titles) + "─┐\n").encode()
    for row, values in zip(cells, rows, strict=True):
        padded = [
            cell.rjust(width) if isinstance(value, (int, float, Decimal)) else cell.ljust(width)
            for cell, value, width in zip(row, values, widths, strict=True)
        ]
        yield ("│ " + " │ ".join(padded) + " │\n").encode()
    yield ("└─" + "─┴─".join("─" * width for width in widths) + "─┘\n").encode()
    yield from _more(result)


def _more(result: Result) -> Iterable[bytes]:
    if len(result.rows) > SHOWN_ROWS:
        yield f"There are more than these {SHOWN_ROWS:,} rows: the formats csv, json and ndjson give all.\n".encode()


def _shown(value: Any) -> str:
    return "ᴺᵁᴸᴸ" if value is None else visible(_plain(value).decode("utf-8", "replace"))


def _plain(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, bool):
        return b"true" if value else b"false"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}.{value.microsecond // 1000:03d}".encode()
    if isinstance(value, (list, tuple, dict)):
        return json.dumps(_json_value(value), ensure_ascii=False, separators=(",", ":")).encode()
    return str(value).encode()


_WRITERS: dict[str, Callable[[Result], Iterable[bytes]]] = {
    "CSV": _csv,
    "CSVWithNames": _csv_with_names,
    "JSONEachRow": _json_each_row,
    "Pretty": _pretty,
    "TabSeparated": _tsv,
    "TabSeparatedWithNames": _tsv_with_names,
    "Vertical": _vertical,
}

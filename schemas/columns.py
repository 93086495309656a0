"""Output batches straight into columns: one list for each field of their items, without a record for each item.

A loader that makes a dictionary of every line pays for 28 keys and values that it takes apart again at once. Here a
plan of the writer's schema (`column_plans`) is walked over the bytes. It refuses what `reading` refuses. Strings stay
bytes, which is what a store takes; that they are UTF-8 is checked for a whole message at once.

The module is written for a compiler too: final classes, plain loops, no generated code.
"""

from __future__ import annotations

from typing import Any, Final, final

from schemas.batches import Position
from schemas.errors import DAMAGED, Undecodable
from schemas.wire import MAX_INT, MAX_LONG, DamagedBody, read_varint

# How a field is written.
TEXT: Final = 0
NUMBER: Final = 1
ENUM: Final = 2
BOOLEAN: Final = 3
MAP_OF_NUMBERS: Final = 4
MAP_OF_TEXTS: Final = 5
RECORDS: Final = 6
RECORD: Final = 7

LARGEST_INT: Final = 2 * MAX_INT + 1
LARGEST_LONG: Final = 2 * MAX_LONG + 1
"""The largest numbers on the wire, where the sign is the last bit."""


@final
class Step:
    """Fields of one kind that stand one behind the other, and the columns that take their values.

    ``is_optional``: each is a union of null, first, and that kind. A map has three columns: how many entries, the keys,
    the values. `RECORDS`, an array of records, has one, the number of records; their own fields are ``steps``, as are
    those of a `RECORD`. ``largest``: of numbers, see LARGEST_INT. ``symbols``: of an enum. ``is_remembered``: texts
    with few distinct values; equal ones become one object, which whoever takes the columns finds in the cache.
    """

    def __init__(
        self, kind: int, is_optional: bool, columns: list[list[Any]], largest: int, symbols: list[bytes],
        steps: list[Step], is_remembered: bool,
    ) -> None:  # fmt: skip
        self.kind = kind
        self.is_optional = is_optional
        self.columns = columns
        self.largest = largest
        self.symbols = symbols
        self.steps = steps
        self.is_remembered = is_remembered
        self.memo: dict[bytes, bytes] = {}


@final
class BatchColumns:
    """Output batches of one kind, in the fields of the current version.

    ``values``: by a field's path, its value for each item: int, bytes of UTF-8 (or plain bytes), bool, None. The fields
    of a nested record have paths like ``plan.name``. Of a map or an array of records ``values`` holds how many entries
    each item has, and under ``quantities.key``, ``quantities.value`` or ``grants_used.credits`` those of all items.
    ``heads`` and ``counts``: each batch's position, and how many items it has.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.values: dict[str, list[Any]] = {}
        self.heads: list[Position] = []
        self.counts: list[int] = []

    def column(self, path: str) -> list[Any]:
        """The list under this path, made where it is new."""
        column = self.values.get(path)
        if column is None:
            column = self.values[path] = []
        return column


@final
class ColumnReader:
    """Reads the batches of one writer's schema into one `BatchColumns`."""

    def __init__(
        self, columns: BatchColumns, steps: list[Step], texts: list[list[Any]], filled: list[tuple[list[Any], Any]],
        scratch: list[list[Any]],
    ) -> None:  # fmt: skip
        """``steps``: the arrays of a batch, one `RECORDS` each; that of the items adds to ``columns.counts``.

        ``texts``: the columns that must be UTF-8. ``filled``: the columns of fields that the writer did not have, with
        their value. ``scratch``: the columns that nobody asks for.
        """
        self._columns = columns
        self._steps = steps
        self._texts = texts
        self._filled = filled
        self._scratch = scratch

    def read(self, data: bytes, start: int) -> None:
        """Adds one batch, whose body begins at ``start``. Raises `Undecodable`; the columns are of no use then."""
        columns = self._columns
        lengths = [len(texts) for texts in self._texts]
        try:
            partition, at = _number(data, start)
            offset, at = _number(data, at)
            part, at = _number(data, at)
            parts, at = _number(data, at)
            if partition > LARGEST_INT or part > LARGEST_INT or parts > LARGEST_INT:
                raise DamagedBody
            at = read_fields(data, at, self._steps)
            if at != len(data):
                raise DamagedBody
            for index, texts in enumerate(self._texts):
                # One text is UTF-8 where all of them, with an ASCII character between them, are.
                b"\n".join(filter(None, texts[lengths[index] :])).decode()
        except (IndexError, ValueError):
            raise Undecodable(DAMAGED) from None
        columns.heads.append(Position(_signed(partition), _signed(offset), _signed(part), _signed(parts)))
        count = columns.counts[-1]
        for column, value in self._filled:
            column.extend([value] * count)
        for column in self._scratch:
            column.clear()


def read_fields(data: bytes, at: int, steps: list[Step]) -> int:
    """Adds one record's fields to the columns of ``steps``; returns the position behind it.

    Raises IndexError or ValueError for damage. A slice beyond the end comes out short without an error: the caller
    compares the last position with the length.
    """
    for step in steps:
        kind = step.kind
        is_optional = step.is_optional
        if kind == TEXT:
            for column in step.columns:
                if is_optional:
                    number = data[at]
                    at += 1
                    if number == 0:
                        column.append(None)
                        continue
                    if number != 2:
                        is_there, at = _branch(data, at - 1)
                        if not is_there:
                            column.append(None)
                            continue
                number = data[at]
                at += 1
                if number > 127:
                    number, at = read_varint(data, at - 1)
                if number & 1:
                    raise DamagedBody
                stop = at + (number >> 1)
                text = data[at:stop]
                column.append(step.memo.setdefault(text, text) if step.is_remembered else text)
                at = stop
        elif kind == NUMBER:
            largest = step.largest
            for column in step.columns:
                if is_optional:
                    number = data[at]
                    if number == 0:
                        at += 1
                        column.append(None)
                        continue
                    is_there, at = _branch(data, at)
                    if not is_there:
                        column.append(None)
                        continue
                number = data[at]
                at += 1
                if number > 127:
                    number, at = read_varint(data, at - 1)
                    if number > largest:
                        raise DamagedBody
                column.append(~(number >> 1) if number & 1 else number >> 1)
        else:
            at = _read_rarer(data, at, step)
    return at


def _read_rarer(data: bytes, at: int, step: Step) -> int:
    """As `read_fields`, for one step of the other kinds."""
    kind = step.kind
    columns = step.columns
    if data[at] == 0 and MAP_OF_NUMBERS <= kind <= RECORDS:  # most maps and arrays are empty
        columns[0].append(0)
        return at + 1
    if step.is_optional:
        is_there, at = _branch(data, at)
        if not is_there:
            for column in columns:
                column.append(None)
            return at
    if kind == ENUM:
        number = data[at]
        if number > 127:
            number, at = read_varint(data, at)
        else:
            at += 1
        if number & 1:
            raise DamagedBody
        columns[0].append(step.symbols[number >> 1])
    elif kind == BOOLEAN:
        number = data[at]
        if number > 1:
            raise DamagedBody
        columns[0].append(number == 1)
        at += 1
    elif kind == RECORDS:
        at = _read_records(data, at, step)
    elif kind == RECORD:
        at = read_fields(data, at, step.steps)
    else:
        at = _read_map(data, at, columns, kind)
    return at


def _read_records(data: bytes, at: int, step: Step) -> int:
    """An array of records."""
    steps = step.steps
    total = 0
    count, at = _block(data, at)
    while count:
        total += count
        for _ in range(count):
            at = read_fields(data, at, steps)
        count, at = _block(data, at)
    step.columns[0].append(total)
    return at


def _read_map(data: bytes, at: int, columns: list[list[Any]], kind: int) -> int:
    """A map's entries. Of a key that is there twice the last value counts, in the first one's place."""
    sizes, keys, values = columns
    total = 0
    count, at = _block(data, at)
    while count:
        total += count
        for _ in range(count):
            key, at = _text(data, at)
            keys.append(key)
            if kind == MAP_OF_TEXTS:
                text, at = _text(data, at)
                values.append(text)
            else:
                number, at = _number(data, at)
                values.append(_signed(number))
        count, at = _block(data, at)
    if total > 1:
        entries = dict(zip(keys[-total:], values[-total:], strict=True))
        if len(entries) < total:
            keys[-total:] = entries.keys()
            values[-total:] = entries.values()
            total = len(entries)
    sizes.append(total)
    return at


def _block(data: bytes, at: int) -> tuple[int, int]:
    """How many entries come next, 0 at the end; a negative count is followed by the block's size in bytes."""
    count, at = _number(data, at)
    if count & 1:
        count += 1
        _, at = read_varint(data, at)
    return count >> 1, at


def _branch(data: bytes, at: int) -> tuple[bool, int]:
    """Whether an optional value is there."""
    number, at = _number(data, at)
    if number > 2 or number & 1:
        raise DamagedBody
    return number == 2, at


def _text(data: bytes, at: int) -> tuple[bytes, int]:
    number, at = _number(data, at)
    if number & 1:
        raise DamagedBody
    stop = at + (number >> 1)
    return data[at:stop], stop


def _number(data: bytes, at: int) -> tuple[int, int]:
    """An unsigned number; most take one byte."""
    number = data[at]
    if number < 128:
        return number, at + 1
    return read_varint(data, at)


def _signed(number: int) -> int:
    return (number >> 1) ^ -(number & 1)

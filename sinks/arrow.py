"""Columns of Python values as an Arrow stream: the cheapest way into chDB that was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate, chain
from typing import Any

import pyarrow as pa

from sinks.sink import ArrayColumn, Columns, SinkRejected

_WRAPPERS = ("LowCardinality(", "Nullable(")
_SCALARS: Mapping[str, Any] = {
    "String": pa.binary(),
    "Int32": pa.int32(),
    "Int64": pa.int64(),
    "UInt8": pa.uint8(),
    "UInt32": pa.uint32(),
    "UInt64": pa.uint64(),
    "Date": pa.date32(),
    "Date32": pa.date32(),
}


def arrow_stream(table: str, types: Mapping[str, str], columns: Columns) -> bytes:
    """The columns in Arrow's stream format; ``types`` are the table's, as ClickHouse spells them.

    Raises SinkRejected with the column whose values do not fit its type.
    """
    arrays = []
    for name, values in columns.items():
        if name not in types:
            raise SinkRejected("the table has no such column", table=table, column=name)
        try:
            array = _array(types[name], values)
        except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
            reason = f"a value does not fit {types[name]}: {error}"
            raise SinkRejected(reason, table=table, column=name) from error
        if array.null_count and "Nullable(" not in types[name]:
            # The engine would store an empty value in its place.
            raise SinkRejected(f"a value is missing, and {types[name]} has none", table=table, column=name)
        arrays.append(array)
    if len({len(array) for array in arrays}) > 1:
        raise SinkRejected("the columns differ in length", table=table)
    batch = pa.RecordBatch.from_arrays(arrays, list(columns))
    buffer = pa.BufferOutputStream()
    with pa.ipc.new_stream(buffer, batch.schema) as writer:
        writer.write_batch(batch)
    stream: bytes = buffer.getvalue().to_pybytes()
    return stream


def names_of(columns: Columns) -> str:
    """The columns' names as a statement lists them."""
    return ", ".join(f"`{name}`" for name in columns)


def _array(kind: str, values: Sequence[Any]) -> Any:
    if isinstance(values, ArrayColumn):
        offsets = pa.array(values.offsets, pa.int32(), size=len(values.offsets))
        return pa.ListArray.from_arrays(offsets, _array(_item_kind(kind), values.items))
    if kind.startswith("Array("):
        offsets = pa.array(accumulate(map(len, values), initial=0), pa.int32(), size=len(values) + 1)
        flat = list(chain.from_iterable(values))
        return pa.ListArray.from_arrays(offsets, _array(_item_kind(kind), flat))
    for wrapper in _WRAPPERS:
        if kind.startswith(wrapper):
            return _array(kind[len(wrapper) : -1], values)
    if kind.startswith("DateTime64(3"):
        return pa.array(values, pa.int64()).view(pa.timestamp("ms"))
    return pa.array(values, _SCALARS[kind])


def _item_kind(kind: str) -> str:
    """The type of an array's items."""
    return kind.removeprefix("Array(")[:-1]

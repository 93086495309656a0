"""Passes the limits of one reading statement to the engine, and checks those that the engine does not enforce."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sinks.sink import Limits, SinkRejected

RANGE_ELEMENTS = 1_000_000
"""Elements that one call of ``range()`` may make: one expression over a long array cannot be interrupted."""
DISK_BYTES = 4 * 1024 * 1024 * 1024
"""Bytes that one statement may put on the disk while it groups or sorts."""


def engine_limits(limits: Limits) -> Mapping[str, int]:
    """Settings for one statement; ``readonly`` beside them keeps the statement from changing one.

    The engine checks no result limit on a statement without a table (``SELECT arrayJoin(…)``), only its memory: use
    ``check_size`` on what comes back.
    """
    return {
        "max_result_rows": limits.rows,
        "max_result_bytes": limits.bytes,
        "max_execution_time": limits.seconds,
        "max_memory_usage": limits.memory,
        "max_bytes_before_external_group_by": limits.memory // 2,
        "max_bytes_before_external_sort": limits.memory // 2,
        "max_temporary_data_on_disk_size_for_query": DISK_BYTES,
        "function_range_max_elements_in_block": RANGE_ELEMENTS,
    }


def check_size(rows: int, size: int, limits: Limits) -> None:
    """Raises SinkRejected for a result of more rows, or of more bytes, than ``limits`` allow."""
    if rows > limits.rows:
        raise SinkRejected(f"the result has more than {limits.rows:,} rows. Ask for less, or add a LIMIT")
    if size > limits.bytes:
        raise SinkRejected(f"the result has more than {limits.bytes:,} bytes. Ask for less, or add a LIMIT")


def text_size(rows: Sequence[Sequence[Any]], types: Sequence[str]) -> int:
    """About how many bytes the values of varying length have: those of columns with strings, arrays or maps."""
    varying = [at for at, kind in enumerate(types) if any(word in kind for word in ("String", "Array(", "Map("))]
    return sum(_size(row[at]) for at in varying for row in rows)


def _size(value: Any) -> int:
    if isinstance(value, (str, bytes)):
        return len(value)
    if isinstance(value, Mapping):
        return sum(_size(key) + _size(inner) for key, inner in value.items())
    if isinstance(value, (list, tuple)):
        return sum(map(_size, value))
    return 8
